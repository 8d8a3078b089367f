"""How often do the 95 % bounds hold? Simulated people, and resampled real ones.

The bounds are those of error rates, and of their paired increase by a variant that rounds
embeddings. The bounds of the gates are compared with naive ones, which treat pairs as independent
trials. For simulated people the truth is the mean rate over all runs. Real people are those of the
evaluation folder of `KYCQUANT_REAL` (or `../shared/real`), with the public MobileFaceNet; the truth
is the rate of all of them, and each run sees a part. Run with::

    python -m benchmarks.coverage [--runs N]

The output is a Markdown table. A one-sided bound holds if the truth is on its side, which is
promised in 95 % of the runs. More is caution, less is a broken promise.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.statistics import (
    Counts,
    Rate,
    clopper_pearson,
    noninferiority,
    rate,
)
from pytest_kycquant.tasks.face.embeddings import Cell
from pytest_kycquant.tasks.face.scores import normalise

HERE = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("KYCQUANT_REAL", HERE.parent / "shared" / "real"))
DIMENSION = 64

Floats = NDArray[np.float32]
Draw = Callable[[int, int, np.random.Generator], tuple[Floats, NDArray[np.int64]]]


def strangers(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, NDArray]:
    """Identities are independent, and everybody is photographed equally well."""
    return _photographs(rng.normal(size=(people, DIMENSION)), images, 0.75, rng)


def families(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, NDArray]:
    """Groups of four look alike: most false accepts are among relatives."""
    parents = rng.normal(size=(-(-people // 4), DIMENSION)).repeat(4, axis=0)[:people]
    return _photographs(parents * 0.5 + rng.normal(size=parents.shape), images, 0.75, rng)


def lambs(people: int, images: int, rng: np.random.Generator) -> tuple[Floats, NDArray]:
    """Some people resemble others, and some are hard to recognize (Doddington's menagerie)."""
    common = np.ones(DIMENSION)  # the same in all runs, since it belongs to the population
    pull = rng.beta(1, 5, (people, 1)) * 1.2
    identities = rng.normal(size=(people, DIMENSION)) + pull * common
    return _photographs(identities, images, 0.4 + rng.gamma(2, 0.2, (people, 1)), rng)


def _photographs(
    identities: NDArray[np.float64],
    images: int,
    noise: float | NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.int64]]:
    subjects = np.arange(len(identities)).repeat(images)
    spread = np.broadcast_to(noise, (len(identities), 1))[subjects]
    shots = identities[subjects] + spread * rng.normal(size=(len(subjects), DIMENSION))
    return normalise(shots.astype(np.float32)), subjects


@dataclass(frozen=True)
class Sample:
    """One run: a rate or an increase, with the bounds of the gates and the naive ones."""

    value: float
    lower: float
    upper: float
    deff: float
    naive: tuple[float, float]

    @classmethod
    def of(cls, found: Rate) -> Sample:
        naive = clopper_pearson(found.errors, found.trials)
        return cls(found.value, found.lower, found.upper, found.deff, naive)

    @classmethod
    def increase(cls, worse: Rate, better: Rate) -> Sample:
        """How much worse a variant is, on the same comparisons."""
        found = noninferiority(worse, better)
        plain = noninferiority(_independent(worse), _independent(better))
        return cls(found.value, found.lower, found.upper, worse.deff, (plain.lower, plain.upper))


def _independent(found: Rate) -> Rate:
    lower, upper = clopper_pearson(found.errors, found.trials)
    return replace(found, lower=lower, upper=upper)


def faces(
    draw: Draw, people: int, images: int, runs: int
) -> Iterator[tuple[str, list[Sample], float | None]]:
    """False accepts, false rejects and their increase, at a threshold frozen for all runs."""
    rng = np.random.default_rng(0)
    embeddings, subjects = draw(2000, 2, rng)
    threshold = _threshold(embeddings, subjects, 1e-3)
    samples: dict[tuple[bool, bool], list[Sample]] = {}
    for _ in range(runs):
        embeddings, subjects = draw(people, images, rng)
        fp32 = Cell(embeddings, embeddings, Comparisons(subjects), threshold)
        rounded = _rounded(embeddings, rng)
        variant = replace(fp32, gallery=rounded, probe=rounded)
        for genuine in (False, True):
            wrong, before = variant.wrong(genuine=genuine), fp32.wrong(genuine=genuine)
            found = Sample.of(fp32.rate(genuine=genuine))
            increase = Sample.increase(
                variant.rate(genuine=genuine, only=np.setdiff1d(wrong, before)),
                fp32.rate(genuine=genuine, only=np.setdiff1d(before, wrong)),
            )
            samples.setdefault((genuine, False), []).append(found)
            samples.setdefault((genuine, True), []).append(increase)
    for (genuine, paired), found in samples.items():
        kind = "false rejects" if genuine else "false accepts"
        yield f"increase of {kind}" if paired else kind, found, None


