"""Is it honest to judge the people who chose the threshold? Simulated faces and captures.

In each run some people choose the threshold as the gates do: the smallest whose upper bound is
below half of the limit. Then the error rates at that threshold are bounded on the same people, and
compared with the rates of the whole population at that threshold. The alternative is
cross-fitting: errors of each of five folds are counted at the threshold that the others choose.
Its errors belong to thresholds that are stricter than the one that ships. Run with::

    python -m benchmarks.thresholds [--runs N]

The output is a Markdown table: how often the one-sided 95 % bounds hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.populations import POPULATIONS, VARIANTS, Draw, Floats, moved
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.liveness import LIVE, LivenessSet
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.errors import DataError
from pytest_kycquant.tasks.face.embeddings import Cell
from pytest_kycquant.tasks.face.scores import error_rate, errors_at, select_threshold
from pytest_kycquant.tasks.liveness import scores as liveness

FOLDS = 5
FACES = ((100, 4), (150, 3), (300, 4))
HALF_FAR, HALF_APCER = 5e-4, 0.025
_LARGE = 3000  # people who stand for the population


def _share(held: list[bool]) -> str:
    return f"{100 * np.mean(held):.1f} %" if held else "-"


class Population:
    """The error rates of a population at any threshold, from many people."""

    def __init__(self, draw: Draw, amount: float | None) -> None:
        rng = np.random.default_rng(5)
        impostors, genuine = [], []
        for _ in range(4):
            embeddings, subjects = draw(_LARGE // 4, 4, rng)
            if amount is not None:
                embeddings = moved(embeddings, amount, rng)
            scores = embeddings @ embeddings.T
            upper = np.triu(np.ones_like(scores, np.bool_), 1)
            same = subjects[:, None] == subjects[None]
            impostors.append(np.sort(scores[upper & ~same])[-200_000:])
            self._impostors = int((upper & ~same).sum()) * 4
            genuine.append(scores[upper & same])
        self._false_accepts = np.sort(np.concatenate(impostors))
        self._genuine = np.sort(np.concatenate(genuine))

    def far(self, threshold: float) -> float:
        """FAR at a threshold."""
        above = len(self._false_accepts) - np.searchsorted(self._false_accepts, threshold)
        return float(above / self._impostors)

    def frr(self, threshold: float) -> float:
        """FRR at a threshold."""
        return float(np.searchsorted(self._genuine, threshold) / len(self._genuine))


def faces(draw: Draw, people: int, images: int, runs: int) -> Iterator[str]:
    """FAR and FRR of FP32 and of an INT8 variant, at thresholds that the same people choose."""
    rng = np.random.default_rng(3)
    populations = {"FP32": Population(draw, None), "INT8": Population(draw, VARIANTS["INT8"])}
    held: dict[str, list[bool]] = {}
    refused = 0
    for _ in range(runs):
        embeddings, subjects = draw(people, images, rng)
        pairs = Comparisons(subjects)
        try:
            threshold = select_threshold(embeddings, pairs, HALF_FAR)
            crossed = _crossed(embeddings, subjects)
        except DataError:
            refused += 1
            continue
        for name, true in populations.items():
            mine = embeddings if name == "FP32" else moved(embeddings, VARIANTS["INT8"], rng)
            cell = Cell(mine, mine, pairs, threshold)
            far, frr = cell.rate(genuine=False), cell.rate(genuine=True)
            held.setdefault(f"FAR {name}", []).append(far.upper >= true.far(threshold))
            held.setdefault(f"FRR {name}", []).append(frr.upper >= true.frr(threshold))
        held.setdefault("cross-fitting FAR", []).append(
            crossed >= populations["FP32"].far(threshold)
        )
    where = f"{draw.__name__.replace('_', ' ')} {people} x {images}"
    for name, found in held.items():
        yield f"| {where}, {name} | {_share(found)} | {refused} |"


def _crossed(embeddings: Floats, subjects: NDArray[np.int64]) -> float:
    """The upper bound of FAR by cross-fitting: pairs within a fold, at the others' threshold.

    Pairs that span two folds are counted at the stricter of the two thresholds.
    """
    fold = subjects % FOLDS
    thresholds = np.empty(FOLDS)
    for k in range(FOLDS):
        rest = fold != k
        part = np.unique(subjects[rest], return_inverse=True)[1].astype(np.int64)
        thresholds[k] = select_threshold(embeddings[rest], Comparisons(part), HALF_FAR)
    pairs = Comparisons(subjects)
    low = float(thresholds.min())
    ids = errors_at(embeddings, embeddings, pairs, low).false_accepts
    left, right = ids // len(subjects), ids % len(subjects)
    scores = np.einsum("ij,ij->i", embeddings[left], embeddings[right])
    wrong = scores >= np.maximum(thresholds[fold[left]], thresholds[fold[right]])
    return error_rate(pairs, ids[wrong], None, genuine=False).upper


def captures(
    name: str, spread: float, draw: Callable[[np.random.Generator, int], NDArray], runs: int
) -> Iterator[str]:
    """APCER and BPCER at thresholds that the same people choose."""
    for people, each in ((150, 2), (300, 2)):
        rng = np.random.default_rng(4)
        held: dict[str, list[bool]] = {"APCER": [], "BPCER": []}
        refused = 0
        population = _captures(draw, spread, 100_000, 1, np.random.default_rng(9))
        for _ in range(runs):
            scores, found = _captures(draw, spread, people, each, rng)
            try:
                threshold = liveness.select_threshold(scores, found, HALF_APCER)
            except DataError:
                refused += 1
                continue
            decided = liveness.Decisions(scores, found, threshold)
            truth = liveness.Decisions(*population, threshold)
            for what, kind in (("APCER", 0), ("BPCER", LIVE)):
                true = float(truth.wrong[population[1].species == kind].mean())
                held[what].append(decided.rate(kind).upper >= true)
        for what, shares in held.items():
            yield f"| {name} {people} x {each}, {what} | {_share(shares)} | {refused} |"


def _captures(
    draw: Callable[[np.random.Generator, int], NDArray],
    spread: float,
    people: int,
    each: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], LivenessSet]:
    """Scores of live captures and of attacks on the same people."""
    logits = []
    kinds = np.repeat([LIVE, 0], people * each)
    for sign in (1.0, -1.0):
        person = draw(rng, people).repeat(each)
        logits.append(sign * (2.5 + person) + rng.normal(0, spread, people * each))
    scores = 1 / (1 + np.exp(-np.concatenate(logits)))
    subjects = np.tile(np.arange(people).repeat(each), 2)
    images = ImageSet.from_array(np.zeros((len(kinds), 1, 1), np.uint8), Path("captures.npz"))
    names = tuple(map(str, range(people)))
    return scores, LivenessSet(images, kinds, ("print",), subjects, names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="for each line (default 300)")
    runs = parser.parse_args().runs
    print("| people x images, figure | upper bound holds | runs without a threshold |")
    print("|---|---|---|")
    for draw in POPULATIONS:
        for people, images in FACES:
            for line in faces(draw, people, images, runs):
                print(line, flush=True)
    for name, spread, draw_person in (
        ("alike", 1.0, lambda rng, n: np.zeros(n)),
        ("people differ", 0.6, lambda rng, n: rng.normal(0, 0.8, n)),
        ("a few are hard", 0.7, lambda rng, n: np.where(rng.random(n) < 0.03, -2.5, 0.3)),
    ):
        for line in captures(name, spread, draw_person, runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
