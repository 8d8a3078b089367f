"""How many people would decide FRR, if more people also choose a laxer threshold.

A threshold that is chosen by the upper bound of FAR is stricter with few people, and FRR is higher
at it. So FRR falls as people join, and a plan that keeps the rate asks for too many
(`tests/tasks/test_laxer.py` lets people join and compares both).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...statistics import RULE_OF_30, imagined
from ...verdicts import Verdict
from ..rates import last_that_holds
from .pair_scores import Largest, blocks
from .scores import error_rate, extremes

if TYPE_CHECKING:
    from ...statistics import Rate
    from ...verdicts import Limit
    from .embeddings import Cell, FaceBaseline
    from .measures import Floats
    from .pair_scores import Ids

_MOST = 1000  # times as many people: beyond that, a plan is a guess
_STEP = 1.05


class Plan(NamedTuple):
    """The number of people that would decide, and how."""

    people: int
    verdict: Verdict


def people_for_frr(baseline: FaceBaseline, cell: Cell, limit: Limit, far: float) -> Plan | None:
    """Plan for FRR where the people who are judged also choose the threshold.

    For each number of people, the threshold is the smallest of the present scores for which the
    upper bound of FAR would be below `far`, and FRR is counted at it.

    Args:
        baseline: FP32 on the people, all of whose pairs are compared.
        cell: the comparison whose FRR is undecided.
        limit: the limit of FRR.
        far: the FAR for which the threshold is chosen.

    Returns:
        The plan; None if not even a thousand times as many people would decide.
    """
    pairs, exact = baseline.comparisons, baseline.cell
    people = exact.rate(genuine=False).subjects
    keep = max(RULE_OF_30, int(far * pairs.n_impostor) + 1)
    top = extremes(exact.probe, exact.probe, pairs, keep, exact.measure)
    scores, ids = top.impostor_scores, top.impostor_ids
    genuine, genuine_ids = _genuine(cell)

    @functools.cache
    def accepts(k: int) -> Rate:
        """FAR of FP32 if only scores above the k-th are accepted."""
        accepted = int(np.searchsorted(-scores, -scores[k], side="left"))
        return error_rate(pairs, ids[:accepted], ids[:RULE_OF_30], genuine=False)

    @functools.cache
    def rejects(k: int) -> Rate:
        """FRR just above the k-th impostor score."""
        wrong = int(np.searchsorted(genuine, scores[k], side="right"))
        found = genuine_ids[:wrong]
        return error_rate(pairs, found, genuine_ids[:RULE_OF_30], genuine=True)

    def verdict(many: int) -> Verdict:
        def holds(k: int) -> bool:
            return imagined(accepts(k), many, crossed=True).upper < far

        chosen = last_that_holds(len(scores), holds) if holds(0) else 0
        found = imagined(rejects(chosen), many)
        return limit.judge(found.lower, found.upper)

    many = people
    while many <= _MOST * people:
        many = math.ceil(many * _STEP)
        if (decided := verdict(many)) is not Verdict.INCONCLUSIVE:
            return Plan(many, decided)
    return None


def _genuine(cell: Cell) -> tuple[Floats, Ids]:
    """The scores of all genuine pairs, ascending and exact, and their ids."""
    lowest = Largest(max(cell.comparisons.n_genuine, 1))
    for _, genuine in blocks(cell.gallery, cell.probe, cell.comparisons, cell.measure):
        lowest.add(genuine.negated())
    scores, ids = lowest.sorted()
    return -scores, ids
