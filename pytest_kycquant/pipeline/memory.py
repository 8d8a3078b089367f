"""Running a pipeline as a job for another process: what it answers there, and its peak memory."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..data.images import ImageSet
from ..measure.memory import Report, run_afresh
from ..runtimes import library
from .models import Pipeline
from .stages import Stages
from .watch import VIEWS, look


@dataclass(frozen=True)
class Job:
    """What the other process runs: a job of `measure.memory`.

    Args:
        pipeline: the pipeline to open.
        file: the gate file that defines the class.
        module: name of the module of that file.
        name: qualified name of the class in that module.
        images: the images of each method, as many of each.
        methods: names of the methods that process them.
    """

    pipeline: Pipeline
    file: str
    module: str
    name: str
    images: tuple[ImageSet, ...]
    methods: tuple[str, ...]

    def run(self) -> Report:
        """Run the pipeline in a new process; what it tells is read by `Seen.of`, by method.

        Raises:
            MeasurementError: the process fails.
        """
        where = f"the {self.pipeline.label} pipeline in a new process"
        return run_afresh(self, where, f"make sure that {self.file} can be imported without pytest")

    def __call__(self) -> Callable[[], Callable[[], object]]:
        """Import what is needed; return a function that opens the models and returns the run."""
        for stage in self.pipeline.stages.values():
            library(stage.runtime).load()  # importing the gate file does not load it
        target: Any = _module(self)
        for part in self.name.split("."):
            target = getattr(target, part)
        gates = target()
        views = {
            name: VIEWS[name](images, getattr(gates, name))
            for name, images in zip(self.methods, self.images, strict=True)
        }

        def open_all() -> Callable[[], object]:
            stages = Stages(self.pipeline)

            def run_all() -> list[object]:
                return [seen.told() for seen in look(stages, self.pipeline, views).values()]

            return run_all

        return open_all


def _module(job: Job) -> ModuleType:
    """Import the gate file by its name or, where only pytest knows that name, by its path."""
    try:
        module = importlib.import_module(job.module)
        if Path(inspect.getfile(module)).samefile(job.file):
            return module
    except ImportError as error:
        if error.name is None or not job.module.startswith(error.name):
            raise  # the gate file exists, but something that it imports does not
    spec = importlib.util.spec_from_file_location("kycquant_gate_file", job.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{job.file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["kycquant_gate_file"] = module
    spec.loader.exec_module(module)
    return module
