"""The comparisons and images that weigh most in the verdict of a face gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...results import MOST_OFFENDERS, Offender
from ..checks import known
from .near import scores_of
from .pair_scores import pair_images

if TYPE_CHECKING:
    from .embeddings import Cell, EmbeddingComparison, FaceBaseline
    from .flips import Flips
    from .pair_scores import Ids


def of_rate(baseline: FaceBaseline, cell: Cell, *, genuine: bool) -> list[Offender]:
    """The impostor pairs with the highest scores, or the genuine pairs with the lowest."""
    ids = (cell.worst.genuine_ids if genuine else cell.worst.impostor_ids)[:MOST_OFFENDERS]
    return [_pair(baseline, cell, one, genuine=genuine) for one in ids.tolist()]


def of_increase(comparison: EmbeddingComparison, *, genuine: bool) -> list[Offender]:
    """The pairs that only the variant decides wrongly, the furthest across the threshold first."""
    cell, exact = comparison.cell, comparison.baseline.cell
    newly = np.setdiff1d(cell.wrong(genuine=genuine), exact.wrong(genuine=genuine))
    return [
        _pair(comparison.baseline, cell, one, genuine=genuine) for one in _furthest(cell, newly)
    ]


def of_flips(comparison: EmbeddingComparison, cell: Cell, flips: Flips) -> list[Offender]:
    """The pairs that the variant decides otherwise, the furthest across the threshold first."""
    rejected = set(flips.rejects.tolist())
    both = np.sort(np.concatenate([flips.accepts, flips.rejects]))
    return [
        _pair(comparison.baseline, cell, one, genuine=one in rejected)
        for one in _furthest(cell, both)
    ]


def of_drift(comparison: EmbeddingComparison) -> list[Offender]:
    """The images whose embeddings are furthest from those of FP32."""
    baseline, away = comparison.baseline, comparison.likeness
    order = np.argsort(away, kind="stable")[:MOST_OFFENDERS]
    return [
        Offender(
            (baseline.names[i],),
            _people(baseline, [i]),
            known(away[i]),
            1.0,
            None,
            f"{baseline.measure.relates} to the embedding of FP32",
        )
        for i in order.tolist()
    ]


def _furthest(cell: Cell, ids: Ids) -> list[int]:
    """The ten pairs whose scores are furthest from the threshold; those without a score first."""
    left, right = pair_images(cell.comparisons, ids)
    scores = scores_of(cell.gallery, cell.probe, left, right, cell.measure)
    away = np.abs(scores - float(cell.limit))
    order = np.argsort(-np.nan_to_num(away, nan=np.inf), kind="stable")[:MOST_OFFENDERS]
    found: list[int] = ids[order].tolist()
    return found


def _pair(baseline: FaceBaseline, cell: Cell, pair: int, *, genuine: bool) -> Offender:
    ids: Ids = np.asarray([pair], np.int64)
    left, right = pair_images(baseline.comparisons, ids)
    exact, measure = baseline.cell.probe, cell.measure
    mine, theirs = (
        scores_of(gallery, probe, left, right, measure)[0]
        for gallery, probe in ((cell.gallery, cell.probe), (exact, exact))
    )
    rejected, before = (
        not np.float32(score) >= cell.limit if genuine else bool(np.float32(score) < cell.limit)
        for score in (mine, theirs)
    )
    finding = "rejected" if rejected else "accepted"
    if rejected != before:
        finding = f"newly {finding}"
    images = [int(left[0]), int(right[0])]
    return Offender(
        tuple(baseline.names[i] for i in images),
        _people(baseline, images),
        known(measure.shown(mine)),
        known(measure.shown(theirs)),
        known(cell.threshold),
        finding,
    )


def _people(baseline: FaceBaseline, images: list[int]) -> str:
    if not baseline.people:
        return ""
    return " and ".join(dict.fromkeys(baseline.people[i] for i in images))
