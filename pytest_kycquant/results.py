"""What the gates found, as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import printable
from .verdicts import Check, Verdict


@dataclass(frozen=True)
class GroupIncrease:
    """How one error rate rises within one group of people.

    Args:
        group: the name of the group, such as "age 60+".
        measure: the name of the rate, such as "FRR".
        fp32: the rate of FP32 with its bounds: a `statistics.Rate` as `plain` converts it.
        variant: the rate of the variant, in the same form.
        check: the paired increase, compared with its budget.
    """

    group: str
    measure: str
    fp32: Mapping[str, float]
    variant: Mapping[str, float]
    check: Check


def worst_of(found: Sequence[GroupIncrease]) -> GroupIncrease:
    """Return the increase with the worst verdict; among equals, the one that uses most budget.

    Estimates are compared before bounds: a small group has a wide bound even if nothing is wrong.
    """
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]

    def severity(one: GroupIncrease) -> tuple[int, float, float]:
        check, limit = one.check, one.check.limit
        assert limit is not None
        figures = [figure for figure in (check.lower, check.upper) if figure is not None]
        assert check.value is not None
        bound = max(map(limit.excess, figures))
        return order.index(check.verdict), limit.excess(check.value), bound

    return max(found, key=severity)


def objections(gates: Mapping[str, GateResult]) -> str:
    """Name the gates that did not pass by their verdicts, the worst first; "" if all passed."""
    named = {
        verdict.value: [result.gate for result in gates.values() if result.verdict is verdict]
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED)
    }
    return "; ".join(f"{verdict} {', '.join(names)}" for verdict, names in named.items() if names)


MOST_OFFENDERS = 10
_LONGEST_NAME = 60  # characters of an image's name in a message


@dataclass(frozen=True)
class Offender:
    """One of the cases that weigh most in the verdict of a gate.

    Args:
        images: the names of the images: one, or the two of a comparison.
        who: whom or what they show: people, species or class; "" if it is unknown.
        score: the score of the variant; None if it gives none.
        fp32_score: the score of FP32; None if it gives none.
        threshold: the threshold of the decision; None if there is no decision.
        finding: what happened, such as "newly accepted".
    """

    images: tuple[str, ...]
    who: str = ""
    score: float | None = None
    fp32_score: float | None = None
    threshold: float | None = None
    finding: str = ""

    def describe(self, *, threshold: bool = True) -> str:
        """Describe the case in one line; long names are cut in the middle.

        Args:
            threshold: whether to name the threshold.
        """
        parts = [" and ".join(map(_short, self.images))]
        if self.who:
            parts.append(f"({_short(self.who)})")
        if self.finding:
            parts.append(self.finding + ":")
        if self.score is self.fp32_score is self.threshold is None:
            return printable(" ".join(parts).removesuffix(":"))
        score = "no score" if self.score is None else f"{self.score:.4f}"
        fp32 = "none" if self.fp32_score is None else f"{self.fp32_score:.4f}"
        parts.append(f"{score}, FP32 {fp32}")
        line = " ".join(parts)
        if threshold and self.threshold is not None:
            line = f"{line}, threshold {self.threshold:.4f}"
        return printable(line)


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 3) // 2
    return f"{name[:half]}...{name[-half:]}"


@dataclass(frozen=True)
class Waiver:
    """A known failure that somebody accepts for a time; see `spec.waivers`.

    Args:
        gate: node id or name of the gate class or function.
        variant: label of the variant, such as "int8"; "shipped" for a pipeline.
        check: name of the gate that does not pass, such as "frr".
        reason: why the failure is accepted.
        ticket: where it is followed up.
        expires: the last day on which the waiver holds, as YYYY-MM-DD.
        ship: whether the variant may ship nevertheless.
        source: the file and the entry in it.
        expired: whether that day is over.
    """

    gate: str
    variant: str
    check: str
    reason: str
    ticket: str
    expires: str
    ship: bool = False
    source: str = ""
    expired: bool = False

    def describe(self) -> str:
        """Describe in one line what the waiver does to a gate that does not pass."""
        if self.expired:
            return printable(
                f"the waiver expired on {self.expires} ({self.ticket}: {self.reason}); mend the "
                f"variant, or renew the waiver in {self.source}"
            )
        ships = "may ship" if self.ship else "does not ship"
        return printable(
            f"waived until {self.expires} ({self.ticket}: {self.reason}); the variant {ships}"
        )


_UNDECIDED = {
    "rate": "Decide on a number beforehand and judge once, or deliberately widen the budget in "
    "`limits`; adding data until it passes gives luck many chances.",
    "latency": "This machine is too noisy to decide now; try again when it is idle.",
    "memory": "Measure on a system where a process can read its own peak memory, such as Linux.",
}


@dataclass(frozen=True)
class GateResult:
    """Outcome of one gate on one variant: every check must hold.

    Args:
        gate: the name of the gate, such as "far": one of `TaskSpec.gates`.
        checks: the figures that were compared with their limits.
        remedy: what to do about a failure.
        offenders: the cases that weigh most, the worst first; empty if a gate has none.
        waiver: the waiver for this gate and variant, expired or not; None if there is none.
    """

    gate: str
    checks: tuple[Check, ...]
    remedy: str = ""
    offenders: tuple[Offender, ...] = ()
    waiver: Waiver | None = None

    @property
    def found(self) -> Verdict:
        """The worst verdict of the checks, whatever is waived."""
        return Verdict.worst([check.verdict for check in self.checks])

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the checks; WAIVED if that is not PASS but a waiver holds."""
        holds = self.waiver is not None and not self.waiver.expired
        return Verdict.WAIVED if holds and self.found is not Verdict.PASS else self.found

    @property
    def ships(self) -> bool:
        """Whether this gate lets a variant ship. An undecided latency warns but does not block.

        A waiver lets it ship only if it says so.
        """
        if self.verdict is Verdict.WAIVED and self.waiver is not None and self.waiver.ship:
            return True
        if self.gate == "latency":
            return self.found is not Verdict.FAIL
        return self.found is Verdict.PASS

    def worst_check(self) -> Check:
        """The check that decided the verdict; among equals of one unit, the furthest beyond.

        Checks of other units, such as a cosine beside a rate, cannot be compared.
        """
        deciding = [check for check in self.checks if check.verdict is self.found]
        alike = [check for check in deciding if check.unit is deciding[0].unit]
        return max(alike, key=lambda check: check.excess)

    def describe(self) -> str:
        """Describe every check, worst first, and then what to do: a line for each fact.

        What is behind a check stands below it, indented.
        """
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
        lines = []
        for check in sorted(self.checks, key=lambda check: order.index(check.verdict)):
            lines.append(check.finding())
            lines += [f"  {printable(part)}" for part in check.detail.split("; ") if part]
        if self.remedy and self.verdict is Verdict.FAIL:
            lines.append(self.remedy)
        if self.verdict is Verdict.INCONCLUSIVE:
            lines.append(_UNDECIDED.get(self.gate, _UNDECIDED["rate"]))
        if self.offenders and self.verdict is not Verdict.PASS:
            common, *others = {offender.threshold for offender in self.offenders}
            of_all = common is not None and not others
            lines.append(
                "The cases that weigh most"
                + (f", with a threshold of {common:.4f}:" if of_all else ":")
            )
            lines += [f"  {each.describe(threshold=not of_all)}" for each in self.offenders]
        if self.waiver is not None and self.found is not Verdict.PASS:
            lines.append(self.waiver.describe())
        return "\n".join(lines)
