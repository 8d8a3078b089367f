"""What all layouts of a detector's outputs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shapes = Sequence[tuple[int, ...]]
Given = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Told:
    """What a gate file says about a detector, which shapes alone do not tell.

    Args:
        classes: number of classes, C.
        keypoints: number of keypoints of each box, K.
        scores: whether scores went through their last activation in the model ("probabilities"),
            or not ("logits").
        size: (height, width) of the model's input in pixels.
        boxes: whether boxes are "corners" or "centres" (and sizes); None for what is usual.
    """

    classes: int
    keypoints: int
    scores: Literal["probabilities", "logits"]
    size: tuple[int, int]
    boxes: Literal["corners", "centres"] | None = None

    def activated(self, raw: Floats) -> Floats:
        """Scores as probabilities: logits go through the sigmoid."""
        return sigmoid(raw) if self.scores == "logits" else raw

    def cornered(self, boxes: Floats, usual: str = "centres") -> Floats:
        """Boxes (A, 4) as corners."""
        return boxes if (self.boxes or usual) == "corners" else corners(boxes)


@dataclass(frozen=True, eq=False)
class Candidates:
    """All candidates in one image, as a layout reads them.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels of the input; shape (A, 4), float64.
        scores: a probability for each class; shape (A, C), float64.
        keypoints: x and y in pixels of the input; shape (A, K, 2), float64. None if the model
            returns none.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats | None = None


class Layout(ABC):
    """One way in which detectors return what they found.

    Attributes:
        name: a short name, for gate files and goldens.
        title: what the outputs hold, for reports.
        suppressed: whether the model has dropped overlapping boxes itself.
        told_boxes: whether the gate file may say that boxes are corners, or centres and sizes.
        strict: whether FP32's values must not contradict the layout even if no other one fits.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suppressed: ClassVar[bool] = False
    told_boxes: ClassVar[bool] = False
    strict: ClassVar[bool] = False

    @abstractmethod
    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether outputs of these shapes can have this layout.

        Args:
            shapes: the shape of each output for one image.
            told: what the gate file says.
        """

    @abstractmethod
    def read(self, outputs: Given, told: Told) -> Candidates:
        """Read the outputs for one image, whose shapes fit.

        Args:
            outputs: the outputs, all of them numbers.
            told: what the gate file says.
        """

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Why the outputs of FP32 cannot have this layout though their shapes fit; "" if they can.

        Args:
            samples: the outputs for each of some images.
            told: what the gate file says.
        """
        return ""

    def cornered(self, samples: Sequence[Given], told: Told) -> bool:
        """Whether FP32 gives corners where centres and sizes are usual; by all candidates."""
        return False


def sigmoid(x: Floats) -> Floats:
    """The logistic function."""
    with np.errstate(over="ignore", invalid="ignore"):
        share: Floats = 1.0 / (1.0 + np.exp(-x))
    return share


def corners(boxes: Floats) -> Floats:
    """Convert boxes (A, 4) from centre, width and height to corners."""
    with np.errstate(invalid="ignore"):
        half = boxes[:, 2:] / 2
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
