"""Is what a run says about its data before any model has run right afterwards? Simulated people.

From the number of people and images alone, the gates say whether a threshold can be chosen, and
whether FAR and its increase can be decided: "can", "may be too few" or "cannot". Here people are
drawn, a threshold is chosen as the gates do, and FP32 is judged at it: its FAR, and its increase
over itself, where no decision changes. The last columns are the design effects that the outlook
takes as typical: of the 30 nearest impostor pairs, and from ten errors on. Real people are some of
those in the evaluation folder of `KYCQUANT_REAL` (or `../shared/real`). Run with::

    python -m benchmarks.outlooks [--runs N]

The output is a Markdown table: what was said, and the share of the runs in which it was so.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import REAL, compared, real_embeddings
from benchmarks.populations import POPULATIONS, Floats
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.errors import DataError
from pytest_kycquant.spec.limits import FaceLimits
from pytest_kycquant.statistics import design_effect
from pytest_kycquant.tasks.face.scores import counts_of, extremes, select_threshold
from pytest_kycquant.tasks.prospects import Trials
from pytest_kycquant.tasks.rates import chosen_for
from pytest_kycquant.verdicts import Verdict

SIZES = ((30, 3), (40, 4), (60, 2), (60, 4), (100, 3), (150, 4))
LIMITS = FaceLimits()
HALF = LIMITS["far"].value / 2
People = tuple[Floats, NDArray[np.int64]]


def said(subjects: NDArray[np.int64]) -> dict[str, str]:
    """What is said of each figure, given whom the images show."""
    counts = counts_of(Comparisons(subjects), np.empty(0, np.int64), genuine=False)

    def words(trials: Trials) -> str:
        return "can" if trials.likely else "may" if trials.decidable else "cannot"

    crossed = {"crossed": True, "all_pairs": True}
    limit = chosen_for(HALF, "selection_far")
    return {
        "threshold": words(Trials(limit, "FAR", counts, "people", chooses=True, **crossed)),
        "increase of FAR": words(
            Trials(LIMITS["far_degradation"], "", counts, "people", increase=True, **crossed)
        ),
    }


def happens(people: People) -> tuple[dict[str, bool], float, float]:
    """Whether each figure is decided, and the two design effects."""
    embeddings, subjects = people
    pairs = Comparisons(subjects)
    nearest = extremes(embeddings, embeddings, pairs, 30).impostor_ids
    counts = counts_of(pairs, nearest, genuine=False)
    effects = design_effect(replace(counts, couples=None)), design_effect(counts)
    try:
        threshold = select_threshold(embeddings, pairs, HALF)
    except DataError:
        scores = extremes(embeddings, embeddings, pairs, 30).impostor_scores
        return {"threshold": False, "increase of FAR": _same(people, float(scores[0]))}, *effects
    return {"threshold": True, "increase of FAR": _same(people, threshold)}, *effects


def _same(people: People, threshold: float) -> bool:
    (increase, *_) = compared(*people, threshold).against_fp32().checks
    return increase.verdict is Verdict.PASS


def samples(name: str, people: int, images: int, runs: int) -> Iterator[People]:
    """Draws of a population, or of the real people with that many images."""
    rng = np.random.default_rng(6)
    if name != "real people":
        draw = next(draw for draw in POPULATIONS if draw.__name__ == name)
        for _ in range(runs):
            yield draw(people, images, rng)
        return
    embeddings, subjects = real_embeddings()
    enough = np.flatnonzero(np.bincount(subjects) >= images)
    for _ in range(runs if len(enough) >= people else 0):
        chosen = rng.choice(enough, people, replace=False)
        kept = np.concatenate([np.flatnonzero(subjects == one)[:images] for one in chosen])
        yield embeddings[kept], np.arange(people, dtype=np.int64).repeat(images)


def rows(name: str, runs: int) -> Iterator[str]:
    """The lines of a population."""
    for people, images in SIZES:
        found = [happens(one) for one in samples(name, people, images, runs)]
        if not found:
            continue
        words = said(np.arange(people, dtype=np.int64).repeat(images))
        cells = []
        for figure, word in words.items():
            share = np.mean([one[0][figure] for one in found])
            cells += [word, f"{100 * share:.0f} %"]
        effects = [f"{np.median([one[at] for one in found]):.1f}" for at in (1, 2)]
        where = f"{name.replace('_', ' ')} {people} x {images}"
        yield f"| {where} | {' | '.join([*cells, *effects])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="for each line (default 40)")
    runs = parser.parse_args().runs
    print(
        "| people x images | threshold: said | chosen in | increase of FAR: said | decided in "
        "| design effect, nearest 30 | corrected |\n|---|---|---|---|---|---|---|"
    )
    names = [draw.__name__ for draw in POPULATIONS]
    if (REAL / "faces" / "evaluation").is_dir():
        names.append("real people")
    for name in names:
        for row in rows(name, runs):
            print(row, flush=True)


if __name__ == "__main__":
    main()
