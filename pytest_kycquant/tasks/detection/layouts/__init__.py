"""The layouts of detectors' outputs that are known, one module each."""

from __future__ import annotations

from .base import Layout
from .detr import Detr, DetrOfSigmoids, RtDetr
from .dfl import RawHeads
from .operators import Lists, Selected
from .retinaface import RetinaFace
from .rows import Rows, RowsOfBatch, RowsOfOneClass
from .scrfd import Scrfd
from .ultraface import UltraFace
from .yolov5 import YoloV5, YoloX
from .yolov8 import YoloV8
from .yunet import YuNet

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
        Scrfd(),
        YuNet(),
        RetinaFace(),
        UltraFace(),
        YoloV5(),
        YoloX(),
        Detr(),
        DetrOfSigmoids(),
        RtDetr(),
    )
}
"""All layouts by name: a new one needs a module of its own and an entry here."""
