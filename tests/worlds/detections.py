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
from pytest_kycquant.tasks.detection.keypoints import Scale
from pytest_kycquant.tasks.detection.matching import Objects, Predictions
from pytest_kycquant.verdicts import Check

IMAGES = 400
LIMITS = DetectionLimits()
# Of a face of 40 x 40 pixels: eyes, nose and corners of the mouth. The eyes are 16 pixels apart.
FACE = np.array([[12, 15], [28, 15], [20, 22], [14, 30], [26, 30]], float)


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


def with_keypoints(predictions: Predictions, off: float = 0.0, seed: int = 0) -> Predictions:
    """Faces with keypoints that are off by so many pixels, each in a direction of its own."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, (len(predictions.scores), len(FACE)))
    moved = off * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corners = np.round(predictions.boxes[:, None, :2])
    return replace(predictions, keypoints=corners + FACE + moved)


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
    scale: Scale = "box",
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
        keypoint_scale=scale,
    )


def named(result: GateResult, name: str) -> Check:
    """The check with this name, or whose name begins with it."""
    return next(check for check in result.checks if check.name.startswith(name))
