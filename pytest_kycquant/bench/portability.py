"""How a verdict depends on the CPU: INT8 saturates on x86 without VNNI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..quantize import Exposure
from ..runtimes.environment import u8s8_saturates
from ..runtimes.ort import EXACT_ENTRY
from ..spec.prequantized import Prequantized

if TYPE_CHECKING:
    from ..context import Context
    from ..tasks.comparison import Comparison
    from ..tasks.outputs import Outputs
    from .variant import Variant
from .variants import Variants

_OPTION = "=".join(EXACT_ENTRY)
_OPERATORS = "convolutions and matrix products"
_COUNTED = re.compile(rf"^[\d,]+ of [\d,]+ {_OPERATORS} \([^)]*\)")
_REDUCE = "build the model with Recipe(reduce_range=True)"


@dataclass(frozen=True)
class Saturated:
    """The effect of saturation on a variant on this CPU: one run without it, one with it.

    Args:
        drift: distance between the outputs of both runs, as `Task.harm` measures it.
        decisions: number of decisions that differ; None if the task makes no decisions.
        of: number of all decisions.
        what: what is decided about, such as "comparisons".
    """

    drift: float
    decisions: int | None
    of: int
    what: str

    @classmethod
    def here(
        cls,
        variants: Variants,
        variant: Variant,
        fp32: Comparison,
        comparison: Comparison,
        found: Outputs,
    ) -> Saturated | None:
        """Run a variant that was judged without saturation a second time, with saturation.

        Args:
            variants: the object that runs the variant.
            variant: the variant that was judged.
            fp32: FP32 compared with itself on the evaluation images.
            comparison: the variant compared with FP32 on these images.
            found: the outputs of the variant on these images.

        Returns:
            None if the variant was judged with saturation or has no integer operators, if this CPU
            does not saturate, or for ORT format, where the file decides.
        """
        context = variants.context
        saturates = context.environment.u8s8_saturates and variant.runtime.is_reference
        if not (context.exact and saturates and variant.exposure.operators) or variant.is_ort:
            return None
        images = variants.data.evaluation.images
        plain = variants.outputs(variant, images, "evaluation, saturating", exact=False)
        with context.store.machine(exclusive=False):
            differ = comparison.decided_otherwise(variants.task.compare(fp32, plain))
            number, of, what = differ or (None, 0, "")
            return cls(variants.task.harm(found, plain), number, of, what)

    def note(self) -> str:
        """One line for the report."""
        decided = ""
        if self.decisions is not None:
            decided = f"{self.decisions:,} of {self.of:,} {self.what} are decided differently, and "
        return f"without {_OPTION} this CPU saturates: {decided}outputs differ by {self.drift:.4g}"

    def figures(self) -> dict[str, float]:
        """Figures for the report."""
        found = {"saturation_drift": self.drift}
        if self.decisions is not None:
            found |= {
                "saturation_decisions": float(self.decisions),
                "saturation_decisions_of": float(self.of),
            }
        return found


def note_on(context: Context, variant: Variant) -> str:
    """What to know before a variant runs on another CPU, on the runtime that runs it."""
    exposure, runtime = variant.exposure, variant.runtime
    elsewhere = isinstance(variant.recipe, Prequantized)
    remedy = "have it quantized with weights of 7 bits" if elsewhere else _REDUCE
    if runtime.is_reference and not variant.is_ort:
        saturates = context.environment.u8s8_saturates
        return exposure_note(exposure, exact=context.exact, saturates=saturates, remedy=remedy)
    if not exposure.saturable:
        return ""
    if u8s8_saturates(runtime):
        return f"{_count(exposure)} can saturate here, and these verdicts include that: {remedy}"
    where = "could saturate on x86 CPUs without VNNI, which this CPU does not show"
    return f"{_count(exposure)} {where}: {remedy}, or judge it on such a CPU"


def _count(exposure: Exposure) -> str:
    pairs = f"{exposure.saturable_pairs:,} of {exposure.pairs:,} pairs of weights"
    return f"{exposure.saturable:,} of {exposure.operators:,} {_OPERATORS} ({pairs})"


def uncounted(note: str) -> str:
    """A note about saturation without its numbers, so that those of several variants are equal."""
    return _COUNTED.sub(_OPERATORS, note)


def exposure_note(
    exposure: Exposure, *, exact: bool, saturates: bool, remedy: str = _REDUCE
) -> str:
    """What to know before a variant runs on another CPU; "" if nothing in it can saturate.

    Args:
        exposure: the exposure of the variant to saturation.
        exact: whether the variant ran without saturation.
        saturates: whether this CPU saturates (`runtime.u8s8_saturates`).
        remedy: how to make a model that cannot saturate.
    """
    if not exposure.saturable:
        return ""
    count = _count(exposure)
    if exact:
        return (
            f"{count} could saturate on x86 CPUs without VNNI: the model was judged with "
            f"{_OPTION}, so deploy it with that session option"
        )
    if saturates:
        return (
            f"{count} can saturate on this CPU, and these verdicts include that: {remedy}, or "
            "judge it with --kycquant-exact"
        )
    return (
        f"{count} could saturate on x86 CPUs without VNNI, which this CPU does not show: {remedy}, "
        f"or run it with {_OPTION} and judge it with --kycquant-exact"
    )


def exposure_figures(exposure: Exposure) -> dict[str, float]:
    """Figures for the report; none for a variant that computes in float."""
    if not exposure.operators:
        return {}
    return {
        "integer_operators": float(exposure.operators),
        "saturable_operators": float(exposure.saturable),
        "weight_pairs": float(exposure.pairs),
        "saturable_weight_pairs": float(exposure.saturable_pairs),
    }
