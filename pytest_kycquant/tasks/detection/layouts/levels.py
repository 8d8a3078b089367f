"""Outputs for each stride: which is which, and the places of their anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .base import Floats, Given, Shapes

STRIDES = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Level:
    """The outputs of one stride.

    Args:
        stride: pixels of the input for each cell.
        cells: (rows, columns) of its grid.
        anchors: number of anchors in each cell.
        places: for each width, the indices of the outputs with that many values for each anchor, in
            the order of the outputs.
    """

    stride: int
    cells: tuple[int, int]
    anchors: int
    places: Mapping[int, tuple[int, ...]]


def grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of the cells of a stride; a part of a cell at the border counts."""
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


def find_levels(
    shapes: Shapes, size: tuple[int, int], widths: Mapping[int, int], anchors: Sequence[int]
) -> list[Level] | None:
    """Sort the outputs of a detector by stride; None if they are not of that kind.

    An output is (1, A, width), (A, width) or (A, 1, width), or a map of anchors * width channels,
    with the channels first or last.

    Args:
        shapes: the shapes of all outputs.
        size: (height, width) of the input in pixels.
        widths: the values of each anchor in an output -> how many such outputs each stride has.
        anchors: the numbers of anchors in a cell that are possible; the same for all strides.
    """
    for each in anchors:
        found: dict[int, dict[int, list[int]]] = {}
        for index, shape in enumerate(shapes):
            match = _match(shape, size, widths, each)
            if match is None:
                break
            stride, width = match
            found.setdefault(stride, {}).setdefault(width, []).append(index)
        else:
            counts = [{w: len(places) for w, places in f.items()} for f in found.values()]
            if found and all(count == dict(widths) for count in counts):
                return [
                    Level(
                        stride,
                        grid(size, stride),
                        each,
                        {width: tuple(places) for width, places in found[stride].items()},
                    )
                    for stride in sorted(found)
                ]
    return None


def _match(
    shape: tuple[int, ...], size: tuple[int, int], widths: Mapping[int, int], anchors: int
) -> tuple[int, int] | None:
    """Stride and width of an output."""
    for stride in STRIDES:
        rows, columns = grid(size, stride)
        count = rows * columns * anchors
        for width in widths:
            flat = ((count, width), (1, count, width), (count, 1, width))
            each = anchors * width
            maps = ((1, each, rows, columns), (1, rows, columns, each))
            if shape in flat or shape in maps:
                return stride, width
    return None


def values(outputs: Given, level: Level, index: int, width: int) -> Floats:
    """An output as (A, width): anchors of a cell one after the other, cells row by row."""
    output = np.asarray(outputs[index], np.float64)
    if output.shape == (1, level.anchors * width, *level.cells):
        output = output.reshape(level.anchors, width, *level.cells).transpose(2, 3, 0, 1)
    return output.reshape(-1, width)


def origins(level: Level) -> Floats:
    """Return x and y of the upper left corner of the cell of each anchor, in pixels; (A, 2)."""
    rows, columns = level.cells
    y, x = np.indices((rows, columns), dtype=np.float64).reshape(2, -1)
    return np.repeat(np.stack([x, y], axis=1) * level.stride, level.anchors, axis=0)
