"""The object that the fixture `candidate` returns, and how a gate becomes a test outcome."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# What pytest.fail and pytest.xfail raise; no public names have their types.
from _pytest.outcomes import Failed, XFailed

from ..errors import InconclusiveWarning, SpecError
from ..report.spans import line, text_of, wrapped
from ..results import GateResult, Offender
from ..spec import coerce
from ..spec.flags import PROFILE
from ..spec.profiles import Profile
from ..spec.settings import Inconclusive
from ..verdicts import Verdict
from .writing import LEAST_WIDTH

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.shipping import Shipment


@dataclass(frozen=True)
class Candidate:
    """The variant that a gate is asserted on, as returned by the fixture `candidate`.

    If the requested precision does not pass but a fallback does, this is the fallback.

    Args:
        precision: the precision that the gate file requested.
        variant: label of this variant.
        paths: ONNX files of the variant: one, unless the model has several.
        size: size of all files together, in bytes.
        golden: the FP32 baseline.
        decision: how this variant was chosen.
        inconclusive: what an undecided gate does.
        known: names of the gates of the model's task.
        profile: the profile under which the variant was judged.
        claimed: names of the gates that the profile makes a claim about; None for all.
    """

    precision: str
    variant: str
    paths: tuple[Path, ...]
    size: int
    golden: Golden
    decision: Shipment
    inconclusive: Inconclusive
    known: tuple[str, ...]
    profile: Profile = "standard"
    claimed: tuple[str, ...] | None = None

    @property
    def path(self) -> Path:
        """The ONNX file; for a model with several, use `paths`."""
        if len(self.paths) != 1:
            raise SpecError(
                "candidate.path", f"this model has {len(self.paths)} files", "use candidate.paths"
            )
        return self.paths[0]

    @property
    def gates(self) -> Mapping[str, GateResult]:
        """Results by gate, such as "finite", "far", "frr", "degradation", "latency", "size".

        Accessing a gate that does not exist, or about which the profile makes no claim, raises
        `SpecError`.
        """
        unclaimed = [gate for gate in self.known if self._no_claim(gate)]
        return _Results(self.decision.record.gates, self.known, self.profile, unclaimed)

    def worst(self, gate: str) -> tuple[Offender, ...]:
        """The ten cases that weigh most in a gate: pairs, images, objects or captures, worst first.

        Each has the names of its images, whom they show, the scores of the variant and of FP32 and
        the threshold. Empty for gates without cases, such as latency and size.

        Args:
            gate: the name of the gate, such as "frr".

        Raises:
            SpecError: there is no such gate, or the profile makes no claim about it.
        """
        return self.gates[gate].offenders

    @property
    def fell_back(self) -> bool:
        """Whether this is not the requested precision."""
        return self.decision.fell_back

    def check(self, gate: str) -> None:
        """Assert a gate: fail with a small report, or do as the policy says if undecided.

        The test is skipped if the profile makes no claim about the gate.
        """
        __tracebackhide__ = True
        coerce.choice("candidate.check", gate, self.known)
        if self._no_claim(gate):
            pytest.skip(f"{self.profile} profile makes no claim about {gate}")
        if self.fell_back and self.variant == "fp32" and gate not in self.gates:
            return  # a limit relative to FP32 says nothing about FP32 itself
        title = f"{self.decision.record.model}: {self.variant}"
        enforce(self.gates[gate], title, self.inconclusive)

    def _no_claim(self, gate: str) -> bool:
        return self.claimed is not None and gate not in self.claimed


class _Results(dict[str, GateResult]):
    """Results by gate; one that is missing raises `SpecError` with the reason, not `KeyError`."""

    def __init__(
        self,
        found: Mapping[str, GateResult],
        known: Sequence[str],
        profile: str,
        unclaimed: Sequence[str],
    ) -> None:
        super().__init__(found)
        self._known = known
        self._profile = profile
        self._unclaimed = unclaimed

    def __missing__(self, gate: str) -> GateResult:
        where = f"candidate.gates[{coerce.shown(gate)}]"
        coerce.choice(where, gate, self._known)
        if gate in self._unclaimed:
            raise SpecError(
                where,
                f"the {self._profile} profile makes no claim about {gate}",
                f"call candidate.check({gate!r}) first, which skips the test, or use "
                f"{PROFILE}=standard",
            )
        raise SpecError(
            where, "does not apply to FP32 itself", f"call candidate.check({gate!r}), which passes"
        )


class Waived(XFailed):
    """Ends the test of a gate that does not pass but is waived: never as passed.

    Args:
        report: what was found.
        ships: whether the waiver lets the variant ship.
    """

    def __init__(self, report: str, *, ships: bool) -> None:
        super().__init__(report, pytrace=False)
        self.ships = ships


def _undecided(report: str) -> Failed:
    """What fails a test because a gate is undecided: reports can tell it from a failure."""
    failure = Failed(report, pytrace=False)
    failure.kycquant_undecided = True  # type: ignore[attr-defined]
    return failure


def enforce(result: GateResult, title: str, inconclusive: Inconclusive) -> None:
    """Fail a test with a small report, or do as the policy or a waiver says.

    Args:
        result: the result of the gate.
        title: the model and variant that were judged.
        inconclusive: the policy for an undecided gate.
    """
    __tracebackhide__ = True
    if result.verdict is Verdict.PASS:
        return
    facts = [f"{title} {result.verdict.value} {result.gate}", *result.describe().split("\n")]
    # Whoever runs the test may not know how wide the terminal is: a worker of pytest-xdist. And
    # pytest indents a warning by two.
    lines = wrapped(map(line, facts), LEAST_WIDTH - 2, indent=4)
    report = "\n".join(map(text_of, lines))
    if result.waiver is not None and result.verdict is Verdict.WAIVED:
        raise Waived(report, ships=result.waiver.ship)
    # Once a waiver has expired, no policy excuses what it excused.
    if result.verdict is Verdict.FAIL:
        pytest.fail(report, pytrace=False)
    if result.waiver is not None:
        raise _undecided(report)
    # An undecided latency is the machine's noise, not the model's fault.
    policy = "warn" if result.gate == "latency" else inconclusive
    if policy == "xfail":
        pytest.xfail(report)
    if policy in ("fail", "xfail"):  # with --runxfail, xfail does nothing
        raise _undecided(report)
    warnings.warn(report, InconclusiveWarning, stacklevel=3)
