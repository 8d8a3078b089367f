"""Judges a damaged model, once by the gates of users and once by the truth."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

import pytest_kycquant
from pytest_kycquant.bench.judge import StandardJudge
from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.cache import Cache, digest_of
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import KycquantError
from pytest_kycquant.measure import latency as latencies
from pytest_kycquant.plain import plain
from pytest_kycquant.quantize import broken_constants
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.spec.model import KycModel
from pytest_kycquant.tasks.outputs import Outputs
from pytest_kycquant.verdicts import Check, Direction, Kind, Verdict

# The code that turns an image and a model into outputs; the rest judges outputs or makes models.
_RUNS = ("runtimes/ort.py", "data/images.py", "data/crops.py", "data/placement.py")
_READS = ("tasks/outputs.py", "tasks/detection/decode.py", "tasks/detection/layouts/*.py")
HARMFUL, HARMLESS, BORDERLINE = "harmful", "harmless", "borderline"
BEYOND, NEAR, INSIDE = "beyond", "near", "inside"  # drift limits, on many people
# If a lower bound is this many times the limit, a part of the people is enough to decide.
_PLAIN = 2.0


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of the gates on one model.

    Args:
        gates: results by gate; empty if the model could not be judged at all.
        error: the error that users would see in that case.
    """

    gates: dict[str, GateResult]
    error: str = ""

    @property
    def outcome(self) -> str:
        """PASS, FAIL, INCONCLUSIVE or ERROR of all gates together."""
        if self.error:
            return "ERROR"
        found = [Verdict.PASS if g.ships else g.verdict for g in self.gates.values()]
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            if verdict in found:
                return verdict.value
        return Verdict.PASS.value

    @property
    def objections(self) -> list[tuple[str, Check]]:
        """Every check that does not pass, with the name of its gate."""
        return [
            (name, check)
            for name, gate in self.gates.items()
            for check in gate.checks
            if check.verdict is not Verdict.PASS
        ]


@dataclass(frozen=True)
class Truth:
    """Whether a model is harmful, and why.

    Args:
        kind: "harmful", "harmless" or "borderline".
        reason: the check that decides, or the one nearest to its limit.
        errors: the checks of errors on the large set.
        drift: whether the drift limits are exceeded there: "beyond", "inside", or "near" if the
            bounds of a check enclose its limit.
    """

    kind: str
    reason: str
    errors: tuple[Check, ...] = ()
    drift: str = BEYOND

    @property
    def usage(self) -> float:
        """The largest share of a limit that an estimate uses; infinite without any check."""
        return max(map(usage, self.errors), default=math.inf)


class FaultVariants(Variants):
    """Makes variants, and accepts files that no recipe made."""

    def given(self, content: bytes, like: Variant, name: str, folder: Path) -> Variant:
        """Write a file as a variant, as if the recipe of another variant had made it.

        Args:
            content: the serialized model.
            like: the variant that was damaged, with its recipe and the operators that it changed.
            name: name of the new variant.
            folder: the folder to write the file to.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = folder / f"{digest[:16]}.onnx"
        path.write_bytes(content)
        file = replace(like.files[0], path=path, sha256=digest, size=len(content))
        return Variant(replace(like.recipe, name=name), (file,))

    def outputs(
        self, variant: Variant, images: ImageSet, role: str, *, exact: bool | None = None
    ) -> Outputs:
        """Outputs as in a run, but stored so that they survive changes of the gates' code."""
        (source,), (file,) = self.sources, variant.files
        seen = self.task.seen(images, source.index)
        facts = [file.sha256, seen.digest, source.input_facts(), source.outputs_read]
        key = digest_of([_running_code(), plain(self.context.environment), *facts])
        assert isinstance(self.context.store, Cache)
        folder = self.context.store.root.parent / "outputs"
        path = folder / f"{key[:32]}.npz"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            partial = folder / f"{key[:32]}.partial.npz"
            super().outputs(variant, images, role, exact=exact).save(partial)
            partial.rename(path)
        return Outputs.read(path)


class FaultJudge(StandardJudge):
    """Judges files that no recipe made.

    Args:
        workspace: the workspace of this process.
        model: the model, as the gate file describes it.
        gate_file: the gate file.
        limits: the limits of the gates.
    """

    variants: FaultVariants

    def __init__(
        self, workspace: Workspace, model: KycModel, gate_file: Path, limits: Limits
    ) -> None:
        variants = FaultVariants.of_gate(workspace, model, gate_file, limits)
        super().__init__(workspace, variants, limits, gate_file)

    def verdicts(
        self, variant: Variant, *, threshold: float | None = None, latency: bool = False
    ) -> Verdicts:
        """Every gate of users; latency only on request, since damages do not change it.

        Args:
            variant: the damaged model.
            threshold: the frozen threshold, for images without a golden; None to read the golden.
            latency: whether to measure latency.
        """
        if threshold is None:
            threshold = self.require_golden().threshold
        variants = self.variants
        try:
            found = variants.outputs(variant, variants.data.evaluation.images, "evaluation")
            comparison = variants.task.compare(self.baseline.comparison(threshold), found)
            gates = [
                self.judge_finite(comparison, variant),
                *comparison.accuracy(),
                comparison.against_fp32(float_variant=variant.recipe.is_float),
                self.judge_size(variant),
            ]
            if latency:
                gates.append(latencies.judge(self.measure_latency(variant), self.limits))
        except KycquantError as error:
            return Verdicts({}, str(error))
        return Verdicts({gate.gate: gate for gate in gates})


