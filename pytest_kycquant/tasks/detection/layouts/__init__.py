"""The layouts of detectors' outputs that are known, one module each."""

from __future__ import annotations

from .base import Layout
from .dfl import RawHeads
from .operators import Lists, Selected
from .rows import Rows, RowsOfBatch, RowsOfOneClass
from .yolov8 import YoloV8

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        YoloV8(),
        RawHeads(),
        Rows(),
        RowsOfOneClass(),
        RowsOfBatch(),
        Lists(),
        Selected(),
    )
}
"""All layouts by name: a new one needs a module of its own and an entry here."""
