"""The figures as Markdown: the damage, whether it is harmful, and the verdicts of the gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import beta
from tabulate import tabulate

HARMFUL, HARMLESS, BORDERLINE = "harmful", "harmless", "borderline"
INSIDE = "inside"
PASS, FAIL, INCONCLUSIVE, ERROR = "PASS", "FAIL", "INCONCLUSIVE", "ERROR"


@dataclass(frozen=True)
class Row:
    """One case and its result.

    Args:
        model: name of the model; "project" for damaged data and goldens.
        fault: what was done.
        where: the place of the damage.
        control: whether it was expected to be harmless.
        truth: "harmful", "harmless" or "borderline".
        why: the figure on the large set that decides the truth.
        outcome: PASS, FAIL, INCONCLUSIVE or ERROR.
        gates: the gates that object.
        objections: their checks, the decisive one first, each as a line.
        usage: the largest share of a limit of errors that is used on the large set.
        drift: "beyond", "near" or "inside" the drift limits on the large set.
        with_more: the verdict with more data, if the first was INCONCLUSIVE; otherwise empty.
        more_people: number of people in that data.
    """

    model: str
    fault: str
    where: str
    control: bool
    truth: str
    why: str
    outcome: str
    gates: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    usage: float | None = None
    drift: str = INSIDE
    with_more: str = ""
    more_people: int = 0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """Inverse of `as_dict`."""
        lists = {key: tuple(values[key]) for key in ("gates", "objections")}
        return cls(**{**values, **lists})

    @property
    def title(self) -> str:
        return f"{self.fault} ({self.where})" if self.where else self.fault


def share(hits: int, total: int) -> str:
    """A share with its two-sided 95 % Clopper-Pearson interval."""
    if not total:
        return "none"
    low = beta.ppf(0.025, hits, total - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, total - hits) if hits < total else 1.0
    return f"{100 * hits / total:.1f} % ({hits} of {total}) [{100 * low:.1f}, {100 * high:.1f}]"


def by_fault(rows: Sequence[Row]) -> str:
    """One line for each fault and model: number of cases, their truth, and the verdicts."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.fault), []).append(row)
    lines = []
    for (model, fault), some in groups.items():
        gates = Counter(gate for row in some for gate in row.gates)
        worst = next((row for row in some if row.truth == HARMFUL), some[0])
        lines.append(
            [
                model,
                fault,
                _counted(Counter(row.truth for row in some)),
                _counted(Counter(row.outcome for row in some)),
                ", ".join(f"{gate} {number}" for gate, number in gates.most_common()),
                worst.why,
            ]
        )
    headers = ("model", "fault", "truth", "verdict", "gates that object", "e.g. on the large set")
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def summary(rows: Sequence[Row]) -> str:
    """Sensitivity and specificity, for each model and for all."""
    lines = []
    models = list(dict.fromkeys(row.model for row in rows))
    for name in (*models, "all"):
        some = [row for row in rows if name in (row.model, "all")]
        harmful = [row for row in some if row.truth == HARMFUL]
        harmless = [row for row in some if row.truth == HARMLESS]
        inside = [row for row in harmless if row.drift == INSIDE]
        controls = [row for row in harmless if row.control]
        lines.append(
            [
                name,
                share(sum(row.outcome != PASS for row in harmful), len(harmful)),
                share(sum(row.outcome in (FAIL, ERROR) for row in harmful), len(harmful)),
                share(sum(row.outcome == PASS for row in harmless), len(harmless)),
                share(sum(row.outcome == PASS for row in inside), len(inside)),
                share(sum(PASS in (row.outcome, row.with_more) for row in inside), len(inside)),
                share(sum(row.outcome == PASS for row in controls), len(controls)),
                sum(row.truth == BORDERLINE for row in some),
            ]
        )
    headers = (
        "model",
        "sensitivity: harmful that do not pass",
        "of these FAIL or ERROR",
        "specificity: harmless that pass",
        "of those inside drift limits, too",
        "the same, with more data where INCONCLUSIVE",
        "controls that pass",
        "borderline",
    )
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Missed faults, false alarms, and every INCONCLUSIVE, each with its reason."""
    missed = [row for row in rows if row.truth == HARMFUL and row.outcome == PASS]
    alarms = [row for row in rows if row.truth == HARMLESS and row.outcome != PASS]
    drifted = [row for row in alarms if row.drift != INSIDE]
    others = [row for row in alarms if row.drift == INSIDE]
    undecided = [row for row in rows if row.truth == HARMFUL and row.outcome == INCONCLUSIVE]
    for title, some in (
        ("Missed faults", missed),
        ("Harmless, but drift limits are exceeded or nearly so", drifted),
        ("False alarms", [row for row in others if row.outcome != INCONCLUSIVE]),
        ("Harmless and INCONCLUSIVE", [row for row in others if row.outcome == INCONCLUSIVE]),
        ("Harmful and INCONCLUSIVE", undecided),
        ("Borderline", [row for row in rows if row.truth == BORDERLINE]),
    ):
        yield f"\n**{title}** ({len(some)})\n"
        if not some:
            yield "none"
            continue
        lines = [
            [
                row.model,
                row.title,
                row.outcome,
                f"{row.with_more} ({row.more_people:,})" if row.with_more else "",
                row.objections[0] if row.objections else "",
                row.why,
                row.drift,
            ]
            for row in some
        ]
        headers = (
            "model",
            "fault",
            "verdict",
            "with more data (people, scenes)",
            "first objection",
            "on the large set",
            "drift limits",
        )
        yield tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def alarms_by_check(rows: Sequence[Row]) -> str:
    """Which checks object to harmless models, and to how many of these no other check objects."""
    alarms = [row for row in rows if row.truth == HARMLESS and row.outcome != PASS]
    named = [[line.partition(" = ")[0] for line in row.objections] for row in alarms]
    all_, alone = (
        Counter(n for names in named for n in names),
        Counter(names[0] for names in named if len(names) == 1),
    )
    lines = [[name, number, alone[name]] for name, number in all_.most_common()]
    headers = ("check", "harmless models it objects to", "alone")
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def _counted(found: Counter[str]) -> str:
    total = sum(found.values())
    if total == 1:
        return next(iter(found))
    return ", ".join(f"{number} {name}" for name, number in found.most_common())
