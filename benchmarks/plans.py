"""Is the number of people that a verdict asks for the number that decides?

The plan of `subjects_to_decide` assumes that the rate stays the same. Here many samples of 100
people are drawn, and each says how many people it takes to decide. That is compared with the number
of people with which half of all samples are decided; the medians should agree. All samples are
asked, also those that are decided already: the undecided ones are those with bad luck, whose rates
are higher than the population's, so what they ask for is larger (a column of its own). Run with::

    python -m benchmarks.plans [--runs N]

The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.populations import POPULATIONS, Draw, Floats, threshold_at
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.statistics import MIN_SUBJECTS, Rate, subjects_to_decide
from pytest_kycquant.tasks.face.embeddings import Cell
from pytest_kycquant.verdicts import Direction, Kind, Limit, Unit, Verdict

IMAGES = 4
FIRST, MOST = 100, 1200  # people
ROOM = 1.6  # the limit relative to the true rate

Sample = tuple[Floats, NDArray[np.int64]]


def _rate(sample: Sample, threshold: float, people: int, *, genuine: bool) -> Rate:
    embeddings, subjects = sample
    part = subjects < people
    mine = embeddings[part]
    return Cell(mine, mine, Comparisons(subjects[part]), threshold).rate(genuine=genuine)


def _decides(found: Rate, limit: Limit) -> bool:
    return found.supported and limit.judge(found.lower, found.upper) is not Verdict.INCONCLUSIVE


def _asked(found: Rate, limit: Limit, *, crossed: bool) -> float:
    wanted = subjects_to_decide(found, limit, crossed=crossed)
    return math.inf if wanted is None else wanted


def half_decided(samples: list[Sample], limit: Limit, threshold: float, *, genuine: bool) -> int:
    """The number of people with which half of the samples are decided; above `MOST` if unknown."""

    def decided(people: int) -> bool:
        found = [_rate(one, threshold, people, genuine=genuine) for one in samples]
        return 2 * sum(_decides(rate, limit) for rate in found) >= len(found)

    if not decided(MOST):
        return MOST + 1
    low, high = MIN_SUBJECTS - 1, MOST
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def rows(draw: Draw, runs: int) -> Iterator[str]:
    """FAR and FRR of a population."""
    threshold = threshold_at(draw, 1e-3, np.random.default_rng(0))
    rng = np.random.default_rng(11)
    large = draw(2000, IMAGES, rng)
    samples = [draw(MOST, IMAGES, rng) for _ in range(runs)]
    for name, genuine in (("FAR", False), ("FRR", True)):
        truth = _rate(large, threshold, 2000, genuine=genuine).value
        limit = Limit(name, truth * ROOM, Direction.BELOW, Unit.RATE, Kind.ERROR)
        first = [_rate(one, threshold, FIRST, genuine=genuine) for one in samples]
        asked = np.array([_asked(rate, limit, crossed=not genuine) for rate in first])
        unlucky = asked[[not _decides(rate, limit) for rate in first]]
        needed = half_decided(samples, limit, threshold, genuine=genuine)
        cells = [f"{np.median(asked):.0f}", f"more than {MOST}", "unknown", "none"]
        if needed <= MOST:
            cells[1:3] = str(needed), f"{np.median(asked) / needed:.2f}"
        if unlucky.size:
            cells[3] = f"{np.median(unlucky):.0f}"
        where = f"{draw.__name__.replace('_', ' ')}, {name} | {100 * truth:.3f} %"
        yield f"| {where} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60, help="for each line (default 60)")
    runs = parser.parse_args().runs
    print(
        f"| population, {FIRST} people x {IMAGES} | rate | asked for "
        "| half of the samples are decided with | asked / needed | asked for by undecided samples |"
        "\n|---|---|---|---|---|---|"
    )
    for draw in POPULATIONS:
        for row in rows(draw, runs):
            print(row, flush=True)


if __name__ == "__main__":
    main()
