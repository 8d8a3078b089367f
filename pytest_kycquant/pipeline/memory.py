"""Peak resident memory of a pipeline, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import pickle
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..data.images import ImageSet
from ..errors import MeasurementError
from .stages import Photo, Pipeline, Stages

if TYPE_CHECKING:
    from ..plugin.pipeline_gates import PipelineGates

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from pytest_kycquant.pipeline import memory; memory.child(sys.argv[1])"
)


@dataclass(frozen=True)
class Peak:
    """Resident memory of a process, in MB (10^6 bytes).

    Args:
        peak_mb: the most that it ever held.
        imports_mb: the same before it opened a model: Python, its libraries and the images.
    """

    peak_mb: float
    imports_mb: float


@dataclass(frozen=True)
class Job:
    """What the other process is to run.

    Args:
        pipeline: its models.
        file: gate file that defines `process`.
        module: its name.
        name: qualified name of the class in it.
        images: to run, each once.
    """

    pipeline: Pipeline
    file: str
    module: str
    name: str
    images: ImageSet

    @classmethod
    def of(cls, gates: type[PipelineGates], pipeline: Pipeline, images: ImageSet) -> Job:
        """Describe a pipeline so that another process finds its class again."""
        return cls(pipeline, inspect.getfile(gates), gates.__module__, gates.__qualname__, images)


def measure_peak(job: Job) -> Peak:
    """Run a pipeline in a new process and ask it for its peak memory.

    Raises:
        MeasurementError: the process fails, or its system does not tell.
    """
    where = f"peak memory of the {job.pipeline.label} pipeline"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job").write_bytes(pickle.dumps(job))
        command = [sys.executable, "-c", _START, folder, json.dumps(sys.path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        answer = Path(folder) / "answer.json"
        if result.returncode or not answer.exists():
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise MeasurementError(
                where,
                f"its process ended with {result.returncode} ({last[:300]})",
                f"make sure that {job.file} can be imported without pytest",
            )
        values = json.loads(answer.read_text(encoding="utf-8"))
    if values is None:
        raise MeasurementError(where, "this system does not tell it", "run on Linux")
    return Peak(**values)


def child(folder: str) -> None:
    """What the other process does: run the pipeline, then write down its peak memory."""
    import onnxruntime  # noqa: F401  # the gate file alone does not import it

    job: Job = pickle.loads((Path(folder) / "job").read_bytes())
    target: Any = _module(job)
    for part in job.name.split("."):
        target = getattr(target, part)
    gates: PipelineGates = target()
    before = peak_bytes()
    stages = Stages(job.pipeline)
    for index in range(len(job.images)):
        stages.trace(gates.process, Photo(job.images, index))
    after = peak_bytes()
    peak = None if before is None or after is None else Peak(after / 1e6, before / 1e6)
    text = json.dumps(peak and asdict(peak))
    (Path(folder) / "answer.json").write_text(text, encoding="utf-8")


def peak_bytes() -> int | None:
    """Peak resident memory of this process; None where the system does not tell.

    Not `getrusage`: on Linux its figure survives exec, so that a new process starts with the peak
    of the one that started it.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kib is None else int(kib) * 1024


def forget_peak() -> int | None:
    """Start to look for a new peak of this process; returns what it holds now, if that is known.

    Where the system cannot start anew (Linux can), it returns the peak so far.
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak to what is held
    return peak_bytes()


def _module(job: Job) -> ModuleType:
    """Import the gate file by its name or, where pytest alone knows that name, by its path."""
    try:
        module = importlib.import_module(job.module)
        if Path(inspect.getfile(module)).samefile(job.file):
            return module
    except ImportError as error:
        if error.name is None or not job.module.startswith(error.name):
            raise  # the gate file is there, but something that it imports is not
    spec = importlib.util.spec_from_file_location("kycquant_gate_file", job.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{job.file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["kycquant_gate_file"] = module
    spec.loader.exec_module(module)
    return module
