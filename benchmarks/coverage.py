"""How often do the 95 % bounds hold, and how sharp are they? Simulated people, and real ones.

The bounds are those of FAR and FRR, and of their increase by variants that move embeddings. Two
rules are compared: the one of the gates and an earlier one, which took the worst case as the design
effect of few errors, counted independent impostor pairs twice, and counted increases. Each rule is
judged by two numbers:

- **coverage**: the share of runs in which the truth is below the upper bound (95 % are promised;
  more is caution, less is a broken promise);
- **sharpness**: the median distance of the bound from the estimate, relative to that of an oracle
  who knows how the estimate varies: the smallest distance that holds in 95 % of the runs.

The truth is the mean over `--truth` further runs with as many people, and for FRR the rate in 1.5
million genuine pairs. For real people, those of the
evaluation folder of `KYCQUANT_REAL` (or `../shared/real`) with the public MobileFaceNet, each run
sees a part, and the truth is the rate of all of them. Run with::

    python -m benchmarks.coverage [--runs N] [--truth N] [--real]

The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.populations import POPULATIONS, VARIANTS, Draw, Floats, moved, threshold_at
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.spec.limits import FaceLimits
from pytest_kycquant.statistics import (
    Counts,
    Rate,
    clopper_pearson,
    design_effect,
    noninferiority,
    rate,
)
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.face.embeddings import Cell, FaceBaseline
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.scores import counts_of
from pytest_kycquant.tasks.outputs import Outputs

HERE = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("KYCQUANT_REAL", HERE.parent / "shared" / "real"))
FAR = 1e-3  # at the threshold of a population
SIZES = ((40, 3), (150, 3), (150, 6), (300, 4))
LIMITS = FaceLimits()
_GENUINE = 1_500_000  # genuine pairs for the truth about FRR


@dataclass(frozen=True)
class Sample:
    """One run: an estimate, its upper bound by the gates' rule and by the earlier one."""

    value: float
    upper: float
    lower: float
    earlier: float
    naive: float


def few_as_before(counts: Counts, reference: Counts | None, *, per_subject: bool) -> Rate:
    """The earlier rule: with fewer than ten errors, at least the mean number of trials.

    What a jackknife counts twice in trials of two subjects was not subtracted either.
    """
    counts = replace(counts, couples=None)
    reference = reference and replace(reference, couples=None)
    floor = 1.0
    if counts.errors < 10:
        floor = 1.0 if reference is None else design_effect(reference)
        if per_subject and counts.subject_trials.size:
            floor = max(floor, counts.trials / counts.subject_trials.size)
    return rate(counts, deff_floor=floor)


def compared(embeddings: Floats, subjects: NDArray[np.int64], threshold: float) -> FaceComparison:
    """FP32 compared with itself."""
    found = Outputs(embeddings, np.ones(len(embeddings), np.bool_))
    names = tuple(map(str, range(len(embeddings))))
    return FaceComparison(
        FaceBaseline(found, Comparisons(subjects), threshold, names), found, LIMITS
    )


def variant_of(itself: FaceComparison, embeddings: Floats) -> FaceComparison:
    """A variant compared with FP32."""
    found = Outputs(embeddings, np.ones(len(embeddings), np.bool_))
    return FaceComparison(itself.baseline, found, LIMITS)


def rates_of(itself: FaceComparison) -> Iterator[tuple[str, Sample]]:
    """FAR and FRR of FP32."""
    cell = itself.baseline.cell
    for name, genuine in (("FAR", False), ("FRR", True)):
        found = cell.rate(genuine=genuine)
        before = _earlier(cell, cell.wrong(genuine=genuine), genuine=genuine)
        naive = clopper_pearson(found.errors, found.trials)[1]
        yield name, Sample(found.value, found.upper, found.lower, before.upper, naive)


def increases_of(variant: FaceComparison) -> Iterator[tuple[str, Sample]]:
    """The increase of FAR and of FRR by a variant."""
    mine, theirs = variant.cell, variant.baseline.cell
    checks = variant.against_fp32().checks
    for name, genuine, check in (("FAR", False, checks[0]), ("FRR", True, checks[1])):
        wrong, before = mine.wrong(genuine=genuine), theirs.wrong(genuine=genuine)
        worse = _earlier(mine, np.setdiff1d(wrong, before), genuine=genuine)
        better = _earlier(theirs, np.setdiff1d(before, wrong), genuine=genuine)
        earlier = noninferiority(worse, better)
        naive = clopper_pearson(worse.errors, worse.trials)[1]
        assert check.value is not None
        assert check.upper is not None
        assert check.lower is not None
        yield (
            f"increase of {name}",
            Sample(check.value, check.upper, check.lower, earlier.upper, naive),
        )


def _earlier(cell: Cell, ids: NDArray[np.int64], *, genuine: bool) -> Rate:
    worst = cell.worst.genuine_ids if genuine else cell.worst.impostor_ids
    counts = counts_of(cell.comparisons, ids, genuine=genuine)
    reference = counts_of(cell.comparisons, worst, genuine=genuine)
    return few_as_before(counts, reference, per_subject=genuine)


def run(
    draw: Draw, people: int, images: int, threshold: float, rng: np.random.Generator
) -> dict[str, Sample]:
    """One run: rates, and increases by each variant."""
    embeddings, subjects = draw(people, images, rng)
    itself = compared(embeddings, subjects, threshold)
    found = dict(rates_of(itself))
    for name, amount in VARIANTS.items():
        variant = variant_of(itself, moved(embeddings, amount, rng))
        found |= {f"{what}, {name}": one for what, one in increases_of(variant)}
    return found


