"""The input of a competitor, and the way it returns its model.

This module is imported in the environment of every peer, so it depends on numpy only.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[Array], Sequence[NDArray[Any]]]

SEED = 0
IMAGES, FACTS, MODEL, RESULT = "images.npz", "job.json", "model.onnx", "result.json"


@dataclass(frozen=True)
class Reading:
    """Selects the values of the outputs that are compared with FP32's.

    Args:
        first: the first channel, on axis 1 of every output.
        last: the channel after the last; None for all that follow.
        logits: whether the values are logits, whose sigmoids are compared.
    """

    first: int = 0
    last: int | None = None
    logits: bool = False

    def __call__(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """The values of one image, in one row."""
        parts = [output[:, self.first : self.last].ravel() for output in outputs]
        values = np.concatenate(parts).astype(np.float64)
        return 1 / (1 + np.exp(-values)) if self.logits else values


def cosines(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of each row to FP32's; -1, the worst value, where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        return np.nan_to_num(np.einsum("ij,ij->i", found, wanted) / lengths, nan=-1.0)


class Job:
    """One model, images to calibrate and to search on, and an accuracy to reach.

    Attributes:
        folder: folder of this job, in which the competitor may write other files.
        method: name of the competitor.
        original: the FP32 file as it was published.
        prepared: the same model at opset 17, with constants and BatchNormalization folded.
        input_name: name of the model's input.
        target: target for the mean cosine to FP32 on the search images.
        calibration: calibration images, [N, C, H, W].
        search: search images, [S, C, H, W].
        subjects: the person on each search image, [S].
        evaluations: number of times that outputs on the search images were compared.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.folder = folder
        self.method: str = facts["method"]
        self.original = Path(facts["original"])
        self.prepared = Path(facts["prepared"])
        self.input_name: str = facts["input_name"]
        self.target: float = facts["target"]
        self.reading = Reading(**facts["reading"])
        with np.load(facts["images"]) as arrays:
            self.calibration: Array = arrays["calibration"]
            self.search: Array = arrays["search"]
            self.subjects: NDArray[np.int64] = arrays["subjects"]
            self._wanted: NDArray[np.float64] = arrays["wanted"]
        self.evaluations = 0
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Start the clock, once everything is imported and read."""
        random.seed(SEED)
        np.random.seed(SEED)  # noqa: NPY002, the peers draw from it
        self._began = time.monotonic(), _cpu()

    def cosines(self, run: Run) -> NDArray[np.float64]:
        """Cosine to FP32 of each search image, for a model that `run` runs."""
        self.evaluations += 1
        found = [self.reading(run(image[np.newaxis])) for image in self.search]
        return cosines(np.stack(found), self._wanted)

    def finish(self, content: bytes, **facts: Any) -> None:
        """Return a model."""
        result = self._result(facts)  # stops the clock before writing
        (self.folder / MODEL).write_bytes(content)
        (self.folder / RESULT).write_text(json.dumps(result), encoding="utf-8")

    def give_up(self, reason: str, **facts: Any) -> None:
        """Return no model, and say why."""
        result = self._result({**facts, "problem": reason})
        (self.folder / RESULT).write_text(json.dumps(result), encoding="utf-8")

    def _result(self, facts: dict[str, Any]) -> dict[str, Any]:
        assert self._began is not None
        wall, cpu = self._began
        spent = {"wall_s": time.monotonic() - wall, "cpu_s": _cpu() - cpu}
        return {**spent, "evaluations": self.evaluations, **facts}


def write_job(folder: Path, images: Path, reading: Reading, **facts: Any) -> None:
    """Write what `Job` reads; `Job` describes the facts."""
    folder.mkdir(parents=True)
    values = {**facts, "images": str(images), "reading": asdict(reading)}
    (folder / FACTS).write_text(json.dumps(values), encoding="utf-8")


def main(compete: Callable[[Job], None]) -> None:
    """Run a competitor on the folder named on the command line."""
    compete(Job(Path(sys.argv[1])))


def _cpu() -> float:
    """CPU seconds of this process with all its threads, and of the processes that it waited for."""
    return sum(os.times()[:4])
