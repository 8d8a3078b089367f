"""What plots show of face comparisons: the scores of all pairs in bins, and FAR against FRR.

Memory is O(block x images), as for the gates. A score within rounding of the limit of a bin is
computed again in float64, so that the counts depend neither on threads nor on blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...curves import ScoreCounts, ScorePlot, TradeOff
from ...statistics import RULE_OF_30, Rate
from ..score_plots import BINS, binned, edges_over, of_table, points, thresholds_among
from .embeddings import Cell
from .measures import Floats
from .pair_scores import NO_PAIR, Ids, Largest, PairScores, blocks
from .scores import error_rate

_MOST_PAIRS = 100_000_000  # half a minute for each variant
_MOST = 100_000  # pairs of one kind that a curve may count as errors, the most dangerous ones


def too_many(cell: Cell) -> bool:
    """Whether there are so many pairs that to plot them would take minutes."""
    pairs = cell.comparisons
    return pairs.n_genuine + pairs.n_impostor > _MOST_PAIRS


def score_plot(fp32: Cell, variant: Cell, *, labelled: bool) -> ScorePlot:
    """The scores of all pairs, in bins that are equally wide in the score inside.

    Args:
        fp32: FP32 on both sides.
        variant: the variant on both sides.
        labelled: whether it is known which pairs are genuine.
    """
    edges = edges_over(_ends(fp32, variant), within=fp32.measure.ends)
    side = BINS + 1
    tables = {"impostor" if labelled else "pairs": np.zeros(side * side, np.int64)}
    if labelled:
        tables["genuine"] = np.zeros(side * side, np.int64)
    for kinds in _side_by_side(fp32, variant):
        for table, both in zip(tables.values(), kinds, strict=False):
            there = both[0].values != NO_PAIR
            rows, columns = (_places(one, edges)[there] for one in both)
            table += np.bincount(rows * side + columns, minlength=side * side)
    shown = [fp32.measure.shown(edge) for edge in edges.tolist()]
    counts = [of_table(kind, table) for kind, table in tables.items()]
    if shown[0] > shown[-1]:  # a distance, which falls as the score rises
        shown.reverse()
        counts = [_reversed(one) for one in counts]
    return ScorePlot(
        fp32.measure.noun,
        tuple(shown),
        fp32.threshold if np.isfinite(fp32.threshold) else None,
        tuple(counts),
    )


def trade_off(fp32: Cell, variant: Cell) -> TradeOff:
    """FAR and FRR of both over thresholds, as far as few enough pairs are decided wrongly."""
    both = _Tails.of(fp32), _Tails.of(variant)
    limits = both[0].impostor, both[0].genuine
    chosen, _ = thresholds_among([scores for scores, _ in limits], float(fp32.limit))
    low = max(each.lowest for each in both)
    high = min(each.highest for each in both)
    frozen = float(fp32.limit)
    kept = [each for each in chosen if low <= each <= high]
    shown = (
        tuple(
            replace(one, threshold=fp32.measure.shown(one.threshold))
            for one in points(kept, tails.rates)
        )
        for tails in both
    )
    return TradeOff("", "FAR", "FRR", kept.index(frozen) if frozen in kept else None, *shown)


@dataclass(frozen=True, eq=False)
class _Tails:
    """The pairs of one model that are decided wrongly first.

    Args:
        cell: the model.
        impostor: the highest impostor scores, descending, and the ids of the pairs.
        genuine: the lowest genuine scores, ascending, and the ids of the pairs.
    """

    cell: Cell
    impostor: tuple[Floats, Ids]
    genuine: tuple[Floats, Ids]

    @classmethod
    def of(cls, cell: Cell) -> _Tails:
        """Find both tails in one pass."""
        top, low = Largest(_MOST), Largest(_MOST)
        for impostors, genuine in blocks(cell.gallery, cell.probe, cell.comparisons, cell.measure):
            top.add(impostors)
            low.add(genuine.negated())
        scores, ids = low.sorted()
        return cls(cell, top.sorted(), (-scores, ids))

    @property
    def lowest(self) -> float:
        """The lowest threshold at which all false accepts are known."""
        complete = len(self.impostor[0]) < _MOST
        return -np.inf if complete else float(np.nextafter(self.impostor[0][-1], np.inf))

    @property
    def highest(self) -> float:
        """The highest threshold at which all false rejects are known."""
        complete = len(self.genuine[0]) < _MOST
        return np.inf if complete else float(self.genuine[0][-1])

    def rates(self, threshold: float) -> tuple[Rate, Rate]:
        """FAR and FRR at a threshold in the unit of the score inside."""
        limit, pairs = np.float32(threshold), self.cell.comparisons
        accepted = int(np.searchsorted(-self.impostor[0], -limit, side="right"))
        rejected = int(np.searchsorted(self.genuine[0], limit, side="left"))
        far, frr = (
            error_rate(pairs, ids[:number], ids[:RULE_OF_30], genuine=genuine)
            for ids, number, genuine in (
                (self.impostor[1], accepted, False),
                (self.genuine[1], rejected, True),
            )
        )
        return far, frr


def _side_by_side(
    fp32: Cell, variant: Cell
) -> Iterator[tuple[tuple[PairScores, PairScores], tuple[PairScores, PairScores]]]:
    """Impostor and then genuine scores of the same pairs by both models, in blocks."""
    streams = (
        blocks(cell.gallery, cell.probe, cell.comparisons, cell.measure) for cell in (fp32, variant)
    )
    for one, other in zip(*streams, strict=True):
        yield (one[0], other[0]), (one[1], other[1])


def _ends(*cells: Cell) -> list[NDArray[np.float64]]:
    """The lowest and the highest finite score of each model."""
    found = []
    for cell in cells:
        low, high = np.inf, -np.inf
        for kinds in blocks(cell.gallery, cell.probe, cell.comparisons, cell.measure):
            for scores in kinds:
                known = scores.values[np.isfinite(scores.values)]
                if known.size:
                    low, high = min(low, float(known.min())), max(high, float(known.max()))
        found.append(np.asarray([low, high]))
    return found


def _places(scores: PairScores, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins of scores, from exact ones where rounding may have moved a score across a limit."""
    values = scores.values.reshape(-1)
    found = binned(values, edges)
    step = (edges[-1] - edges[0]) / BINS
    with np.errstate(invalid="ignore"):
        place = (values - edges[0]) / step
        near = np.flatnonzero(np.abs(place - np.rint(place)) <= float(scores.slack) / step)
    if len(near):
        found[near] = binned(scores.exact(scores.ids(near)), edges)
    return found.reshape(scores.values.shape)


def _reversed(counts: ScoreCounts) -> ScoreCounts:
    """The same counts with bins in the opposite order; trials without a score stay the last."""

    def turned(place: int) -> int:
        return place if place == BINS else BINS - 1 - place

    cells = ((turned(row), turned(column), number) for row, column, number in counts.cells)
    return ScoreCounts(counts.kind, tuple(sorted(cells)))
