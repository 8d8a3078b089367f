"""The smoke profile: is a variant damaged? It takes seconds and makes no claim about error rates.

Each figure of a few images is compared with its limit, without bounds, so the same images give the
same verdict. Error rates, their degradation and latency are not judged at all, and nothing is
cleared to ship.
"""

from __future__ import annotations

import math
import os
from functools import cached_property
from typing import Any

from ..results import GateResult
from ..spec.prequantized import Asked
from ..tasks.base import Part
from ..tasks.comparison import Comparison
from ..tasks.outputs import Outputs
from ..verdicts import Check
from .golden import Golden
from .judge import Judge, with_offenders
from .people import Role
from .records import VariantRecord
from .sizes import judge_fp32_size
from .variant import Variant

IMAGES = 64  # for a look at outputs, and at most for calibration
_REMEDY = "Judge it with the standard profile, which also looks for another precision."


class SmokeJudge(Judge):
    """Looks for damage in the variants of a model."""

    @property
    def claimed(self) -> tuple[str, ...]:
        """Names of the gates that are judged."""
        drifts = self._comparable and bool(self._itself.drift())
        return ("finite", *((self.drift_gate,) if drifts else ()), "size")

    def _checked_golden(self) -> Golden:
        """Read the golden for its threshold; without one, nothing that needs a threshold is judged.

        Checking that FP32 reproduces the recorded errors would take all images.
        """
        if os.path.lexists(self.baseline.path) or self.workspace.settings.update_golden:
            return self.baseline.load_golden()
        return self.baseline.provisional()

    def _judge_fp32(self) -> list[GateResult]:
        finite = [self._itself.finite()] if self.asks("finite") else []
        return [*finite, *judge_fp32_size(self.variants.fp32.size, self.limits)]

    @property
    def _fp32_note(self) -> str:
        note = f"the smoke profile used {self._sample.size}"
        if os.path.lexists(self.baseline.path):
            return note
        note += "; there is no golden yet, so nothing is known of FP32's errors"
        if not self._comparable:
            note += ", and without a threshold nothing was compared but NaN and size"
        return note

    @property
    def _comparable(self) -> bool:
        """Whether outputs can be compared: for some tasks, only at a threshold."""
        return not self.variants.task.drifts_at_threshold or (
            self.require_golden().threshold is not None
        )

    def _judge(self, recipe: Asked, role: Role) -> VariantRecord:
        variant = self.variants.variant(recipe)
        gates: list[GateResult] = []
        drift: list[Check] = []
        if self.asks("finite", self.drift_gate):
            comparison = self.variants.task.compare(self._itself, self._sampled(variant))
            gates.append(self.judge_finite(comparison, variant))
            if self.asks(self.drift_gate) and self._comparable:
                found = comparison.drift(float_variant=recipe.is_float)
                drift += [check.as_point() for check in found]
        if drift:
            gates.append(GateResult(self.drift_gate, tuple(drift), _REMEDY))
        if gates:
            gates = [with_offenders(comparison, gate) for gate in gates]
        gates.append(self.judge_size(variant))
        columns = {c.name: c.unit.show(c.value) for c in drift if c.value is not None}
        return self.row(recipe.name, variant, gates, {}, columns)

    @cached_property
    def _sample(self) -> Part[Any]:
        return self.variants.task.sample(self.variants.data.evaluation, IMAGES)

    @cached_property
    def _itself(self) -> Comparison:
        """FP32 compared with itself on the sample."""
        fp32 = self._sampled(self.variants.fp32)
        threshold = self.require_golden().threshold
        if threshold is None and self.variants.task.has_threshold:
            threshold = math.nan  # decides nothing; what needs a threshold is not asked for
        return self.variants.task.baseline(self._sample, fp32, threshold)

    def _sampled(self, variant: Variant) -> Outputs:
        return self.variants.outputs(variant, self._sample.images, "smoke")