class Court:
    """Decides the truth about a model, on people that its gates do not see.

    Args:
        look: a judge with few people, which is enough where the truth is obvious.
        whole: a judge with many people.
        more: a function that makes a judge with the given number of other people, for gates that
            ask for more; None if there are no more people.
        threshold: the frozen threshold.
    """

    def __init__(
        self,
        look: FaultJudge,
        whole: FaultJudge,
        more: Callable[[int], FaultJudge] | None,
        threshold: float,
    ) -> None:
        self._judges = look, whole
        self._more = more
        self._threshold = threshold

    def appeal(self, variant: Variant, sizes: Sequence[int]) -> tuple[str, int]:
        """The verdict of the gates on more people, and the number of people that decided it.

        Args:
            variant: the model that the gates could not decide about.
            sizes: numbers of people, ascending; the next is used while nothing is decided.

        Returns:
            The last outcome and its number of people; ("", 0) if there are no more people.
        """
        found = "", 0
        for people in sizes if self._more else ():
            assert self._more is not None
            found = self._more(people).verdicts(variant, threshold=self._threshold).outcome, people
            if found[0] != Verdict.INCONCLUSIVE.value:
                break
        return found

    def truth(self, variant: Variant, *, suspect: bool = True) -> Truth:
        """Harmful if a limit of errors is exceeded, harmless if none is, by 95 % bounds.

        If the bounds of a check enclose its limit, the model is borderline.

        Args:
            variant: the model.
            suspect: whether to look at few people first, which saves time if the model is harmful.
        """
        first, last = self._judges
        if suspect:
            found = _judged(first, variant, self._threshold)
            if found.kind == HARMFUL and (not found.errors or any(map(_plain, found.errors))):
                return found
        return _judged(last, variant, self._threshold)


def _judged(judge: FaultJudge, variant: Variant, threshold: float) -> Truth:
    variants = judge.variants
    try:
        outputs = variants.outputs(variant, variants.data.evaluation.images, "held-out")
    except KycquantError as error:
        return Truth(HARMFUL, f"does not run: {error}")
    comparison = variants.task.compare(judge.baseline.comparison(threshold), outputs)
    against = comparison.against_fp32(float_variant=variant.recipe.is_float)
    drift = {check.verdict for check in against.checks if is_drift(check)}
    checks = [check for gate in comparison.accuracy() for check in gate.checks]
    checks += [check for check in against.checks if not is_drift(check)]
    stored = [name for path in variant.paths for name in broken_constants(onnx.load(path).graph)]
    found = decide(checks, int((~outputs.finite).sum()), stored)
    where = BEYOND if Verdict.FAIL in drift else NEAR if drift - {Verdict.PASS} else INSIDE
    return replace(found, drift=where)


def decide(checks: Sequence[Check], broken: int, stored: Sequence[str] = ()) -> Truth:
    """The truth from checks of errors on many people.

    Args:
        checks: checks of errors, with both bounds.
        broken: number of images with NaN or Inf in an output.
        stored: constants of the model with NaN or Inf. Their effect in integer kernels depends on
            the CPU (converting NaN to an integer is undefined), so errors here say nothing about
            errors elsewhere.
    """
    errors = tuple(checks)
    if stored:
        return Truth(HARMFUL, f"NaN or Inf is stored in {stored[0]}", errors)
    if broken:
        return Truth(HARMFUL, f"NaN or Inf for {broken:,} images", errors)
    for kind, verdict in ((HARMFUL, Verdict.FAIL), (BORDERLINE, Verdict.INCONCLUSIVE)):
        if concerned := [check for check in checks if check.verdict is verdict]:
            worst = max(concerned, key=usage)
            return Truth(kind, _short(worst), errors)
    return Truth(HARMLESS, _short(max(checks, key=usage)), errors)


def is_drift(check: Check) -> bool:
    """Whether a check is about drift from FP32, which need not show in any error rate."""
    return check.limit is not None and check.limit.kind is Kind.DRIFT


def usage(check: Check) -> float:
    """The share of its limit that an estimate uses; if more is better, of the shortfall from 1."""
    limit, value = check.limit, check.value
    assert limit is not None
    assert value is not None
    if limit.direction is Direction.AT_LEAST:
        return (1 - value) / limit.complement.value
    return value / limit.value


def _plain(check: Check) -> bool:
    """Whether even the lower bound of an error is far beyond its limit."""
    limit = check.limit
    if check.verdict is not Verdict.FAIL or check.lower is None or limit is None:
        return False
    if limit.direction is Direction.AT_LEAST:
        assert check.upper is not None
        return 1 - check.upper >= _PLAIN * limit.complement.value
    return check.lower >= _PLAIN * limit.value


def _short(check: Check) -> str:
    assert check.value is not None
    assert check.lower is not None
    assert check.upper is not None
    value, lower, upper = map(check.unit.show, (check.value, check.lower, check.upper))
    return f"{check.name} {value} [{lower}, {upper}]"


@functools.cache
def _running_code() -> str:
    """Digest of the code that runs models."""
    root = Path(pytest_kycquant.__file__).parent
    files = [file for name in (*_RUNS, *_READS) for file in sorted(root.glob(name))]
    return digest_of([file.read_text(encoding="utf-8") for file in files])
