"""How often do the 95 % bounds of mAP hold? Simulated detectors whose true mAP is known.

The bounds of the gates are compared with the obvious alternative, a jackknife of COCO's 101-point
average precision itself. Run with::

    python -m benchmarks.map_coverage [--runs N]
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.statistics import jackknife_bounds
from pytest_kycquant.tasks.detection.matching import Matching, Objects, Predictions

IMAGES = (30, 50, 150, 400)
LARGE, LARGE_RUNS = 20_000, 12  # images and runs whose mean figure is taken as the truth
STEP = 60.0  # pixels between objects, so that they never touch
LOST = 0.01  # share of detections that a variant loses
NOISE = 0.03  # noise of a variant's scores


def detector(images: int, rng: np.random.Generator) -> Matching:
    """One class; scores, boxes and false positives depend on the quality of each image."""
    quality = rng.beta(6, 1.5, images)
    counts = rng.integers(1, 4, images)
    image = np.repeat(np.arange(images), counts)
    left = STEP * np.concatenate([np.arange(count) for count in counts])
    boxes = _squares(left)
    scores = np.clip(quality[image] + rng.normal(0, 0.15, len(image)), 0.01, 0.99)
    found = rng.random(len(image)) < 0.97
    shifts = rng.normal(0, 1, boxes.shape) * (1 + 8 * (1 - quality[image]))[:, None]
    wrong = np.repeat(np.arange(images), rng.poisson(0.3 * (1.5 - quality)))
    false = _squares(1000 + STEP * np.arange(len(wrong)))
    predictions = _ordered(
        np.concatenate([(boxes + shifts)[found], false]),
        np.concatenate([scores[found], np.clip(rng.beta(2, 3, len(wrong)), 0.01, 0.99)]),
        np.concatenate([image[found], wrong]),
    )
    kinds, crowd = np.zeros(len(image), np.int64), np.zeros(len(image), np.bool_)
    return Matching(predictions, Objects(boxes, kinds, image, crowd, images, 1))


def variant(fp32: Matching, rng: np.random.Generator) -> Matching:
    """The same detector after quantization: noisy scores and boxes, a few detections lost."""
    found = fp32.predictions
    kept = rng.random(len(found.scores)) >= LOST
    scores = np.clip(found.scores + rng.normal(0, NOISE, len(found.scores)), 0.001, 0.999)
    boxes = found.boxes + rng.normal(0, 30 * NOISE, found.boxes.shape)
    return Matching(_ordered(boxes[kept], scores[kept], found.image_index[kept]), fp32.truth)


def interpolated_leave_out(matching: Matching) -> NDArray[np.float64]:
    """COCO's mAP50 without each group of images, (G,)."""
    (ranking,) = matching._rankings
    groups = range(int(matching._group_of.max()) + 1)
    found = [ranking.without(group).interpolated() for group in groups]
    return np.array([0.0 if value is None else value[0] for value in found])


def main() -> None:
    """Print the share of runs in which each one-sided bound holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    truth = []
    for _ in range(LARGE_RUNS):
        fp32 = detector(LARGE, rng)
        small = variant(fp32, rng)
        truth.append([fp32.average_precisions[0], (fp32.areas - small.areas)[0]])
    level, drop = np.mean(truth, axis=0)
    print(f"true mAP50 {level:.4f}, true drop {drop:.4f}; {runs} runs; bounds of 95 %, one-sided")
    print("images  jackknife of 101-point mAP50  bounds of the gate  drop of mAP50")
    print("          lower    upper                lower    upper     lower    upper")
    for images in IMAGES:
        held = np.zeros((3, 2))
        for _ in range(runs):
            fp32 = detector(images, rng)
            small = variant(fp32, rng)
            value = float(fp32.average_precisions[0])
            difference = float((fp32.areas - small.areas)[0])
            without = (fp32.leave_out - small.leave_out)[:, 0]
            bounds = (
                (jackknife_bounds(value, interpolated_leave_out(fp32)), level),
                (jackknife_bounds(value, fp32.leave_out[:, 0], share=True), level),
                (jackknife_bounds(difference, without), drop),
            )
            held += [[low <= true, true <= high] for (low, high), true in bounds]
        plain, gate, paired = held / runs
        print(
            f"{images:6d}   {plain[0]:6.1%}   {plain[1]:6.1%}               {gate[0]:6.1%}   "
            f"{gate[1]:6.1%}    {paired[0]:6.1%}   {paired[1]:6.1%}",
            flush=True,
        )


def _squares(left: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([left, 0 * left, left + 40, 0 * left + 40], axis=1)


def _ordered(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], image: NDArray[np.int64]
) -> Predictions:
    order = np.lexsort((-scores, image))
    kinds = np.zeros(len(order), np.int64)
    return Predictions(boxes[order], scores[order], kinds, image[order])


if __name__ == "__main__":
    main()
