"""The session's object: what has been built and measured, once, for all tests of a run.

Data flows one way: spec -> golden FP32 -> quantize -> evaluate -> gate. This module makes the
artefacts (variants, ranges, outputs), `evaluation.py` judges them, and the way back (a failed
gate asks for another variant) is `fallback.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .cache import Cache
from .data.images import ImageSet
from .errors import DataError, SpecError
from .limits import Limits
from .progress import Progress
from .quantize import (
    LoadedModel,
    PreparedModel,
    Ranges,
    build,
    calibration_of,
    check_input,
    collect_ranges,
    load_model,
    prepare,
)
from .recipe import FP32, Recipe
from .runtime import Environment, environment, open_session
from .settings import Settings
from .spec import KycModel, Preprocess
from .task_spec import StrPath
from .tasks import task_of
from .tasks.base import Task, TaskData
from .tasks.outputs import Outputs, run_model

PROBES = 8  # images that verify a prepared graph and rank operators: more rank no better


@dataclass(frozen=True)
class Variant:
    """A model file derived from FP32, in the cache; or FP32 itself.

    Args:
        path: the ONNX file.
        recipe: how it was made.
        sha256: digest of the file.
        size: in bytes.
        resolved: every option as finally used, with reasons.
        quantized: number of operators changed, by type.
        notes: caveats worth reading.
    """

    path: Path
    recipe: Recipe
    sha256: str
    size: int
    resolved: dict[str, Any]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()


class Workbench:
    """What all models of one process share.

    Args:
        settings: of this run.
        root: pytest's rootdir, against which relative paths are looked up first.
        run_id: the same in all workers of a run; latency is measured once for each.
        progress: where to say what is going on.
    """

    def __init__(self, settings: Settings, root: Path, run_id: str, progress: Progress) -> None:
        self.settings = settings
        self.root = root
        self.run_id = run_id
        self.progress = progress
        self.environment: Environment = environment()
        self.cache = Cache(settings.cache, self.environment.as_dict(), on_wait=progress.say)

    def run_file(self, name: str) -> Path:
        """A file that lives for this run only; files of runs of other days are swept away."""
        runs = self.settings.cache / "runs"
        folder = runs / self.run_id
        if not folder.exists():
            yesterday = time.time() - 86_400
            for old in runs.iterdir() if runs.exists() else ():
                # Another worker may sweep at the same time.
                with contextlib.suppress(OSError):
                    if old.stat().st_mtime < yesterday:
                        shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return folder / name


class ModelBench:
    """One FP32 model with its data: makes its variants and runs them, each once.

    Args:
        workbench: of this process.
        model: what the gate file says.
        gate_file: where it says so; relative paths are looked up beside it, too.
        limits: of the gates.
    """

    def __init__(
        self, workbench: Workbench, model: KycModel, gate_file: Path, limits: Limits
    ) -> None:
        self.workbench = workbench
        self.model = model
        self.gate_file = gate_file
        self.limits = limits
        self.task: Task[Any, Any] = task_of(model, limits, self._resolve)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The FP32 file, checked against the preprocessing."""
        loaded = load_model(self._resolve(self.model.path, "KycModel.path"))
        check_input(loaded, self.model.preprocess.shape)
        return loaded

    @cached_property
    def outputs_read(self) -> tuple[str, ...]:
        """Names of the outputs that the task reads."""
        return self.task.choose_outputs(self.loaded.output_names, self.loaded.path)

    @cached_property
    def data(self) -> TaskData[Any]:
        """Images and labels."""
        with self._stage("reading images"):
            return self.task.load()

    @cached_property
    def fp32(self) -> Variant:
        """The FP32 model as a variant of itself."""
        loaded = self.loaded
        notes: tuple[str, ...] = ()
        if loaded.subnormal_weights:
            notes = (
                f"{loaded.subnormal_weights:,} weights of FP32 are subnormal, which makes it "
                "several times slower on some CPUs: part of a speed-up may come from that alone",
            )
        return Variant(loaded.path, FP32, loaded.digest, loaded.size, {}, {}, notes)

    @cached_property
    def prepared(self) -> PreparedModel:
        """The FP32 graph as the quantizers need it, verified on real inputs."""
        inputs = [tensor for _, tensor in self.task.tensors(self.probes)]
        return prepare(self.loaded, inputs)

    @cached_property
    def probes(self) -> ImageSet:
        """A few images, none of them used for a verdict if there are any others."""
        if self.data.calibration is not None:
            images = self.data.calibration
        elif self.data.selection is not None:
            images = self.data.selection.images
        else:
            images = self.data.evaluation.images
        count = min(PROBES, len(images.names))
        return images.subset(np.linspace(0, len(images.names) - 1, count).astype(np.int64))

    def variant(self, recipe: Recipe) -> Variant:
        """The model that a recipe makes, built once and kept in the cache.

        Raises:
            QuantizationError: the recipe cannot be applied to this model.
            SpecError: static quantization without calibration images.
        """
        if recipe.precision == "fp32":
            return self.fp32
        options = {k: v for k, v in asdict(recipe).items() if k != "name"}
        key = [self.loaded.digest, options, self._range_key(recipe)]

        def make(folder: Path) -> None:
            with self._stage(f"quantizing {recipe.name}"):
                made = build(
                    self.prepared,
                    recipe,
                    ranges=self.ranges(recipe),
                    saturates=self.workbench.environment.u8s8_saturates,
                )
            (folder / "model.onnx").write_bytes(made.content)
            facts = {
                "resolved": made.resolved,
                "quantized": made.quantized,
                "notes": list(made.notes),
            }
            (folder / "variant.json").write_text(json.dumps(facts), encoding="utf-8")

        folder = self.workbench.cache.entry("variant", key, make)
        path = folder / "model.onnx"
        facts = json.loads((folder / "variant.json").read_text(encoding="utf-8"))
        digest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))[path.name]
        return Variant(
            path,
            recipe,
            digest,
            path.stat().st_size,
            facts["resolved"],
            facts["quantized"],
            tuple(facts["notes"]),
        )

    def ranges(self, recipe: Recipe) -> Ranges | None:
        """Activation ranges that a recipe needs, collected once; None if it needs none."""
        needed = calibration_of(recipe)
        if needed is None:
            return None
        method, percentile = needed
        images = self._calibration(recipe)

        def make(folder: Path) -> None:
            inputs = self.task.tensors(images)
            with self._stage(f"calibrating ({method})", len(images.names)) as advance:

                def counted() -> Any:
                    for named in inputs:
                        advance()
                        yield named

                found = collect_ranges(self.prepared, counted(), method, percentile)
            found.to_npz(folder / "ranges.npz")

        folder = self.workbench.cache.entry("ranges", self._range_key(recipe), make)
        return Ranges.from_npz(folder / "ranges.npz")

    def outputs(self, variant: Variant, images: ImageSet, role: str) -> Outputs:
        """Outputs of a variant, computed once for the same file and the same images."""
        key = [variant.sha256, images.digest, self.input_facts(), self.outputs_read]

        def make(folder: Path) -> None:
            title = f"running {variant.recipe.name} on {role} images"
            with self._stage(title, len(images.names)) as advance:
                session = open_session(variant.path)
                threads = self.workbench.settings.threads
                self._run(session, images, threads, advance).save(folder / "outputs.npz")

        folder = self.workbench.cache.entry("outputs", key, make)
        return Outputs.read(folder / "outputs.npz")

    def probe_outputs(self, content: bytes) -> Outputs:
        """Outputs of a model that is not worth a place in the cache, on the probes."""
        with self.workbench.cache.machine(exclusive=False):
            return self._run(open_session(content), self.probes, 1)

    def input_facts(self) -> dict[str, Any]:
        """Plain values that determine what the model is given and how its outputs are read."""
        return {**describe_preprocess(self.model.preprocess), **self.task.reading()}

    def _run(
        self, session: Any, images: ImageSet, threads: int, advance: Any = lambda: None
    ) -> Outputs:
        task = self.task
        tensors, edges = task.tensors(images), task.edge_inputs()
        read, wanted = task.read, self.outputs_read
        return run_model(session, tensors, edges, wanted, read, threads=threads, on_image=advance)

    def _range_key(self, recipe: Recipe) -> list[Any] | None:
        needed = calibration_of(recipe)
        if needed is None:
            return None
        calibration = self._calibration(recipe).digest
        return [self.loaded.digest, calibration, self.input_facts(), *needed]

    def _calibration(self, recipe: Recipe) -> ImageSet:
        """Images for the ranges of a recipe: FP16 needs extremes only, any images will do."""
        if self.data.calibration is not None:
            return self.data.calibration
        if recipe.precision == "fp16":
            return self.probes
        raise SpecError(
            f"precision {recipe.name!r} of {self.model.name}",
            "static quantization needs calibration images",
            "name a folder of 100 to 500 images in KycModel(calibration=...)",
        )

    def _stage(self, task: str, total: int = 0) -> Any:
        """Announce a piece of work and share the machine with other workers while it lasts."""
        return self.workbench.progress.stage(
            f"{self.model.name}: {task}", total, self.workbench.cache.machine(exclusive=False)
        )

    def _resolve(self, path: StrPath, attribute: str) -> Path:
        """Find a path of the gate file below the rootdir, then beside the gate file."""
        tried = [self.workbench.root / path, self.gate_file.parent / path]
        for candidate in tried:
            if candidate.exists():
                # Links stay: external data lies beside the link.
                return Path(os.path.abspath(candidate))  # noqa: PTH100
        raise DataError(
            attribute,
            f"{path} is neither at {tried[0]} nor at {tried[1]}",
            "give a path relative to pytest's rootdir or to the gate file, or an absolute one",
        )


def describe_preprocess(spec: Preprocess) -> dict[str, Any]:
    """Plain values of a preprocessing, for keys and goldens."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
