"""How wide are the bounds of increases beside a bootstrap over people, on real faces?

A bootstrap draws the 300 real people with replacement and counts the changed decisions again. It
knows nothing of changes that happened not to occur, so with few of them it is too narrow: it is a
yardstick, not a promise. Each row is a precision of the public MobileFaceNet at a threshold of
.345: the increase over FP32, its 95 % bound by the gates' rule and by the bootstrap, and the
quotient of their distances from the increase. The model and the people are those in
`KYCQUANT_REAL` (or `../shared/real`). Run with::

    python -m benchmarks.bootstrap [--draws N]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmarks.quantizer import REAL
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, presets
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context import Context
from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.runtimes.environment import describe_machine, environment
from pytest_kycquant.spec.recipe import as_recipe
from pytest_kycquant.tasks.face.comparison import FaceComparison
from pytest_kycquant.tasks.face.pair_scores import pair_images
from pytest_kycquant.tasks.registry import task_of

PRECISIONS = ("fp16", "int8-weights", "int8")
THRESHOLD = 0.345


def real_variants() -> Variants:
    """The public MobileFaceNet with the real people."""
    model = KycModel(
        REAL / "models" / "mobilefacenet_fp32.onnx",
        replace(presets.ARCFACE, channels="BGR"),
        FaceVerification(REAL / "faces" / "evaluation", threshold=THRESHOLD),
        REAL / "faces" / "calibration",
    )

    def resolve(path: object, attribute: str) -> object:
        return path

    task = task_of(model, FaceLimits(), resolve)  # type: ignore[arg-type]
    context = Context(Scratch(), environment(), threads=2)
    return Variants(context, model, task, resolve)  # type: ignore[arg-type]


def changes(variant: FaceComparison, *, genuine: bool) -> NDArray[np.float64]:
    """Newly wrong minus newly right decisions between two people, (people, people)."""
    comparisons = variant.baseline.comparisons
    subjects, count = comparisons.subjects, int(comparisons.subjects.max()) + 1
    wrong = variant.cell.wrong(genuine=genuine)
    before = variant.baseline.cell.wrong(genuine=genuine)
    found = np.zeros((count, count))
    for ids, sign in ((np.setdiff1d(wrong, before), 1.0), (np.setdiff1d(before, wrong), -1.0)):
        left, right = pair_images(comparisons, ids)
        np.add.at(found, (subjects[left], subjects[right]), sign)
    return (found + found.T) / 2


def trials(variant: FaceComparison, *, genuine: bool) -> NDArray[np.float64]:
    """The number of comparisons between two people, (people, people)."""
    images = np.bincount(variant.baseline.comparisons.subjects).astype(np.float64)
    if genuine:
        return np.diag(images * (images - 1) / 2)
    found: NDArray[np.float64] = np.outer(images, images) / 2
    np.fill_diagonal(found, 0.0)
    return found


def bootstrapped(variant: FaceComparison, draws: int, *, genuine: bool) -> tuple[float, float]:
    """The increase, and its 95th percentile over draws of people with replacement."""
    changed, tried = changes(variant, genuine=genuine), trials(variant, genuine=genuine)
    rng, people = np.random.default_rng(0), len(tried)
    found = np.empty(draws)
    for index in range(draws):
        weights = np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)
        # A person who is drawn twice has each genuine comparison twice, not four times.
        many = np.diag(weights) if genuine else np.outer(weights, weights)
        found[index] = (many * changed).sum() / (many * tried).sum()
    return float(changed.sum() / tried.sum()), float(np.quantile(found, 0.95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=4000, help="of people (default 4000)")
    draws = parser.parse_args().draws
    if not (REAL / "faces" / "evaluation").is_dir():
        raise SystemExit("the real people are not present")
    variants = real_variants()
    images = variants.data.evaluation.images
    fp32 = variants.outputs(variants.fp32, images, "evaluation")
    itself = variants.task.baseline(variants.data.evaluation, fp32, THRESHOLD)
    table = []
    for name in PRECISIONS:
        outputs = variants.outputs(variants.variant(as_recipe(name, name)), images, "evaluation")
        variant = variants.task.compare(itself, outputs)
        assert isinstance(variant, FaceComparison)
        checks = {check.name: check for check in variant.against_fp32().checks}
        for rate, genuine in (("FRR", True), ("FAR", False)):
            check = checks[f"increase of {rate} over FP32"]
            estimate, most = bootstrapped(variant, draws, genuine=genuine)
            assert check.upper is not None
            wide, narrow = check.upper - estimate, most - estimate
            quotient = f"{wide / narrow:.2f}" if narrow > 0 else "nothing changed"
            shown = [f"{100 * each:.4f}" for each in (estimate, check.upper, most)]
            table.append([name, rate, *shown, quotient])
    print(describe_machine())
    headers = ["precision", "rate", "increase, points", "gates' bound", "bootstrap's", "quotient"]
    print(tabulate(table, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
