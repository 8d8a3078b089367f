"""What the fixture `candidate` hands out, and how a gate becomes the outcome of a test."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..errors import InconclusiveWarning, SpecError
from ..results import GateResult
from ..spec.flags import PROFILE
from ..spec.profiles import Profile
from ..spec.settings import Inconclusive
from ..verdicts import Verdict

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.shipping import Shipment


@dataclass(frozen=True)
class Candidate:
    """The variant that a gate is asserted on, as handed out by the fixture `candidate`.

    If the requested precision does not pass and a fallback does, this is the fallback.

    Args:
        precision: what the gate file asked for.
        variant: label of the variant at hand.
        paths: its ONNX files: one, unless the model has several.
        size: in bytes, of all files together.
        golden: the FP32 baseline.
        decision: how it came about.
        inconclusive: what an undecided gate does.
        known: names of the gates of the model's task.
        profile: under which it was judged.
        claimed: names of the gates that the profile makes a claim on; None for all.
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
        """Its ONNX file; of a model with several, see `paths`."""
        if len(self.paths) != 1:
            raise SpecError(
                "candidate.path", f"this model has {len(self.paths)} files", "use candidate.paths"
            )
        return self.paths[0]

    @property
    def gates(self) -> Mapping[str, GateResult]:
        """Results by gate, such as "finite", "far", "frr", "degradation", "latency", "size".

        Asking for one that the profile makes no claim on is a `SpecError`.
        """
        unclaimed = [gate for gate in self.known if self._no_claim(gate)]
        return _Results(self.decision.record.gates, self.profile, unclaimed)

    @property
    def fell_back(self) -> bool:
        """Whether this is not the requested precision."""
        return self.decision.fell_back

    def check(self, gate: str) -> None:
        """Assert a gate: fail with a small report, or do as the policy says if undecided.

        The test is skipped if the profile makes no claim on the gate.
        """
        __tracebackhide__ = True
        if gate not in self.known:
            raise SpecError(
                "candidate.check", f"{gate!r} is not a gate", f"choose from {', '.join(self.known)}"
            )
        if self._no_claim(gate):
            pytest.skip(f"{self.profile} profile makes no claim about {gate}")
        if self.fell_back and self.variant == "fp32" and gate not in self.gates:
            return  # a limit relative to FP32 says nothing about FP32 itself
        title = f"{self.decision.record.model}: {self.variant}"
        enforce(self.gates[gate], title, self.inconclusive)

    def _no_claim(self, gate: str) -> bool:
        return self.claimed is not None and gate not in self.claimed


class _Results(dict[str, GateResult]):
    """Results by gate; what was not judged on purpose is no `KeyError`."""

    def __init__(
        self, found: Mapping[str, GateResult], profile: str, unclaimed: Sequence[str]
    ) -> None:
        super().__init__(found)
        self._profile = profile
        self._unclaimed = unclaimed

    def __missing__(self, gate: str) -> GateResult:
        if gate in self._unclaimed:
            raise SpecError(
                f"candidate.gates[{gate!r}]",
                f"the {self._profile} profile makes no claim about {gate}",
                f"call candidate.check({gate!r}) first, which skips the test, or run it with "
                f"{PROFILE}=standard",
            )
        raise KeyError(gate)


def enforce(result: GateResult, title: str, inconclusive: Inconclusive) -> None:
    """Fail a test with a small report, or do as the policy says if a gate is undecided.

    Args:
        result: of the gate.
        title: what was judged.
        inconclusive: the policy.
    """
    __tracebackhide__ = True
    if result.verdict is Verdict.PASS:
        return
    report = f"{title} {result.verdict.value} {result.gate}\n{result.describe()}"
    if result.verdict is Verdict.FAIL:
        pytest.fail(report, pytrace=False)
    # An undecided latency is the machine's noise, not the model's fault.
    policy = "warn" if result.gate == "latency" else inconclusive
    if policy == "fail":
        pytest.fail(report, pytrace=False)
    if policy == "xfail":
        pytest.xfail(report)
        pytest.fail(report, pytrace=False)  # --runxfail makes xfail do nothing
    warnings.warn(report, InconclusiveWarning, stacklevel=3)