def _rounded(embeddings: Floats, rng: np.random.Generator) -> Floats:
    """The embeddings after quantization: each moves a little, and all move closer together."""
    noise = rng.normal(size=embeddings.shape) * 0.12 / np.sqrt(DIMENSION)
    return normalise((embeddings + noise + 0.1 / np.sqrt(DIMENSION)).astype(np.float32))


def captures(people: int, images: int, runs: int) -> list[Sample]:
    """Live captures, which fail with a probability that differs between people."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        errors = rng.binomial(images, rng.beta(0.3, 9.7, people))
        trials = np.full(people, images)
        floor = float(images) if errors.sum() < 10 else 1.0
        counts = Counts(int(errors.sum()), int(trials.sum()), errors, trials)
        found.append(Sample.of(rate(counts, deff_floor=floor)))
    return found


def real_people(people: int, runs: int) -> Iterator[tuple[str, list[Sample], float | None]]:
    """In each run some of the real people, compared with all of them."""
    from pytest_kycquant.data.faces import load_faces
    from pytest_kycquant.data.images import preprocess
    from pytest_kycquant.runtimes.ort import open_session
    from pytest_kycquant.spec.model import Preprocess

    seen = load_faces(REAL / "faces" / "evaluation")
    spec = Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR")
    session = open_session(REAL / "models" / "mobilefacenet_fp32.onnx")
    feed = session.get_inputs()[0].name
    raw = [
        session.run(None, {feed: preprocess(seen.images.pixels(i), spec, name)})[0].ravel()
        for i, name in enumerate(seen.images.names)
    ]
    embeddings, subjects = normalise(np.stack(raw)), seen.subjects
    threshold = _threshold(embeddings, subjects, 1e-3)
    everyone = Cell(embeddings, embeddings, Comparisons(subjects), threshold)
    rng = np.random.default_rng(0)
    cells = []
    for _ in range(runs):
        chosen = np.isin(subjects, rng.choice(subjects.max() + 1, people, replace=False))
        part = np.unique(subjects[chosen], return_inverse=True)[1].astype(np.int64)
        cells.append(Cell(embeddings[chosen], embeddings[chosen], Comparisons(part), threshold))
    for name, genuine in (("false accepts", False), ("false rejects", True)):
        truth = everyone.rate(genuine=genuine).value
        yield name, [Sample.of(cell.rate(genuine=genuine)) for cell in cells], truth


def _threshold(embeddings: Floats, subjects: NDArray[np.int64], rate_of_accepts: float) -> float:
    """The threshold at which that share of impostor pairs is accepted."""
    scores = embeddings[::2] @ embeddings[1::2].T
    others = subjects[::2, None] != subjects[None, 1::2]
    return float(np.quantile(scores[others], 1 - rate_of_accepts))


def row(name: str, samples: list[Sample], truth: float | None = None) -> str:
    """Shares of runs in which the bounds hold, and the median of the upper bounds."""
    if truth is None:  # all runs have the same number of trials
        truth = float(np.mean([s.value for s in samples]))
    shares = [
        np.mean([s.upper >= truth for s in samples]),
        np.mean([s.lower <= truth for s in samples]),
        np.mean([s.naive[1] >= truth for s in samples]),
        np.mean([s.naive[0] <= truth for s in samples]),
    ]
    above = np.median([s.upper for s in samples])
    deff = np.median([s.deff for s in samples])
    cells = [f"{100 * share:.1f} %" for share in shares]
    ends = f"{deff:.1f} | {100 * above:.3f} %"
    return f"| {name} | {100 * truth:.3f} % | {' | '.join(cells)} | {ends} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="for each line (default 1000)")
    runs = parser.parse_args().runs
    print(
        "| people x images | truth | upper bound holds | lower bound holds | naive upper "
        "| naive lower | median design effect | median upper bound |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for draw in (strangers, families, lambs):
        for people, images in ((40, 3), (150, 3), (150, 6)):
            for kind, samples, truth in faces(draw, people, images, runs):
                name = f"{draw.__name__} {people} x {images}, {kind}"
                print(row(name, samples, truth), flush=True)
    for people, images in ((60, 1), (60, 10), (400, 3)):
        print(row(f"captures {people} x {images}, rejected", captures(people, images, runs)))
    if not (REAL / "faces" / "evaluation").is_dir():
        print("| real people: not present |")
        return
    for people in (40, 100):
        for kind, samples, truth in real_people(people, runs):
            print(row(f"real people {people} of 300, {kind}", samples, truth), flush=True)


if __name__ == "__main__":
    main()
