"""What plots show of a variant beside FP32, as plain records: counts, never scores by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreCounts:
    """How often FP32 and the variant give which scores, for one kind of trials.

    Args:
        kind: what is scored, such as "genuine", "live" or the name of a species.
        cells: (bin of FP32's score, bin of the variant's score, number of trials), in order of the
            bins. A bin is an index into the intervals between `ScorePlot.edges`; the one after the
            last stands for trials without a finite score.
    """

    kind: str
    cells: tuple[tuple[int, int, int], ...]

    def of_fp32(self, bins: int) -> list[int]:
        """The number of trials in each bin by FP32's score, and last those without one."""
        return self._along(0, bins)

    def of_variant(self, bins: int) -> list[int]:
        """The number of trials in each bin by the variant's score, and last those without one."""
        return self._along(1, bins)

    def _along(self, axis: int, bins: int) -> list[int]:
        found = [0] * (bins + 1)
        for cell in self.cells:
            found[cell[axis]] += cell[2]
        return found


@dataclass(frozen=True)
class ScorePlot:
    """The scores of all trials, in bins.

    Args:
        score: what the score is, such as "cosine".
        edges: limits of the bins, ascending, in the unit of the score.
        threshold: the frozen threshold; None if decisions do not depend on one.
        kinds: the counts by kind of trial.
    """

    score: str
    edges: tuple[float, ...]
    threshold: float | None
    kinds: tuple[ScoreCounts, ...]


@dataclass(frozen=True)
class OperatingPoint:
    """Both error rates at one threshold, each with one-sided 95 % bounds.

    Args:
        threshold: the threshold, in the unit of the score.
        x: the error rate on the horizontal axis.
        x_lower: its lower bound; None if it has none.
        x_upper: its upper bound; None if it has none.
        y: the error rate on the vertical axis.
        y_lower: its lower bound.
        y_upper: its upper bound.
    """

    threshold: float
    x: float
    x_lower: float | None
    x_upper: float | None
    y: float
    y_lower: float
    y_upper: float


@dataclass(frozen=True)
class TradeOff:
    """The detection error trade-off (DET) of FP32 and of the variant, at the same thresholds.

    Args:
        kind: the species or class; "" if there is only one curve.
        x: name of the error rate on the horizontal axis, such as "FAR".
        y: name of the error rate on the vertical axis, such as "FRR".
        frozen: index of the point at the frozen threshold; None if the curves do not reach it.
        fp32: the points of FP32.
        variant: the points of the variant.
    """

    kind: str
    x: str
    y: str
    frozen: int | None
    fp32: tuple[OperatingPoint, ...]
    variant: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Round:
    """One round of the latency measurement: the time of one image, in ms.

    Args:
        fp32: time of FP32.
        variant: time of the variant.
        fp32_again: time of a second session of FP32, the control.
    """

    fp32: float
    variant: float
    fp32_again: float


@dataclass(frozen=True)
class Curves:
    """Everything that plots show of one variant.

    Args:
        scores: the scores of trials; None if the task has none.
        trade_offs: error rates over thresholds; empty without labels.
        rounds: the rounds of the latency measurement, in order.
    """

    scores: ScorePlot | None = None
    trade_offs: tuple[TradeOff, ...] = ()
    rounds: tuple[Round, ...] = ()
