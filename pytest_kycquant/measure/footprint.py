"""What a model takes besides time per image: opening it, and its memory, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeasurementError
from ..pipeline.memory import forget_peak, peak_bytes
from ..runtimes.ort import open_session

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pytest_kycquant.measure import footprint; footprint.child(sys.argv[1])"
)


@dataclass(frozen=True)
class Footprint:
    """What a process pays for a model beyond Python, onnxruntime and numpy.

    Args:
        load_ms: wall-clock time of opening all its sessions, in ms, the files being in the page
            cache.
        memory_mb: growth of resident memory at its peak, of opening it and running it once, in MB
            (10^6 bytes); None where the system does not tell.
    """

    load_ms: float
    memory_mb: float | None

    def as_dict(self) -> dict[str, float]:
        """Plain values for JSON; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measure_footprint(
    paths: Sequence[Path], inputs: Sequence[NDArray[np.float32]], where: str
) -> Footprint:
    """Open ONNX files in a new process, and run each once.

    Args:
        paths: the files of a model, all of which are held at once.
        inputs: one for each file, shape (1, ...).
        where: which variant that is, for messages.

    Raises:
        MeasurementError: the process fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "paths.json").write_text(json.dumps([str(p) for p in paths]), encoding="utf-8")
        np.savez(folder / "inputs.npz", *inputs)
        command = [sys.executable, "-c", _START, name, json.dumps(sys.path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        answer = folder / "answer.json"
        if result.returncode or not answer.exists():
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise MeasurementError(
                f"memory of {where}",
                f"its process ended with {result.returncode} ({last[:300]})",
                "see whether the machine has memory to open it a second time",
            )
        return Footprint(**json.loads(answer.read_text(encoding="utf-8")))


def child(name: str) -> None:
    """What the other process does: open and run the files, then write down what that took."""
    import onnxruntime  # noqa: F401  # importing it is no cost of the model

    folder = Path(name)
    paths = json.loads((folder / "paths.json").read_text(encoding="utf-8"))
    with np.load(folder / "inputs.npz") as file:
        inputs = [file[key] for key in file.files]
    for path in paths:
        Path(path).read_bytes()  # whoever is first would pay for the disk
    before = forget_peak()
    began = time.perf_counter()
    sessions: list[Any] = [open_session(Path(path)) for path in paths]
    load = 1e3 * (time.perf_counter() - began)
    for session, tensor in zip(sessions, inputs, strict=True):
        session.run(None, {session.get_inputs()[0].name: tensor})
    after = peak_bytes()
    memory = None if before is None or after is None else max(0.0, (after - before) / 1e6)
    found = json.dumps(asdict(Footprint(load, memory)))
    (folder / "answer.json").write_text(found, encoding="utf-8")
