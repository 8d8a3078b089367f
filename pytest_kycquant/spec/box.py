"""A rectangle in an image."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A face in an image, in pixels from the image's upper left corner, after EXIF orientation."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1
