"""Runs a user's function that reads the outputs of a detector, and checks what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelError
from ...spec.coerce import is_several, shown
from ...spec.functions import describe_raised
from .layouts.base import Candidates, Given, Layout, Shapes, Told

NAME = "decode"
_WHERE = "ObjectDetection.decode"
_REMEDY = (
    "return boxes (N, 4) as x1, y1, x2, y2 in pixels of the input, scores (N,), classes (N,) as "
    "indices, and perhaps landmarks (N, K, 2)"
)


class OwnDecoding(Layout):
    """A layout that a function of the gate file reads.

    Args:
        function: the function.
        origin: the name of the model, for messages.
    """

    name = NAME
    title = "a function of the gate file says"

    def __init__(self, function: Callable[..., Any], origin: str) -> None:
        self._function = function
        self._origin = origin

    def fits(self, shapes: Shapes, told: Told) -> bool:
        """Whether the function reads such outputs, which only it knows."""
        return True

    def read(self, outputs: Given, told: Told) -> Candidates:
        """Call the function for one image.

        Raises:
            ModelError: the function raises, or returns something else.
        """
        # Copies: the function may work in place.
        given = tuple(np.array(output) for output in outputs)
        try:
            answer: Any = self._function(given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's function may raise anything, a skip too
            shapes = ", ".join(f"{one.shape} {one.dtype}" for one in given)
            raise self._error(
                describe_raised(error, self._function), f"it was given a tuple of {shapes}"
            ) from error
        if not is_several(answer) or len(answer) not in (3, 4):
            raise self._error(f"returned {shown(answer)}", _REMEDY)
        names = ("boxes", "scores", "classes", "landmarks")[: len(answer)]
        found = {
            name: self._numbers(name, value) for name, value in zip(names, answer, strict=True)
        }
        count = len(found["scores"]) if found["scores"].ndim else -1
        wanted: dict[str, tuple[tuple[int, ...], ...]] = {
            "boxes": ((count, 4),),
            "scores": ((count,), (count, 1)),
            "classes": ((count,), (count, 1)),
        }
        for name, shapes_allowed in wanted.items():
            if found[name].shape not in shapes_allowed and (count or found[name].size):
                raise self._error(f"returned {self._shapes(found)}", _REMEDY)
        points = found.get("landmarks")
        if points is not None:
            if points.ndim == 2 and not points.shape[1] % 2:
                points = points.reshape(len(points), points.shape[1] // 2, 2)
            if count and (points.ndim != 3 or points.shape[::2] != (count, 2)):
                raise self._error(f"returned {self._shapes(found)}", _REMEDY)
            points = points if count else None
        classes, scores = found["classes"].reshape(-1), np.zeros((count, told.classes))
        if ((classes != np.round(classes)) | (classes < 0) | (classes >= told.classes)).any():
            raise self._error(
                f"returned the classes {shown(sorted(set(classes.tolist())))}",
                f"return an index from 0 to {told.classes - 1}, one for each name in classes=",
            )
        scores[np.arange(count), classes.astype(np.int64)] = found["scores"].reshape(-1)
        return Candidates(found["boxes"].reshape(-1, 4), scores, points)

    def misfit(self, samples: Sequence[Given], told: Told) -> str:
        """Nothing: the function decides."""
        return ""

    def check_repeats(self, outputs: Given, told: Told) -> None:
        """Refuse a function that returns something else for the same outputs.

        Raises:
            ModelError: it draws random numbers, or remembers earlier images.
        """
        one, other = (self.read(outputs, told) for _ in range(2))
        pairs = [(one.boxes, other.boxes), (one.scores, other.scores)]
        if one.keypoints is not None and other.keypoints is not None:
            pairs.append((one.keypoints, other.keypoints))
        if not all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs):
            raise self._error(
                "does not return the same for the same outputs",
                "remove the randomness, or fix its seed inside of the function",
            )

    def _numbers(self, name: str, value: Any) -> NDArray[np.float64]:
        try:
            found = np.asarray(value)
        except ValueError:  # rows of different lengths
            raise self._error(f"returned {name} {shown(value)}", _REMEDY) from None
        if found.size and found.dtype.kind not in "iuf":
            raise self._error(f"returned {name} of {found.dtype}, not numbers", _REMEDY)
        return found.astype(np.float64) if found.size else np.zeros(found.shape)

    def _shapes(self, found: dict[str, NDArray[np.float64]]) -> str:
        return ", ".join(f"{name} of shape {value.shape}" for name, value in found.items())

    def _error(self, problem: str, remedy: str) -> ModelError:
        return ModelError(self._origin, f"{_WHERE} {problem}", remedy)
