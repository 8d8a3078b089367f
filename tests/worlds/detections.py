"""Detections of imaginary scenes: perfect until a test breaks them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.limits import DetectionLimits
from pytest_kycquant.tasks.detection.comparison import DetectionComparison
from pytest_kycquant.tasks.detection.found import Detector
from pytest_kycquant.tasks.detection.matching import Objects, Predictions
from pytest_kycquant.verdicts import Check

IMAGES = 400
LIMITS = DetectionLimits()


def objects(images: int = IMAGES, kinds: int = 1, each: int = 1) -> Objects:
    """`each` objects of every class in every image, 40 pixels in size, far apart."""
    count = images * kinds * each
    place = np.arange(count) % (kinds * each)
    x, y = 100.0 * place, 10.0 + np.arange(count) % 7
    boxes = np.stack([x, y, x + 40, y + 40], axis=1)
    return Objects(
        boxes,
        place % kinds,
        np.arange(count) // (kinds * each),
        np.zeros(count, np.bool_),
        images,
        kinds,
    )


def found(truth: Objects, seed: int = 0) -> Predictions:
    """Detections of every object, off by at most a pixel, with scores between .6 and .95."""
    rng = np.random.default_rng(seed)
    boxes = truth.boxes + rng.uniform(-1, 1, truth.boxes.shape)
    scores = rng.uniform(0.6, 0.95, len(boxes))
    return in_order(boxes, scores, truth.classes, truth.image_index)


def in_order(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    classes: NDArray[np.int64],
    image_index: NDArray[np.int64],
) -> Predictions:
    """Detections sorted by score, best first within each image."""
    order = np.lexsort((-scores, image_index))
    return Predictions(boxes[order], scores[order], classes[order], image_index[order])


def without(predictions: Predictions, dropped: NDArray[np.bool_]) -> Predictions:
    """All detections except some."""
    kept = ~dropped
    return Predictions(
        predictions.boxes[kept],
        predictions.scores[kept],
        predictions.classes[kept],
        predictions.image_index[kept],
    )


def shifted(predictions: Predictions, pixels: float) -> Predictions:
    """All boxes moved to the right."""
    return replace(predictions, boxes=predictions.boxes + np.array([pixels, 0, pixels, 0]))


def comparison(
    variant: Predictions,
    truth: Objects,
    limits: DetectionLimits = LIMITS,
    *,
    fp32: Predictions | None = None,
    confidence: float = 0.5,
    broken: tuple[str, ...] = (),
    broken_edges: tuple[str, ...] = (),
) -> DetectionComparison:
    """Compare `variant` with `found(truth)`."""
    images = ImageSet.from_array(np.zeros((truth.images, 1, 1, 3), np.uint8), Path("scenes.npz"))
    names = tuple(f"kind{which}" for which in range(truth.kinds))
    expected = found(truth) if fp32 is None else fp32
    return DetectionComparison(
        images,
        names,
        Detector(expected, (), (), truth, confidence),
        Detector(variant, broken, broken_edges, truth, confidence),
        limits,
    )


def named(result: GateResult, name: str) -> Check:
    """The check with this name, or whose name begins with it."""
    return next(check for check in result.checks if check.name.startswith(name))
