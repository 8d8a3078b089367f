"""From the outputs of a YOLO model to detections: two layouts, scores and suppression.

Sources: the boxes of DFL heads follow Li et al., Generalized Focal Loss (arXiv 2006.04388); both
layouts are those of ONNX exports of YOLOv8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 0.001  # lower scores affect no figure: COCO's mAP is computed from this score up
MOST = 300  # detections per image, the maximum of deployed YOLO models
_BINS = 16  # bins of the distribution of each side in DFL
_KEYPOINT_CHANNELS = 3  # x, y, visibility


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections in one image, best first.

    Attributes:
        boxes: corners x1, y1, x2, y2 in pixels; shape (N, 4), float64.
        scores: confidence; shape (N,), float64.
        classes: the index of the class; shape (N,), int64.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Decoder:
    """How to read the outputs of a model.

    Args:
        classes: number of classes, C.
        keypoints: number of keypoints, K; their 3 K channels are skipped.
        scores: the kind of scores: "probabilities" if the export applied the sigmoid, else
            "logits".
        nms_iou: the IoU above which the worse of two boxes of a class is dropped.
        size: (height, width) of the model's input in pixels.
        origin: the name of the model, for messages.
    """

    classes: int
    keypoints: int
    scores: Literal["probabilities", "logits"]
    nms_iou: float
    size: tuple[int, int]
    origin: str = "model"

    def candidates(self, outputs: Sequence[NDArray[Any]]) -> Detections:
        """Read all finite candidates with a score of at least `FLOOR`, in the order of anchors.

        Each anchor gives one candidate, that of its best class.

        Args:
            outputs: the outputs for one image. Either there is one of shape (1, 4 + C + 3 K, A) or
                (1, A, 4 + C + 3 K), with centre x, centre y, width and height in pixels of the
                input. Or there is one for each stride, of shape (1, 64 + C + 3 K, height / stride,
                width / stride), with the distributions (16 bins) of the distances to the left,
                top, right and bottom.

        Returns:
            The candidates, with boxes in pixels of the input.

        Raises:
            ModelError: the shapes match neither layout.
        """
        boxes, raw = self._split(outputs)
        scores = _sigmoid(raw) if self.scores == "logits" else raw
        # NaN in any class invalidates the anchor: argmax would choose the NaN.
        kept: NDArray[np.bool_] = np.isfinite(np.concatenate([boxes, scores], axis=1)).all(axis=1)
        best = np.argmax(np.where(kept[:, None], scores, -1.0), axis=1)
        score = scores[np.arange(len(scores)), best]
        kept &= np.nan_to_num(score, nan=-1.0) >= FLOOR
        return Detections(boxes[kept], score[kept], best[kept].astype(np.int64))

    def __call__(self, outputs: Sequence[NDArray[Any]]) -> Detections:
        """The candidates that remain after non-maximum suppression within each class."""
        found = self.candidates(outputs)
        kept = suppress(found, self.nms_iou)
        return Detections(found.boxes[kept], found.scores[kept], found.classes[kept])

    def _split(
        self, outputs: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes (A, 4), corners in pixels of the input, and raw scores (A, C), both float64."""
        shapes = [np.shape(output) for output in outputs]
        for kind in {np.asarray(output).dtype for output in outputs}:
            if kind.kind not in "biuf":
                raise ModelError(
                    self.origin,
                    f"an output is {kind}, not numbers",
                    "name the right outputs in ObjectDetection",
                )
        channels = 4 + self.classes + _KEYPOINT_CHANNELS * self.keypoints
        if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1:
            table = np.asarray(outputs[0][0], np.float64)
            # Channels first is YOLOv8's own layout; it takes precedence if both axes fit.
            rows = table.T if shapes[0][1] == channels else table
            if rows.shape[1] == channels:
                return _corners(rows[:, :4]), rows[:, 4 : 4 + self.classes]
        strides = [self._stride(shape) for shape in shapes]
        if strides and None not in strides and len(set(strides)) == len(strides):
            levels = [
                self._level(np.asarray(output[0], np.float64), stride)
                for output, stride in zip(outputs, strides, strict=True)
                if stride is not None
            ]
            boxes, scores = zip(*levels, strict=True)
            return np.concatenate(boxes), np.concatenate(scores)
        dfl = channels - 4 + 4 * _BINS
        raise ModelError(
            self.origin,
            f"output shapes {', '.join(map(str, shapes))} match no supported layout",
            f"{self.classes} classes and {self.keypoints} keypoints need one output (1, {channels},"
            f" A) or (1, A, {channels}), or one (1, {dfl}, H / stride, W / stride) for each stride;"
            " correct classes and keypoints in ObjectDetection, or export without "
            "non-maximum suppression",
        )

    def _stride(self, shape: tuple[int, ...]) -> int | None:
        """Stride of an output of a DFL head; None if it is not such an output."""
        channels = 4 * _BINS + self.classes + _KEYPOINT_CHANNELS * self.keypoints
        if len(shape) != 4 or shape[:2] != (1, channels) or 0 in shape:
            return None
        strides = {divmod(side, cells) for side, cells in zip(self.size, shape[2:], strict=True)}
        stride, rest = strides.pop()
        return stride if not strides and not rest else None

    def _level(
        self, output: NDArray[np.float64], stride: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes and raw scores of one stride, anchors row by row."""
        _, height, width = output.shape
        flat = output.reshape(len(output), -1)
        bins = flat[: 4 * _BINS].reshape(4, _BINS, -1)
        with np.errstate(invalid="ignore", over="ignore"):
            weights = np.exp(bins - bins.max(axis=1, keepdims=True))
            expected = np.einsum("sba,b->sa", weights, np.arange(_BINS, dtype=np.float64))
            left, top, right, bottom = expected / weights.sum(axis=1)
        y, x = np.indices((height, width), dtype=np.float64).reshape(2, -1) + 0.5
        boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=1) * stride
        return boxes, flat[4 * _BINS : 4 * _BINS + self.classes].T


def check_scores(scores: NDArray[np.float64], kind: str, origin: object) -> None:
    """Make sure that the scores of an FP32 model's detections are what the gate file declares.

    Args:
        scores: the scores of all detections, shape (N,); logits went through the sigmoid already.
        kind: the declared kind, "probabilities" or "logits".
        origin: the name of the model, for messages.

    Raises:
        ModelError: probabilities above 1, or "logits" that were between 0 and 1 before the sigmoid.
    """
    if not len(scores):
        return
    low, high = float(scores.min()), float(scores.max())
    if kind == "probabilities" and high > 1.0:
        problem, other = (
            f"has detections with a score of {high:.3g}, which is not a probability",
            "logits",
        )
    elif kind == "logits" and low >= _sigmoid(np.zeros(1))[0] and high <= _sigmoid(np.ones(1))[0]:
        problem, other = (
            "has only detections that score between .5 and .731, like the sigmoid of a probability",
            "probabilities",
        )
    else:
        return
    raise ModelError(
        origin,
        problem,
        f'set ObjectDetection(scores="{other}"), or check its classes and keypoints',
    )


def suppress(found: Detections, iou: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        found: the candidates.
        iou: the IoU with a better candidate of its class above which a candidate is dropped.

    Returns:
        Indices of the best candidates that remain, at most `MOST`, by descending score; ties keep
        their order in `found`.
    """
    order = np.argsort(-found.scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < MOST:
        best, order = order[0], order[1:]
        kept.append(int(best))
        same = found.classes[order] == found.classes[best]
        overlap = overlaps(found.boxes[best : best + 1], found.boxes[order])[0]
        order = order[~(same & (overlap > iou))]
    return np.array(kept, np.int64)


def overlaps(
    first: NDArray[np.float64], second: NDArray[np.float64], crowd: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Intersection over union of boxes.

    Args:
        first: corners of N boxes, shape (N, 4), float64.
        second: corners of M boxes, shape (M, 4), float64.
        crowd: whether each box of `second` is a crowd, shape (M,), bool. The overlap with a crowd
            is the share of the first box that lies inside, as COCO defines it.

    Returns:
        Shape (N, M), float64; 0 between boxes without area.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(np.clip(b[:, 2:] - b[:, :2], 0.0, None), axis=1) for b in (first, second)]
    whole = areas[0][:, None] + areas[1][None, :] - inside
    if crowd is not None:
        whole = np.where(crowd[None, :], areas[0][:, None], whole)
    shares: NDArray[np.float64] = np.divide(
        inside, whole, out=np.zeros_like(inside), where=whole > 0
    )
    return shares


def paired_overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of the boxes of `first` and `second` (N, 4), in pairs; (N,)."""
    shares = [overlaps(a[None], b[None])[0, 0] for a, b in zip(first, second, strict=True)]
    return np.array(shares, np.float64)


def _corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert boxes from centre, width and height to corners."""
    with np.errstate(invalid="ignore"):
        half = boxes[:, 2:] / 2
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        share: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-x))
    return share
