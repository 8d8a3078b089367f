"""Are the boxes of FP32 in the picture? If not, they are read in the wrong way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import ModelError
from .decode import MOST, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .decode import Detections
    from .layouts.base import Layout, Told

_OUTSIDE = 0.2  # a sound box has less of its area outside the input
_ON_TOP = 0.9  # IoU; no threshold of suppression in use is higher
_CROWDED = 0.1  # the share of boxes on top of others that makes a model one without suppression
_TINY = 2.0  # pixels: boxes that end before are shares of the input


def corners_it_seems(origin: object) -> ModelError:
    """The error to raise if what should be centres and sizes of candidates are corners."""
    return ModelError(
        origin,
        "returns boxes whose size nearly always exceeds the coordinates of their centre, like x1, "
        "y1, x2, y2",
        'set ObjectDetection(boxes="corners"), or boxes="centres" if that is what they are',
    )


def crowded(found: Sequence[Detections], confidence: float) -> bool:
    """Whether boxes that a model should have suppressed lie on top of better ones of their class.

    No suppression leaves two boxes of a class with an IoU above .9, and queries that compete leave
    few.

    Args:
        found: detections of FP32 in a few images, best first.
        confidence: lower scores do not count.
    """
    total = on_top = 0
    for one in found:
        (rows,) = np.nonzero(one.scores >= confidence)
        same = one.classes[rows, None] == one.classes[None, rows]
        better = np.tril(np.ones((len(rows), len(rows)), np.bool_), -1)
        near = overlaps(one.boxes[rows], one.boxes[rows]) > _ON_TOP
        total += len(rows)
        on_top += int((near & same & better).any(axis=1).sum())
    return on_top > _CROWDED * total


def check_number(found: Sequence[Detections], confidence: float, origin: object) -> None:
    """Make sure that FP32 does not find as many objects as are counted at all.

    Args:
        found: its detections in a few images.
        confidence: lower scores do not count.
        origin: the name of the model, for messages.

    Raises:
        ModelError: it does, in more than half of the images.
    """
    full = sum(int((one.scores >= confidence).sum()) >= MOST for one in found)
    if full > len(found) / 2:
        raise ModelError(
            origin,
            f"finds {MOST} objects, the most that count, with a score of {confidence:g} or more in "
            f"{full} of {len(found)} images",
            "check scores, classes, keypoints and layout in ObjectDetection, and the confidence",
        )


def check_boxes(boxes: NDArray[np.float64], layout: Layout, told: Told, origin: object) -> None:
    """Make sure that the boxes of an FP32 model lie in the picture.

    Args:
        boxes: corners of its confident detections in a few images, in pixels of the input; shape
            (N, 4), float64. None of them says nothing.
        layout: how they were read.
        told: what the gate file says.
        origin: the name of the model, for messages.

    Raises:
        ModelError: more than half of them have no area, leave the input by far, or are shares of
            it.
    """
    if not len(boxes):
        return
    disordered = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    height, width = told.size
    inside = np.clip(boxes, 0.0, [width, height, width, height])
    areas = [np.prod(np.clip(b[:, 2:] - b[:, :2], 0.0, None), axis=1) for b in (boxes, inside)]
    left = ~disordered & (areas[1] < (1 - _OUTSIDE) * areas[0])
    number = f"of {len(boxes):,} confident boxes of FP32"
    if (tiny := boxes.max(axis=1) <= _TINY).mean() > 0.5:
        raise ModelError(
            origin,
            f"{tiny.sum():,} {number} end within {_TINY:g} pixels: they are shares of the input",
            "export boxes in pixels of the input, or return them so in decode=",
        )
    for which, problem in (
        (disordered, "have no area"),
        (left, f"have more than {_OUTSIDE:.0%} of their area outside the input"),
    ):
        if which.mean() > 0.5:
            other = "centres" if told.boxes == "corners" else "corners"
            told_so = f'set ObjectDetection(boxes="{other}"), or '
            raise ModelError(
                origin,
                f"{which.sum():,} {number} {problem}; outputs were read as {layout.title}",
                f"{told_so if layout.told_boxes else ''}check size and fit of its Preprocess, "
                "classes and keypoints, or return x1, y1, x2, y2 in pixels in decode=",
            )
