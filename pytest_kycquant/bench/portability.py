"""What of a verdict depends on the CPU: saturation of INT8 on x86 without VNNI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..quantize import Exposure
from ..runtimes.ort import EXACT

if TYPE_CHECKING:
    from ..tasks.comparison import Comparison
    from ..tasks.outputs import Outputs
    from .variants import Variant, Variants

_OPTION = "=".join(EXACT)


@dataclass(frozen=True)
class Saturated:
    """What saturation does to a variant on this CPU: run without it and with it.

    Args:
        drift: distance of the outputs of both runs, as `Task.harm` measures it.
        decisions: that differ; None if the task has none.
        of: so many decisions.
        what: they are about, such as "comparisons".
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
        """Run what was judged without saturation a second time, with it.

        Args:
            variants: runs the variant.
            variant: that was judged.
            fp32: FP32 held against itself, on the evaluation images.
            comparison: of the variant with FP32 there.
            found: outputs of the variant there.

        Returns:
            None where the variant was not run without saturation, has no integer operators, or
            this CPU does not saturate.
        """
        context = variants.context
        saturates = context.environment.u8s8_saturates
        if not (context.exact and saturates and variant.exposure.operators):
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
            decided = f"{self.decisions:,} of {self.of:,} {self.what} come out otherwise, and "
        return (
            f"run without {_OPTION} this CPU saturates: {decided}outputs are {self.drift:.4g} off"
        )

    def figures(self) -> dict[str, float]:
        """Figures for the report."""
        found = {"saturation_drift": self.drift}
        if self.decisions is not None:
            found |= {
                "saturation_decisions": float(self.decisions),
                "saturation_decisions_of": float(self.of),
            }
        return found


def exposure_note(exposure: Exposure, *, exact: bool, saturates: bool) -> str:
    """What to know before a variant goes to another CPU; "" if nothing of it can saturate.

    Args:
        exposure: of the variant.
        exact: whether it ran without saturation.
        saturates: whether this CPU saturates (`runtime.u8s8_saturates`).
    """
    if not exposure.saturable:
        return ""
    pairs = f"{exposure.saturable_pairs:,} of {exposure.pairs:,} pairs of weights"
    operators = f"{exposure.saturable:,} of {exposure.operators:,} convolutions and matrix products"
    count = f"{operators} ({pairs})"
    if exact:
        return (
            f"{count} could saturate on x86 CPUs without VNNI: judged with {_OPTION}, deploy it "
            "with that session option"
        )
    if saturates:
        return (
            f"{count} can saturate on this CPU, and these verdicts include that: build it with "
            "Recipe(reduce_range=True), or judge it with --kycquant-exact"
        )
    return (
        f"{count} could saturate on x86 CPUs without VNNI, and this CPU does not show it: build it "
        f"with Recipe(reduce_range=True), or run it with {_OPTION}, which --kycquant-exact judges"
    )


def exposure_figures(exposure: Exposure) -> dict[str, float]:
    """Figures for the report; none for what computes in float."""
    if not exposure.operators:
        return {}
    return {
        "integer_operators": float(exposure.operators),
        "saturable_operators": float(exposure.saturable),
        "weight_pairs": float(exposure.pairs),
        "saturable_weight_pairs": float(exposure.saturable_pairs),
    }
