"""The smoke profile: is a variant damaged? A few images, no claim on error rates, seconds.

Each figure is held against its limit as it is on these images: no bounds, so the same images give
the same verdict. What is left out (error rates, degradation of them, latency) is not judged at
all, and nothing is cleared to ship.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ..results import GateResult, VariantRecord
from ..spec.recipe import Recipe
from ..tasks.base import Part
from ..tasks.comparison import Comparison
from ..tasks.outputs import Outputs
from ..verdicts import Check
from . import golden as goldens
from .judge import FLOAT, Bench
from .sizes import judge_fp32_size
from .variants import Variant

IMAGES = 64
_REMEDY = "Judge it with the standard profile, which also looks for another precision."


class SmokeBench(Bench):
    """Looks for damage in the variants of a model."""

    searches = False

    @property
    def claimed(self) -> tuple[str, ...]:
        """Names of the gates that are judged."""
        return ("finite", *((self._drift_gate,) if self._drift(self._itself) else ()), "size")

    @cached_property
    def golden(self) -> goldens.Golden:
        """The golden baseline, whose threshold holds here, too.

        That FP32 still makes the errors that it records would take all images to see.

        Raises:
            GoldenError: missing, stale or edited.
        """
        return self._current_golden()

    @cached_property
    def fp32_record(self) -> VariantRecord:
        """FP32, which is held against nothing but NaN and absolute size."""
        gates = [self._itself.finite(), *judge_fp32_size(self.fp32.size, self.limits)]
        row = self._row("fp32", self.fp32, gates, {}, {})
        return self._noted(row, f"smoke looked at {self._sample.size}")

    @property
    def undecidable(self) -> tuple[Check, ...]:
        """Nothing: figures without bounds always decide."""
        return ()

    def record(self, recipe: Recipe) -> VariantRecord:
        """Build a variant and look whether it is damaged."""
        if recipe not in self._records:
            variant = self.variant(recipe)
            comparison = self.task.compare(self._itself, self._sampled(variant))
            drift = self._drift(comparison, float_variant=recipe.precision in FLOAT)
            gates = [self.judge_finite(comparison, variant)]
            if drift:
                gates.append(GateResult(self._drift_gate, tuple(drift), _REMEDY))
            gates.append(self._judge_size(variant))
            columns = {c.name: c.unit.show(c.value) for c in drift if c.value is not None}
            self._records[recipe] = self._row(recipe.name, variant, gates, {}, columns)
        return self._records[recipe]

    @property
    def _drift_gate(self) -> str:
        return "degradation" if self.model.task.labelled else "agreement"

    @cached_property
    def _sample(self) -> Part[Any]:
        return self.task.sample(self.data.evaluation, IMAGES)

    @cached_property
    def _itself(self) -> Comparison:
        """FP32 held against itself on the sample."""
        return self.task.baseline(self._sample, self._sampled(self.fp32), self.golden.threshold)

    def _sampled(self, variant: Variant) -> Outputs:
        return self.outputs(variant, self._sample.images, "smoke")

    def _drift(self, comparison: Comparison, *, float_variant: bool = False) -> list[Check]:
        return [check.as_point() for check in comparison.drift(float_variant=float_variant)]
