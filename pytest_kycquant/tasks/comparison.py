"""A variant held against FP32: what the bench asks of it, whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..results import GateResult, GroupIncrease
    from ..statistics import Rate
    from ..verdicts import Check


class Comparison(ABC):
    """A variant beside FP32 on the same images, at the same frozen threshold.

    FP32 held against itself is a comparison, too: the baseline. Every task makes one of its own
    class (see `Task.compare`), which knows the limits and answers all that follows.
    """

    @abstractmethod
    def finite(self) -> GateResult:
        """No NaN or Inf in any output, and outputs that still depend on the image."""

    def accuracy(self) -> list[GateResult]:
        """Absolute limits: one result for each of the task's `accuracy` gates, in order.

        Empty for a task without labels.
        """
        return []

    @abstractmethod
    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """What changed against FP32: paired increase of errors, and drift of the outputs.

        Args:
            float_variant: whether the variant computes in floats ("fp16", "fp32-optimized") and
                so has no excuse to drift.
        """

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """Of `against_fp32`, how far outputs are from FP32's: what needs no labels.

        Rates of decisions are left out. Empty if nobody knows which drift would be too much.

        Args:
            float_variant: see `against_fp32`.
        """
        return []

    @abstractmethod
    def rates(self) -> Mapping[str, Rate]:
        """Error rates of FP32, for the golden: what it must reproduce."""

    def golden_figures(self) -> Mapping[str, float]:
        """What FP32 must reproduce besides its error rates."""
        return {}

    def groups(self) -> list[GroupIncrease]:
        """Error rates of each group of people and their increase over FP32, for reports."""
        return []

    def figures(self) -> dict[str, float]:
        """Further figures of the variant, for reports."""
        return {}

    def columns(self) -> dict[str, str]:
        """Further columns of the table: header and cell."""
        return {}

    def decided_otherwise(self, other: Any) -> tuple[int, int, str] | None:
        """Decisions that differ from those of another variant, of how many, and about what.

        Args:
            other: a comparison of another variant with the same baseline.

        Returns:
            None if the task decides nothing.
        """
        return None
