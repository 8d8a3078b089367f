"""A variant compared with FP32: the interface that the bench uses for every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..curves import Curves
    from ..results import GateResult, GroupIncrease, Offender
    from ..statistics import Rate
    from ..verdicts import Check


class Comparison(ABC):
    """A variant and FP32 on the same images, at the same frozen threshold.

    The baseline is a comparison too: that of FP32 with itself. Every task has a class of its own
    (see `Task.compare`), which knows the limits.
    """

    @abstractmethod
    def finite(self) -> GateResult:
        """Check for NaN or Inf in any output, and that outputs still depend on the image."""

    def accuracy(self) -> list[GateResult]:
        """Absolute limits: one result for each of the task's `accuracy` gates, in order.

        Empty for a task without labels.
        """
        return []

    @abstractmethod
    def against_fp32(self, *, float_variant: bool = False) -> GateResult:
        """Changes from FP32: paired increase of errors, and drift of the outputs.

        Args:
            float_variant: whether the variant computes in floating point ("fp16",
                "fp32-optimized") and should hardly drift.
        """

    def drift(self, *, float_variant: bool = False) -> list[Check]:
        """The checks of `against_fp32` that measure the distance of outputs from FP32's.

        They need no labels, and rates of decisions are left out. Empty if no limit of the drift is
        known.

        Args:
            float_variant: see `against_fp32`.
        """
        return []

    @abstractmethod
    def rates(self) -> Mapping[str, Rate]:
        """Error rates of FP32, which the golden records and a later run must reproduce."""

    def golden_figures(self) -> Mapping[str, float]:
        """Further figures that FP32 must reproduce."""
        return {}

    def offenders(self, gate: GateResult) -> list[Offender]:
        """The cases that weigh most in the verdict of a gate, at most ten, the worst first.

        Args:
            gate: a result that this comparison gave.
        """
        return []

    def groups(self) -> list[GroupIncrease]:
        """Error rates of each group of people and their increase over FP32, for reports."""
        return []

    def figures(self) -> dict[str, float]:
        """Further figures of the variant, for reports."""
        return {}

    def columns(self) -> dict[str, str]:
        """Further columns of the table, as header and cell."""
        return {}

    def curves(self) -> Curves:
        """What plots show, for reports."""
        from ..curves import Curves

        return Curves()

    def decided_otherwise(self, other: Any) -> tuple[int, int, str] | None:
        """The number of decisions that differ from another variant's, their total and their kind.

        Args:
            other: a comparison of another variant with the same baseline.

        Returns:
            (differing, total, plural noun), or None if the task makes no decisions.
        """
        return None
