"""Several outputs of operators for suppression: TensorRT's, mmdeploy's, torchvision's, ONNX's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import Candidates, Floats, Given, Layout, Shapes, Told
from .suppressed import Chosen, Suppressed

_ONE = ((), (1,), (1, 1))


@dataclass(frozen=True)
class _Places:
    """Which output holds what."""

    boxes: int
    others: tuple[int, ...]  # scores and classes, or classes alone
    number: int | None


class Lists(Suppressed):
    """Boxes (1, N, 4), scores (1, N) and classes (1, N), in any order, and perhaps their number.

    So EfficientNMS_TRT (num_dets, boxes, scores, classes) and torchvision (boxes, labels, scores)
    end. mmdeploy's boxes (1, N, 5) hold the scores, too, beside labels (1, N). The axis of the
    batch may be missing. Classes are the output of whole numbers, or the second of two of floats.
    """

    name = "lists"
    title = "suppressed lists: boxes as corners, scores, classes"

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there is one list of boxes, with lists of the same length."""
        return not told.keypoints and _places(shapes) is not None

    def chosen(self, outputs: Given, told: Told) -> Chosen:
        """Take as many of each list as there are."""
        places = _places([np.shape(output) for output in outputs])
        assert places is not None
        boxes = np.asarray(outputs[places.boxes], np.float64)
        boxes = boxes.reshape(-1, boxes.shape[-1])
        if len(places.others) == 1:
            scores, classes = boxes[:, 4], outputs[places.others[0]]
        else:
            first, second = (outputs[place] for place in places.others)
            swapped = np.asarray(first).dtype.kind in "iu" and np.asarray(second).dtype.kind == "f"
            scores, classes = (second, first) if swapped else (first, second)
        end = len(boxes)
        if places.number is not None:
            end = int(np.clip(np.asarray(outputs[places.number]).reshape(-1)[0], 0, end))
        lists = (np.asarray(values, np.float64).reshape(-1)[:end] for values in (scores, classes))
        return Chosen(boxes[:end, :4], *lists)


def _places(shapes: Shapes) -> _Places | None:
    if not 2 <= len(shapes) <= 4:
        return None
    tables = [i for i, shape in enumerate(shapes) if _is_table(shape)]
    if len(tables) != 1:
        return None
    (boxes,) = tables
    wide = shapes[boxes][-1] == 5
    rest = [i for i in range(len(shapes)) if i != boxes]
    wanted = 1 if wide else 2
    number = None
    if len(rest) == wanted + 1:
        number = next((i for i in rest if shapes[i] in _ONE), None)
        if number is None:
            return None
        rest.remove(number)
    if len(rest) != wanted or any(shapes[i] != shapes[boxes][:-1] for i in rest):
        return None
    return _Places(boxes, tuple(rest), number)


def _is_table(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 2 or (len(shape) == 3 and shape[0] == 1)) and shape[-1] in (4, 5)


class Selected(Layout):
    """Boxes (1, A, 4), scores (1, C, A) and (n, 3) indices of ONNX's NonMaxSuppression.

    A row of indices names the image, the class and the box. Boxes are corners unless the gate
    file says that they are centres.
    """

    name = "selected"
    title = "boxes, scores, and the indices of NonMaxSuppression"
    told_boxes = True
    suppressed = True
    strict = True

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether there are boxes, scores for them, and rows of three indices."""
        return not told.keypoints and _three(shapes, told) is not None

    def read(self, outputs: Given, told: Told) -> Candidates:
        """The boxes that were selected, each for one class."""
        boxes, scores, chosen = self._arrays(outputs, told)
        known = ((chosen[:, 1:] >= 0) & (chosen[:, 1:] < scores.shape)).all(axis=1)
        rows = chosen[known].astype(np.int64)
        found = np.zeros((len(rows), told.classes))
        found[np.arange(len(rows)), rows[:, 1]] = told.activated(scores[rows[:, 1], rows[:, 2]])
        chosen_boxes = boxes[rows[:, 2]]
        # The operator accepts any two opposite corners, or centres and sizes.
        chosen_boxes = told.cornered(chosen_boxes, "corners")
        low, high = chosen_boxes[:, :2], chosen_boxes[:, 2:]
        return Candidates(
            np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1),
            found,
        )

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Whether the indices are none."""
        for outputs in samples:
            _, scores, chosen = self._arrays(outputs, told)
            if (chosen != np.round(chosen)).any() or (chosen[:, 0] != 0).any():
                return "the rows of three are not indices of an image, a class and a box"
            if ((chosen[:, 1:] < 0) | (chosen[:, 1:] >= scores.shape)).any():
                return "the rows of three name boxes or classes that do not exist"
        return ""

    def _arrays(self, outputs: Given, told: Told) -> tuple[Floats, Floats, Floats]:
        places = _three([np.shape(output) for output in outputs], told)
        assert places is not None
        boxes, scores, chosen = (np.asarray(outputs[place], np.float64) for place in places)
        return boxes[0], scores[0], chosen


def _three(shapes: Shapes, told: Told) -> tuple[int, int, int] | None:
    if len(shapes) != 3:
        return None
    tables = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[0] == 1]
    rows = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] == 3]
    for boxes in tables:
        for scores in tables:
            count = shapes[boxes][1]
            fit = shapes[boxes][2] == 4 and shapes[scores][1:] == (told.classes, count)
            if boxes != scores and rows and fit:
                return boxes, scores, rows[0]
    return None