def truths(draw: Draw, people: int, images: int, threshold: float, runs: int) -> dict[str, float]:
    """The mean of each figure over many runs with as many people."""
    rng = np.random.default_rng(1)
    sums: dict[str, list[float]] = {}
    for _ in range(runs):
        embeddings, subjects = draw(people, images, rng)
        itself = compared(embeddings, subjects, threshold)
        values = {name: one.value for name, one in rates_of(itself)}
        for name, amount in VARIANTS.items():
            mine = variant_of(itself, moved(embeddings, amount, rng)).cell
            for what, genuine in (("FAR", False), ("FRR", True)):
                change = mine.rate(genuine=genuine).value - values[what]
                values[f"increase of {what}, {name}"] = change
        for name, value in values.items():
            sums.setdefault(name, []).append(value)
    known = {name: float(np.mean(found)) for name, found in sums.items()}
    return known | genuine_truths(draw, images, threshold)


@functools.cache
def genuine_truths(draw: Draw, images: int, threshold: float) -> dict[str, float]:
    """FRR and its increases from millions of genuine pairs, since few of their decisions change.

    Unlike FAR, they do not depend on how many people are compared with each other.
    """
    rng = np.random.default_rng(8)
    one, other = np.triu_indices(images, 1)
    people, pairs = 2000, 0
    rejected, changed = 0, dict.fromkeys(VARIANTS, 0)
    limit = np.float32(threshold)

    def scores(embeddings: Floats) -> Floats:
        each = embeddings.reshape(people, images, -1)
        found: Floats = np.einsum("pid,pid->pi", each[:, one], each[:, other])
        return found

    while pairs < _GENUINE:
        embeddings, _ = draw(people, images, rng)
        before = scores(embeddings) < limit
        pairs += before.size
        rejected += int(before.sum())
        for name, amount in VARIANTS.items():
            after = scores(moved(embeddings, amount, rng)) < limit
            changed[name] += int(after.sum()) - int(before.sum())
    increases = {f"increase of FRR, {name}": count / pairs for name, count in changed.items()}
    return {"FRR": rejected / pairs} | increases


def row(name: str, samples: list[Sample], truth: float) -> str:
    """Coverage and sharpness of both rules."""
    values = np.array([one.value for one in samples])
    oracle = max(truth - float(np.quantile(values, 0.05)), 0.0)
    cells = []
    for uppers in ([one.upper for one in samples], [one.earlier for one in samples]):
        held = np.mean(np.array(uppers) >= truth)
        distance = float(np.median(np.array(uppers) - values))
        sharp = f"{distance / oracle:.2f}" if oracle > 1e-9 else "-"
        cells += [f"{100 * held:.1f} %", f"{100 * float(np.median(uppers)):.4f} %", sharp]
    lower = np.mean([one.lower <= truth for one in samples])
    naive = np.mean([one.naive >= truth for one in samples])
    return (
        f"| {name} | {100 * truth:.4f} % | {' | '.join(cells)} | {100 * lower:.1f} % "
        f"| {100 * naive:.1f} % |"
    )


def real_people(people: int, runs: int) -> Iterator[tuple[str, list[Sample], float]]:
    """In each run some of the real people, compared with all of them."""
    embeddings, subjects = real_embeddings()
    threshold = _threshold(embeddings, subjects, FAR)
    everyone = compared(embeddings, subjects, threshold)
    rng = np.random.default_rng(0)
    samples: dict[str, list[Sample]] = {}
    for _ in range(runs):
        chosen = np.isin(subjects, rng.choice(subjects.max() + 1, people, replace=False))
        part = np.unique(subjects[chosen], return_inverse=True)[1].astype(np.int64)
        for name, one in rates_of(compared(embeddings[chosen], part, threshold)):
            samples.setdefault(name, []).append(one)
    truth = {name: one.value for name, one in rates_of(everyone)}
    for name, found in samples.items():
        yield name, found, truth[name]


def real_embeddings() -> tuple[Floats, NDArray[np.int64]]:
    """Embeddings of the real people by the public MobileFaceNet, and who each image shows."""
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
    return normalise(np.stack(raw)), seen.subjects


def _threshold(embeddings: Floats, subjects: NDArray[np.int64], rate_of_accepts: float) -> float:
    scores = embeddings[::2] @ embeddings[1::2].T
    others = subjects[::2, None] != subjects[None, 1::2]
    return float(np.quantile(scores[others], 1 - rate_of_accepts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="for each line (default 300)")
    parser.add_argument("--truth", type=int, default=400, help="runs for the truth (default 400)")
    parser.add_argument("--real", action="store_true", help="only the real people")
    given = parser.parse_args()
    print(
        "| population, people x images, figure | truth | gates: upper holds | median bound "
        "| sharpness | earlier: upper holds | median bound | sharpness | lower holds "
        "| naive upper holds |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for draw in () if given.real else POPULATIONS:
        threshold = threshold_at(draw, FAR, np.random.default_rng(0))
        for people, images in SIZES:
            truth = truths(draw, people, images, threshold, given.truth)
            rng = np.random.default_rng(2)
            runs = [run(draw, people, images, threshold, rng) for _ in range(given.runs)]
            for what in runs[0]:
                samples = [found[what] for found in runs]
                where = f"{draw.__name__.replace('_', ' ')} {people} x {images}"
                print(row(f"{where}, {what}", samples, truth[what]), flush=True)
    if not (REAL / "faces" / "evaluation").is_dir():
        print("| real people: not present |")
        return
    for people in (40, 100):
        for kind, samples, known in real_people(people, given.runs):
            print(row(f"real people {people} of 300, {kind}", samples, known), flush=True)


if __name__ == "__main__":
    main()
