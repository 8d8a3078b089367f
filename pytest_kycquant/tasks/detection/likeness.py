"""Agreement between two models on the same images, without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...statistics import Rate
from ..rates import rate_of
from .decode import paired_overlaps
from .keypoints import Scale, errors_of
from .matching import (
    Matching,
    Objects,
    Predictions,
)


@dataclass(frozen=True, eq=False)
class Agreement:
    """A variant's detections compared with FP32's, both at the frozen confidence.

    Args:
        recall: the rate of FP32's detections that the variant lacks.
        precision: the rate of the variant's detections that FP32 lacks.
        overlap: IoU of each pair of detections in common, shape (P,), float64.
        drift: absolute difference of the scores of each pair, shape (P,), float64.
        images: the image of each pair, shape (P,), int64.
        keypoint_errors: normalised mean error of the keypoints of each pair, shape (P,), float64;
            None without keypoints.
        lacking_images: the image of each of FP32's detections that the variant lacks, int64.
        extra_images: the image of each of the variant's detections that FP32 lacks, int64.
    """

    recall: Rate
    precision: Rate
    overlap: NDArray[np.float64]
    drift: NDArray[np.float64]
    images: NDArray[np.int64]
    keypoint_errors: NDArray[np.float64] | None
    lacking_images: NDArray[np.int64]
    extra_images: NDArray[np.int64]


def agreement(
    fp32: Predictions, variant: Predictions, truth: Objects, scale: Scale = "box"
) -> Agreement:
    """Compare detections without labels: FP32's are the truth (same class, IoU of at least .5).

    Args:
        fp32: the detections of FP32 at the frozen confidence.
        variant: the detections of the variant at the same confidence.
        truth: objects in the same images; only the numbers of images and classes are used.
        scale: what distances of keypoints are relative to.
    """
    partner = Matching(variant, fp32.as_objects(truth.images, truth.kinds)).matched[0]
    pairs = np.flatnonzero(partner >= 0)
    partners = partner[pairs]
    lacking = ~np.isin(np.arange(len(fp32.scores)), partners)
    apart = None
    if variant.keypoints is not None and fp32.keypoints is not None:
        mine, theirs = variant.keypoints[pairs], fp32.keypoints[partners]
        apart = errors_of(mine, theirs, fp32.boxes[partners], scale)
        apart = np.nan_to_num(apart, nan=np.inf, posinf=np.inf)
    return Agreement(
        rate_of(lacking, fp32.image_index),
        rate_of(partner < 0, variant.image_index),
        paired_overlaps(variant.boxes[pairs], fp32.boxes[partners]),
        np.abs(variant.scores[pairs] - fp32.scores[partners]),
        variant.image_index[pairs],
        apart,
        fp32.image_index[lacking],
        variant.image_index[partner < 0],
    )


def distance(fp32: Predictions, variant: Predictions, images: int, kinds: int) -> float:
    """Distance between the detections of two models, without any threshold.

    Each detection is weighted by its score. The distance of a pair (same class, IoU of at least .5)
    is ``1 - IoU (1 - |difference of scores|)``, that of a detection without a partner is 1.

    Returns:
        The weighted mean: 0.0 if the detections are the same, 1.0 if they have nothing in common.
    """
    partner = Matching(variant, fp32.as_objects(images, kinds)).matched[0]
    pairs = np.flatnonzero(partner >= 0)
    mine, theirs = variant.scores[pairs], fp32.scores[partner[pairs]]
    overlap = paired_overlaps(variant.boxes[pairs], fp32.boxes[partner[pairs]])
    common = float(((mine + theirs) * overlap * (1 - np.clip(np.abs(mine - theirs), 0, 1))).sum())
    whole = float(variant.scores.sum() + fp32.scores.sum())
    return 1.0 - common / whole if whole > 0 else 0.0
