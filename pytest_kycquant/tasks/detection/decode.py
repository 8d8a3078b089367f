"""From the outputs of a detector to detections: the layout, scores and suppression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import ModelError
from .layouts import LAYOUTS, dfl, yolov8
from .layouts.base import Layout, Told, sigmoid
from .own_decoding import OwnDecoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 0.001  # lower scores affect no figure: COCO's mAP is computed from this score up
MOST = 300  # detections per image, the maximum of deployed YOLO models

_BLOCK = 64  # candidates that are compared with each other at once
_USUAL_CLASSES = 100  # COCO has 80, and 91 with its gaps
_USUAL_KEYPOINTS = (0, 5, 17)  # none, those of a face, those of a person
_MOST_OTHERS = 3  # layouts with other numbers of classes that an error names


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections in one image, best first.

    Attributes:
        boxes: corners x1, y1, x2, y2 in pixels; shape (N, 4), float64.
        scores: confidence; shape (N,), float64.
        classes: the index of the class; shape (N,), int64.
        keypoints: x and y in pixels of the input; shape (N, K, 2), float64. None if there are none.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    keypoints: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.scores)

    def only(self, indices: NDArray[np.int64]) -> Detections:
        """Some of the detections, in the order of their indices."""
        points = None if self.keypoints is None else self.keypoints[indices]
        return Detections(self.boxes[indices], self.scores[indices], self.classes[indices], points)


@dataclass(frozen=True)
class Decoder:
    """How to read the outputs of a model.

    Args:
        classes: number of classes, C.
        keypoints: number of keypoints, K.
        scores: the kind of scores: "probabilities" if the export applied the sigmoid, else
            "logits".
        nms_iou: the IoU above which the worse of two boxes of a class is dropped.
        size: (height, width) of the model's input in pixels.
        origin: the name of the model, for messages.
        layout: name of the layout of the outputs; None finds the one whose shapes fit.
        boxes: whether boxes are "corners" or "centres" (and sizes); None for what is usual.
        decode: a function that reads the outputs instead of a layout, or None.
        crowded: whether boxes are suppressed even if the layout is one of suppressed boxes.
    """

    classes: int
    keypoints: int
    scores: Literal["probabilities", "logits"]
    nms_iou: float
    size: tuple[int, int]
    origin: str = "model"
    layout: str | None = None
    boxes: Literal["corners", "centres"] | None = None
    decode: Callable[..., Any] | None = None
    crowded: bool = False

    @property
    def told(self) -> Told:
        """What a layout needs to know."""
        return Told(self.classes, self.keypoints, self.scores, self.size, self.boxes)

    def candidates(self, outputs: Sequence[NDArray[Any]]) -> Detections:
        """Read all finite candidates with a score of at least `FLOOR`, in the order of anchors.

        Each anchor gives one candidate, that of its best class.

        Args:
            outputs: the outputs for one image, in one of `LAYOUTS`.

        Returns:
            The candidates, with boxes in pixels of the input.

        Raises:
            ModelError: the shapes match no layout, or not that of this decoder.
        """
        return self._candidates(self.choose([outputs]), outputs)

    def __call__(self, outputs: Sequence[NDArray[Any]]) -> Detections:
        """The candidates that remain after non-maximum suppression within each class."""
        layout = self.choose([outputs])
        found = self._candidates(layout, outputs)
        done = layout.suppressed and not self.crowded
        return found.only(top(found) if done else suppress(found, self.nms_iou))

    def choose(self, samples: Sequence[Sequence[NDArray[Any]]]) -> Layout:
        """Find the layout of the outputs.

        Args:
            samples: the outputs of FP32 for each of some images. Their values decide where
                the shapes fit several layouts.

        Raises:
            ModelError: there is none, there are several, or the outputs are not numbers.
        """
        if self.decode is not None:
            return OwnDecoding(self.decode, self.origin)
        known = LAYOUTS.values() if self.layout is None else (LAYOUTS[self.layout],)
        fitting = [layout for layout in known if self._fits(layout, samples)]
        if not fitting:
            raise self._unknown([np.shape(output) for output in samples[0]])
        if self.layout is not None or (len(fitting) == 1 and not fitting[0].strict):
            return fitting[0]
        reasons = {layout: self._misfit(layout, samples) for layout in fitting}
        possible = [layout for layout, reason in reasons.items() if not reason]
        if len(possible) != 1:
            raise self._undecided([np.shape(output) for output in samples[0]], possible, reasons)
        return possible[0]

    def _misfit(self, layout: Layout, samples: Sequence[Sequence[NDArray[Any]]]) -> str:
        with np.errstate(all="ignore"):
            return layout.misfit(samples, self.told)

    def _undecided(
        self,
        shapes: Sequence[tuple[int, ...]],
        possible: Sequence[Layout],
        reasons: Mapping[Layout, str],
    ) -> ModelError:
        outputs = f"outputs of the shapes {', '.join(map(str, shapes))}"
        write = [f'layout="{layout.name}" for {layout.title}' for layout in possible or reasons]
        own = "or read them with a function of your own in decode="
        remedy = f"write in ObjectDetection {', or '.join(write)}, {own}"
        if possible:
            return ModelError(self.origin, f"{outputs} can be read in {len(possible)} ways", remedy)
        why = "; ".join(f"not as {layout.title}: {reason}" for layout, reason in reasons.items())
        return ModelError(
            self.origin,
            f"{outputs} cannot be read ({why})",
            f"{self._with_other_classes(shapes)}correct classes and keypoints in ObjectDetection; "
            f"if that is wrong, {remedy}",
        )

    def _fits(self, layout: Layout, samples: Sequence[Sequence[NDArray[Any]]]) -> bool:
        for outputs in samples:
            for kind in {np.asarray(output).dtype for output in outputs}:
                if kind.kind not in "biuf":
                    raise ModelError(
                        self.origin,
                        f"an output is {kind}, not numbers",
                        "name the right outputs in ObjectDetection",
                    )
            if not layout.fits([np.shape(output) for output in outputs], self.told):
                return False
        return True

    def _candidates(self, layout: Layout, outputs: Sequence[NDArray[Any]]) -> Detections:
        found = layout.read(outputs, self.told)
        boxes, scores = found.boxes, found.scores
        # NaN in any class invalidates the anchor: argmax would choose the NaN.
        kept: NDArray[np.bool_] = np.isfinite(np.concatenate([boxes, scores], axis=1)).all(axis=1)
        best = np.argmax(np.where(kept[:, None], scores, -1.0), axis=1)
        score = scores[np.arange(len(scores)), best]
        kept &= np.nan_to_num(score, nan=-1.0) >= FLOOR
        points = None if found.keypoints is None else found.keypoints[kept]
        return Detections(boxes[kept], score[kept], best[kept].astype(np.int64), points)

    def _unknown(self, shapes: Sequence[tuple[int, ...]]) -> ModelError:
        if self.layout is not None:
            return self._other_layout(shapes)
        one, raw = yolov8.channels_of(self.told), dfl.channels_of(self.told)
        found = self._with_other_classes(shapes)
        return ModelError(
            self.origin,
            f"output shapes {', '.join(map(str, shapes))} match no supported layout with "
            f"{_counted(self.classes, self.keypoints)}",
            f"{found}{self.classes} classes and {self.keypoints} keypoints need one output (1, "
            f"{one}, A) or (1, A, {one}), or one (1, {raw}, H / stride, W / stride) for each "
            f"stride; other layouts are {', '.join(LAYOUTS)} (see docs/detection.md); correct "
            "classes and keypoints in ObjectDetection, name the outputs to read in outputs=, or "
            "read them with a function of your own in decode=",
        )

    def _with_other_classes(self, shapes: Sequence[tuple[int, ...]]) -> str:
        """The layouts of these shapes with other classes or keypoints, the nearest ones."""
        nearest = sorted(range(1, _USUAL_CLASSES + 1), key=lambda count: abs(count - self.classes))
        others = [(self.classes, count) for count in _USUAL_KEYPOINTS if count != self.keypoints]
        found = []
        for classes, keypoints in (
            *others,
            *((count, self.keypoints) for count in nearest if count != self.classes),
        ):
            told = replace(self.told, classes=classes, keypoints=keypoints)
            names = [layout.name for layout in LAYOUTS.values() if layout.fits(shapes, told)]
            found += [f"{name} with {_counted(classes, keypoints)}" for name in names]
        return f"they fit {', or '.join(found[:_MOST_OTHERS])}; " if found else ""

    def _other_layout(self, shapes: Sequence[tuple[int, ...]]) -> ModelError:
        fitting = [one.name for one in LAYOUTS.values() if one.fits(shapes, self.told)]
        found = f"write {' or '.join(map(repr, fitting))}, which they fit, or " if fitting else ""
        return ModelError(
            self.origin,
            f"output shapes {', '.join(map(str, shapes))} do not fit layout={self.layout!r}: "
            f"{LAYOUTS[self.layout or ''].title}",
            f"{found}leave layout= out, correct classes and keypoints in ObjectDetection, or read "
            "them with a function of your own in decode=",
        )


def _counted(classes: int, keypoints: int) -> str:
    said = f"{classes} class" if classes == 1 else f"{classes} classes"
    points = "keypoint" if keypoints == 1 else "keypoints"
    return f"{said} and {keypoints} {points}" if keypoints else said


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
    elif kind == "logits" and low >= sigmoid(np.zeros(1))[0] and high <= sigmoid(np.ones(1))[0]:
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


def top(found: Detections) -> NDArray[np.int64]:
    """Indices of the best detections, at most `MOST`, by score; ties keep their order."""
    return np.argsort(-found.scores, kind="stable")[:MOST]


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
    kept = np.zeros(0, np.int64)
    while len(order) and len(kept) < MOST:
        block, order = order[:_BLOCK], order[_BLOCK:]
        drops = _too_near(found, block, block, iou)
        alive = np.ones(len(block), np.bool_)
        for place in range(len(block)):
            if alive[place]:
                alive[place + 1 :] &= ~drops[place, place + 1 :]
        kept = np.concatenate([kept, block[alive]])
        if len(order):
            order = order[~_too_near(found, block[alive], order, iou).any(axis=0)]
    return kept[:MOST]


def _too_near(
    found: Detections, better: NDArray[np.int64], other: NDArray[np.int64], iou: float
) -> NDArray[np.bool_]:
    """Whether each of `better` drops each of `other`."""
    same: NDArray[np.bool_] = found.classes[better][:, None] == found.classes[other][None, :]
    return same & (overlaps(found.boxes[better], found.boxes[other]) > iou)


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
    sides = [
        np.minimum(first[:, None, 2 + axis], second[None, :, 2 + axis])
        - np.maximum(first[:, None, axis], second[None, :, axis])
        for axis in (0, 1)
    ]
    inside = np.maximum(sides[0], 0.0) * np.maximum(sides[1], 0.0)
    areas = [np.maximum(b[:, 2:] - b[:, :2], 0.0) for b in (first, second)]
    own, others = (size[:, 0] * size[:, 1] for size in areas)
    whole = own[:, None] + others[None, :] - inside
    if crowd is not None:
        whole = np.where(crowd[None, :], own[:, None], whole)
    shares: NDArray[np.float64] = np.divide(
        inside, whole, out=np.zeros_like(inside), where=whole > 0
    )
    return shares


def paired_overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of the boxes of `first` and `second` (N, 4), in pairs; (N,)."""
    shares = [overlaps(a[None], b[None])[0, 0] for a, b in zip(first, second, strict=True)]
    return np.array(shares, np.float64)
