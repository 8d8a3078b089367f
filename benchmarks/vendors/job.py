"""What a maker is given, and where it puts its file.

This module is imported in the environment of every tool, so it depends on numpy only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
FACTS, IMAGES = "job.json", "images.npz"


class Job:
    """One model to quantize.

    Attributes:
        folder: folder of this job.
        mode: which of the files that a maker can make.
        original: the FP32 file as it is judged.
        prepared: the same model at opset 17, with constants and BatchNormalization folded.
        input_name: name of the model's input.
        target: the file to write.
        calibration: calibration images, [N, C, H, W].
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.folder = folder
        self.mode: str = facts["mode"]
        self.original = Path(facts["original"])
        self.prepared = Path(facts["prepared"])
        self.input_name: str = facts["input_name"]
        self.target = Path(facts["target"])
        with np.load(facts["images"]) as arrays:
            self.calibration: Array = arrays["calibration"]


def write_job(folder: Path, **facts: Any) -> None:
    """Write what `Job` reads."""
    folder.mkdir(parents=True)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def main(make: Callable[[Job], None]) -> None:
    """Run a maker on the folder named on the command line."""
    make(Job(Path(sys.argv[1])))
