"""The figures as Markdown: each fault, what it does, and what the gates say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from benchmarks.faults.judging import Verdicts
from benchmarks.faults.table import ERROR, FAIL, INCONCLUSIVE, PASS, share

from .altered import SEAM, SOUND, SUM
from .drift import Sized
from .judging import Judged

_TITLES = {SEAM: "Faults of the seam", SUM: "Faults of the sum", SOUND: "Sound changes"}


@dataclass(frozen=True)
class Row:
    """One fault and the verdicts on it.

    Args:
        title: what differs from FP32.
        kind: `altered.SEAM`, `SUM` or `SOUND`.
        changed: number of answers and decisions that differ.
        newly: number of customers newly turned away, and of impostors and attacks newly let in.
        outcome: verdict of all gates about applicants.
        gates: those of them that object.
        objection: the check that weighs most, as it is printed.
        images: verdict of the gates that need no labels.
        images_objection: their check that weighs most.
        within: whether no estimate of the gates about applicants is beyond its limit.
    """

    title: str
    kind: str
    changed: int
    newly: tuple[int, int, int]
    outcome: str
    gates: tuple[str, ...]
    objection: str
    images: str
    images_objection: str
    within: bool

    @classmethod
    def of(cls, title: str, kind: str, judged: Judged) -> Row:
        gates, objection = _weightiest(judged.applicants)
        return cls(
            title,
            kind,
            judged.changed,
            judged.newly,
            judged.applicants.outcome,
            gates,
            objection,
            judged.images.outcome,
            _weightiest(judged.images)[1],
            _within(judged.applicants),
        )

    @property
    def best(self) -> str:
        """The verdict of applicants or that without labels, whichever objects more."""
        found = (self.outcome, self.images)
        return next(one for one in (ERROR, FAIL, INCONCLUSIVE, PASS) if one in found)


def _weightiest(found: Verdicts) -> tuple[tuple[str, ...], str]:
    objections = sorted(found.objections, key=lambda each: each[1].verdict.value != FAIL)
    gates = tuple(dict.fromkeys(gate for gate, _ in objections))
    return gates, objections[0][1].describe().partition(": ")[0] if objections else ""


def _within(found: Verdicts) -> bool:
    checks = [check for gate in found.gates.values() for check in gate.checks]
    return all(
        check.limit.excess(check.value) < 0
        for check in checks
        if check.limit is not None and check.value is not None
    )


def summary(rows: Sequence[Row]) -> str:
    """Sensitivity for faults, specificity for sound changes."""
    lines = []
    for kind in (SEAM, SUM, SOUND):
        some = [row for row in rows if row.kind == kind]
        harm = [row for row in some if not row.within]
        outcomes = Counter(row.outcome for row in some)
        lines.append(
            [
                _TITLES[kind],
                len(some),
                *(outcomes[name] for name in (FAIL, INCONCLUSIVE, PASS)),
                share(sum(row.outcome != PASS for row in harm), len(harm)),
                *(sum(row.images == name for row in some) for name in (FAIL, INCONCLUSIVE, PASS)),
                sum(row.best == PASS for row in some),
            ]
        )
    headers = (
        "kind",
        "cases",
        "FAIL",
        "INCONCLUSIVE",
        "PASS",
        "beyond a limit by the estimate, and not passed",
        "without labels: FAIL",
        "INCONCLUSIVE",
        "PASS",
        "pass both",
    )
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def cases(rows: Sequence[Row], kind: str) -> str:
    """A line for each case of a kind."""
    lines = [
        [
            row.title,
            row.changed,
            " / ".join(f"{number:,}" for number in row.newly),
            row.outcome,
            ", ".join(row.gates),
            row.objection,
            row.images,
            row.images_objection,
        ]
        for row in rows
        if row.kind == kind
    ]
    headers = (
        "fault" if kind == SEAM else "change",
        "answers and decisions that differ",
        "newly turned away / impostors let in / attacks let in",
        "verdict",
        "gates that object",
        "figure",
        "without labels",
        "figure without labels",
    )
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def by_sum(rows: Sequence[Row]) -> str:
    """How often each sum of drifts is caught, over its seeds."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind == SUM:
            groups.setdefault(row.title, []).append(row)
    lines = [
        [
            title,
            _counted(row.outcome for row in some),
            _counted(gate for row in some for gate in row.gates),
            _range([row.newly[0] for row in some]),
            _range([row.newly[1] for row in some]),
            _range([row.newly[2] for row in some]),
            _counted(row.images for row in some),
            sum(row.best != PASS for row in some),
        ]
        for title, some in groups.items()
    ]
    headers = (
        "drift",
        "verdict",
        "gates that object",
        "customers newly turned away",
        "impostors newly let in",
        "attacks newly let in",
        "without labels",
        "not passed by both",
    )
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def budgets(sizes: Sequence[Sized]) -> str:
    """The drift of each stage, and what its own gates say about it."""
    lines = [
        [
            each.drift.stage,
            each.drift.kind,
            each.drift.seed,
            f"{each.drift.size:.4f}",
            f"{each.used:.2f}",
            each.most.partition(": ")[0],
            each.verdict,
        ]
        for each in sizes
    ]
    headers = ("stage", "drift", "seed", "size", "share", "budget used most", "its own gates")
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Faults that pass, and sound changes that do not."""
    faults = [row for row in rows if row.kind != SOUND]
    for title, some in (
        ("Faults that both kinds of gates pass", [row for row in faults if row.best == PASS]),
        (
            "False alarms: sound changes that FAIL",
            [row for row in rows if row.kind == SOUND and row.best in (FAIL, ERROR)],
        ),
        (
            "Sound changes that are INCONCLUSIVE",
            [row for row in rows if row.kind == SOUND and row.best == INCONCLUSIVE],
        ),
    ):
        yield f"\n**{title}** ({len(some)})\n"
        counted = Counter(row.title for row in some)
        yield (
            "\n".join(
                f"- {name}" + (f" ({number} seeds)" if number > 1 else "")
                for name, number in counted.items()
            )
            or "none"
        )


def _counted(found: Iterator[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in Counter(found).most_common())


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
