"""Is the number of people that an undecided verdict asks for the number that decides?

In each run people join a sample one after the other. With the first of them a rate is undecided,
and the gate says how many people would decide. Then more join until the verdict is decided. Since
the rates of a small sample are not those of the population, single runs scatter widely; the medians
should agree. Run with::

    python -m benchmarks.plans [--runs N]

The output is a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.populations import POPULATIONS, Draw, Floats, threshold_at
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.statistics import Rate, subjects_to_decide
from pytest_kycquant.tasks.face.embeddings import Cell
from pytest_kycquant.verdicts import Direction, Kind, Limit, Unit, Verdict

IMAGES = 4
FIRST, MOST = 100, 1200  # people
ROOM = 1.6  # the limit relative to the true rate


def _rate(
    embeddings: Floats, subjects: NDArray[np.int64], threshold: float, people: int, *, genuine: bool
) -> Rate:
    part = subjects < people
    mine = embeddings[part]
    return Cell(mine, mine, Comparisons(subjects[part]), threshold).rate(genuine=genuine)


def _decides(found: Rate, limit: Limit) -> bool:
    return found.supported and limit.judge(found.lower, found.upper) is not Verdict.INCONCLUSIVE


def rows(draw: Draw, runs: int) -> Iterator[str]:
    """FAR and FRR of a population."""
    threshold = threshold_at(draw, 1e-3, np.random.default_rng(0))
    rng = np.random.default_rng(11)
    large, subjects = draw(2000, IMAGES, rng)
    for name, genuine in (("FAR", False), ("FRR", True)):
        truth = _rate(large, subjects, threshold, 2000, genuine=genuine).value
        limit = Limit(name, truth * ROOM, Direction.BELOW, Unit.RATE, Kind.ERROR)
        asked, needed = [], []
        for _ in range(runs):
            embeddings, who = draw(MOST, IMAGES, rng)
            first = _rate(embeddings, who, threshold, FIRST, genuine=genuine)
            wanted = subjects_to_decide(first, limit, crossed=not genuine)
            if _decides(first, limit) or wanted is None:
                continue
            asked.append(wanted)
            low, high = FIRST, MOST
            while high - low > max(2, low // 25):
                middle = (low + high) // 2
                found = _rate(embeddings, who, threshold, middle, genuine=genuine)
                low, high = (low, middle) if _decides(found, limit) else (middle, high)
            needed.append(high)
        if not asked:
            yield f"| {draw.__name__}, {name} | {100 * truth:.3f} % | always decided | | |"
            continue
        quotient = np.median(asked) / np.median(needed)
        yield (
            f"| {draw.__name__.replace('_', ' ')}, {name} | {100 * truth:.3f} % "
            f"| {np.median(asked):.0f} | {np.median(needed):.0f} | {quotient:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60, help="for each line (default 60)")
    runs = parser.parse_args().runs
    print(f"| population, {FIRST} people x {IMAGES} | rate | asked for | needed | asked / needed |")
    print("|---|---|---|---|---|")
    for draw in POPULATIONS:
        for line in rows(draw, runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
