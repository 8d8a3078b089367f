"""Virtual environments for the peers, made on demand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STAMP = "requirements.txt"


@dataclass(frozen=True)
class Method:
    """One competitor.

    Args:
        name: name in the table, from which the module derives its mode.
        module: name of the module that runs it.
        environment: name of its environment; "" for the environment of this benchmark.
    """

    name: str
    module: str
    environment: str = ""


METHODS = (
    Method("ours, INT8", "ours"),
    Method("ours, 8-bit weights", "ours"),
    Method("ours, mixed", "ours"),
    Method("ours, mixed, bound", "ours"),
    Method("onnxruntime, per tensor", "with_onnxruntime"),
    Method("onnxruntime, per channel", "with_onnxruntime"),
    Method("NNCF", "with_nncf", "nncf"),
    Method("NNCF, accuracy control", "with_nncf", "nncf"),
    Method("Neural Compressor", "with_neural_compressor", "neural-compressor"),
    Method("Neural Compressor, level 1", "with_neural_compressor", "neural-compressor"),
)

REQUIREMENTS = {
    "nncf": ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6"),
    # The last version that tunes ONNX models by accuracy. It does not run with newer versions of
    # these packages, and imports the last two without declaring them.
    "neural-compressor": (
        "neural-compressor==2.6",
        "onnx==1.16.2",
        "onnxruntime==1.19.2",
        "onnxruntime-extensions==0.13.0",
        "numpy==1.26.4",
        "setuptools==79.0.1",
        "six==1.17.0",
    ),
}


class UnavailableError(Exception):
    """Raised if an environment cannot be made; the message says why."""


def python_of(name: str, folder: Path) -> str:
    """The interpreter of an environment, which is made if it is missing or outdated.

    Raises:
        UnavailableError: the environment cannot be installed.
    """
    if not name:
        return sys.executable
    place, wanted = folder.resolve() / name, "\n".join(REQUIREMENTS[name]) + "\n"
    python, stamp = place / "bin" / "python", place / STAMP
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        place.parent.mkdir(parents=True, exist_ok=True)
        _call(sys.executable, "-m", "venv", "--clear", str(place))
        _call(str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name])
        stamp.write_text(wanted, encoding="utf-8")  # last, so that an interrupted one is made again
    return str(python)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.splitlines() or ["no reason given"])[-1]
        raise UnavailableError(f"cannot be installed: {reason[:200]}")
