"""The variants of a model: makes and runs them, each once.

Data flows one way: spec -> golden FP32 -> quantize -> evaluate -> gate. This module makes the
artefacts (variants and their outputs), and `judge.py` judges them. The only way back is
`ladder.py`, where a failed gate asks for another variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..context import Context
from ..context.cache import digest_of
from ..data.facts_store import remembering
from ..data.images import ImageSet
from ..data.sampling import spread
from ..measure.clocks import clock_that_sees
from ..measure.latency import Latency, measure
from ..measure.memory import Footprint, measure_footprint
from ..plain import from_plain, plain
from ..quantize import nothing_to_rewrite
from ..quantize.built import ModelFile
from ..quantize.quantizer import PROBES
from ..quantize.search import Block
from ..runtimes import library
from ..runtimes.opening import Opening
from ..spec.limits import Limits
from ..spec.model import KycModel
from ..spec.prequantized import Asked, Prequantized
from ..spec.recipe import FP32, Recipe, on
from ..spec.runtime import Runtime
from ..spec.task import StrPath
from ..tasks.base import Resolve, Task, TaskData
from ..tasks.comparison import Comparison
from ..tasks.outputs import Outputs
from ..tasks.registry import task_of
from .file_ports import FilePorts, differs, ports_of
from .near_duplicates import warn_of_near_duplicates
from .people import People
from .same_inputs import Inputs
from .seen_images import RunImages
from .source import SourceFile
from .variant import Variant
from .workspace import Workspace


class Variants:
    """One FP32 model with its data: makes its variants and runs them, each once.

    Args:
        context: the context of this run.
        model: the model, as the gate file describes it.
        task: the task of the model, which knows the data.
        resolve: a function from a path in the gate file, and the attribute that names it, to an
            existing path.
        calibrated: the most calibration images to use, evenly spread; None for all.
    """

    def __init__(
        self,
        context: Context,
        model: KycModel,
        task: Task[Any, Comparison],
        resolve: Resolve,
        calibrated: int | None = None,
    ) -> None:
        self.context = context
        self.model = model
        self.task = task
        task.prepare = remembering(context.store.load)
        self.resolve = resolve
        self._calibrated = calibrated
        self._inputs = Inputs(task, context.store)
        images = RunImages(lambda: self._calibration, lambda: self.probes, self._inputs.differing)
        self.sources = tuple(
            SourceFile(context, task, index, images) for index in range(len(model.paths))
        )

    @classmethod
    def of_gate(
        cls,
        workspace: Workspace,
        model: KycModel,
        gate_file: Path,
        limits: Limits,
        calibrated: int | None = None,
    ) -> Self:
        """The variants of a model that a gate file describes.

        Args:
            workspace: the workspace of this process.
            model: the model, as the gate file describes it.
            gate_file: the gate file; relative paths are also looked up in its folder.
            limits: the limits of the gates.
            calibrated: the most calibration images to use; None for all.
        """

        def resolve(path: StrPath, attribute: str) -> Path:
            return workspace.resolve(path, attribute, gate_file)

        task = task_of(model, limits, resolve)
        return cls(workspace.context, model, task, resolve, calibrated)

    def require_files(self) -> None:
        """Look for the files of the model, before anything else of a gate is complained about.

        Raises:
            DataError: one does not exist.
        """
        for path in self.model.paths:
            self.resolve(path, "KycModel.path")

    @cached_property
    def data(self) -> TaskData[Any]:
        """Images and labels."""
        with self.context.stage(f"{self.model.name}: reading images"):
            data = self.task.load()
            self._inputs.check(data)
            people = self.task.people(data.evaluation.truth)
            return warn_of_near_duplicates(data, people, self.context.store)

    @cached_property
    def _calibration(self) -> ImageSet | None:
        images = self.data.calibration
        if images is None or self._calibrated is None or len(images) <= self._calibrated:
            return images
        return images.subset(spread(len(images), self._calibrated))

    @cached_property
    def people(self) -> People:
        """Who chooses the threshold, is judged, is searched on, and confirms."""
        return People(
            self.task,
            lambda: self.data,
            lambda images, role: self.outputs(self.fp32, images, role),
        )

    @cached_property
    def probes(self) -> ImageSet:
        """A few images, which no verdict uses if there are any others."""
        if self.data.calibration is not None:
            images = self.data.calibration
        elif self.data.selection is not None:
            images = self.data.selection.images
        else:
            images = self.data.evaluation.images
        count = min(PROBES, len(images.names))
        return images.subset(np.linspace(0, len(images.names) - 1, count).astype(np.int64))

    @cached_property
    def fp32(self) -> Variant:
        """The FP32 model as a variant of itself."""
        return Variant(FP32, tuple(source.fp32 for source in self.sources))

    def variant(self, recipe: Asked) -> Variant:
        """The variant that a recipe makes, built once and kept in the cache, or one made elsewhere.

        Raises:
            QuantizationError: the recipe cannot be applied to this model.
            SpecError: static quantization without calibration images.
        """
        variant = Variant(recipe, tuple(source.make(recipe) for source in self.sources))
        if isinstance(recipe, Prequantized):
            return variant
        if recipe.precision == "fp32-optimized" and not variant.quantized:
            where = f"{self.model.name} as {recipe.name}"
            tried = dict.fromkeys(s.rewrites(recipe).describe() for s in self.sources)
            raise nothing_to_rewrite(where, "; ".join(filter(None, tried)))
        return variant

    def rewrites_pay(self, runtime: Runtime) -> bool:
        """Whether some exact rewrite makes FP32 faster on a runtime on this machine."""
        optimized = on("fp32-optimized", runtime)
        return any(source.rewrites(optimized).names for source in self.sources)

    def outputs(
        self, variant: Variant, images: ImageSet, role: str, *, exact: bool | None = None
    ) -> Outputs:
        """Outputs of a variant, computed once for the same file and the same images.

        Args:
            variant: the variant to run.
            images: the images to run it on.
            role: the role of the images, for the progress line.
            exact: whether to run without saturation; None leaves it to the settings.
        """
        title = f"{variant.recipe.name} on {role}"
        pairs = zip(self.sources, variant.files, strict=True)
        given = [source.outputs(file, images, title, exact=exact) for source, file in pairs]
        return self.task.fuse(given)

    def prepared_by(
        self, tasks: Sequence[Task[Any, Any]], images: ImageSet
    ) -> list[Outputs | None]:
        """Outputs of FP32 for images that other tasks prepare; None where it cannot run on them.

        Args:
            tasks: copies of this model's task, see `Task.prepared_by`.
            images: the images.
        """
        each: list[list[Outputs | None]] = []
        for index, source in enumerate(self.sources):
            specs = [task.model.preprocesses[index] for task in tasks]
            # Many tasks prepare the images of all files but one alike.
            different = dict(zip(specs, tasks, strict=True))
            outputs = source.prepared_by(tuple(different.values()), images)
            known_by = dict(zip(different, outputs, strict=True))
            each.append([known_by[spec] for spec in specs])
        found: list[Outputs | None] = []
        for task, given in zip(tasks, zip(*each, strict=True), strict=True):
            known = [one for one in given if one is not None]
            found.append(task.fuse(known) if len(known) == len(given) else None)
        return found

    def alone(self, recipe: Recipe, block: Block) -> Outputs | None:
        """Outputs on the probes with only one block quantized; None if that is impossible."""
        given = []
        for source in self.sources:
            if block.names[0].startswith(source.prefix):
                changed = source.alone(recipe, block.names)
                if changed is None:
                    return None
                given.append(changed)
            else:
                given.append(source.outputs(source.fp32, self.probes, "fp32 on probe"))
        return self.task.fuse(given)

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of operators that a search may keep in FP32, in topological order."""
        return tuple(block for source in self.sources for block in source.blocks(recipe))

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators behind the last weights that a recipe would quantize."""
        return tuple(name for source in self.sources for name in source.postprocessing(recipe))

    def runner(self, variant: Variant) -> Callable[[], object]:
        """A function that runs all files of a variant once, for a measurement of latency."""
        pairs = zip(self.sources, variant.files, strict=True)
        runs = [source.runner(file) for source, file in pairs]
        return runs[0] if len(runs) == 1 else lambda: [run() for run in runs]

    def measure_latency(self, variant: Variant, limits: Limits) -> Latency:
        """Latency in turns with FP32, measured once in a run, with no other work on the machine.

        Args:
            variant: the variant to measure.
            limits: the limits of the gates; rounds go on until these limits are decided.
        """
        limit, percentile = limits["latency_ratio"], limits.latency_ms is not None
        exact = self.context.exact

        def make() -> Any:
            # FP32 again comes last, because the session that is opened last tends to be fastest.
            fp32, run, again = (self.runner(v) for v in (self.fp32, variant, self.fp32))
            task = f"{self.model.name}: measuring latency of {variant.recipe.name}"
            with self.context.stage(task, exclusive=True):
                timed = clock_that_sees(run, library(variant.runtime).clock)
                return plain(measure(fp32, again, run, limit, percentile=percentile, timed=timed))

        key: list[Any] = [self.fp32.sha256, variant.sha256, library(variant.runtime).describe()]
        key += [self.input_facts(), limit.value, percentile, exact]
        return self.context.store.once(
            f"latency-{digest_of(key)[:32]}",
            make,
            lambda found: from_plain(Latency, found, strict=True),
        )

    def footprint(self, variant: Variant) -> Footprint:
        """Load time and memory of all files of a variant together, measured once.

        Raises:
            MeasurementError: the process that opens the files fails.
        """

        def make(folder: Path) -> None:
            probes = tuple(source.probe for source in self.sources)
            digests = tuple(file.sha256 for file in variant.files)
            interfaces = tuple(file.interface for file in variant.files)
            job = Opening(variant.paths, probes, variant.runtime, digests, interfaces)
            where = f"{self.model.name} as {variant.recipe.name}"
            with self.context.stage(f"{where}: measuring its memory", exclusive=True):
                found = measure_footprint(job, where)
            (folder / "footprint.json").write_text(json.dumps(plain(found)), encoding="utf-8")

        def read(folder: Path) -> Footprint:
            values = json.loads((folder / "footprint.json").read_bytes())
            return from_plain(Footprint, values, strict=True)

        key = [variant.sha256, library(variant.runtime).describe(), self.input_facts()]
        return self.context.store.load("footprint", key, make, read)

    def ports(self, variant: Variant) -> dict[str, FilePorts]:
        """Inputs and outputs of files where these are not FP32's, by the names of FP32's files."""

        def of(file: ModelFile, source: SourceFile) -> FilePorts:
            types = source.loaded.types

            def make(folder: Path) -> None:
                known = json.dumps(plain(ports_of(file, types)))
                (folder / "ports.json").write_text(known, encoding="utf-8")

            def read(folder: Path) -> FilePorts:
                known = json.loads((folder / "ports.json").read_bytes())
                return from_plain(FilePorts, known, strict=True)

            key = [file.sha256, library(file.runtime).describe(), plain(file.interface), types]
            return self.context.store.load("ports", key, make, read)

        files = zip(self.sources, variant.files, strict=True)
        return {source.stem: of(file, source) for source, file in files if differs(file)}

    def better_feeding(self, variant: Variant, asked: Prequantized) -> str:
        """What to change in the preprocessing of a given file; see the function of that name."""
        from .better_feeding import better_feeding

        pairs = zip(self.sources, variant.files, strict=True)
        found = [better_feeding(source, asked, file) for source, file in pairs]
        return found[0] if len(set(found)) == 1 else ""

    def learned(self) -> dict[str, Any]:
        """What FP32's outputs tell about how all outputs are read, for `Task.adopt`."""
        return {name: value for source in self.sources for name, value in source.learned.items()}

    def model_facts(self) -> dict[str, Any]:
        """Plain values that identify the FP32 model."""
        facts = {
            "name": self.model.name,
            "sha256": self.fp32.sha256,
            "size": self.fp32.size,
            "opset": max(source.loaded.opset for source in self.sources),
        }
        if len(self.sources) > 1:
            facts["files"] = {s.stem: s.fp32.sha256 for s in self.sources}
        return facts

    def input_facts(self) -> dict[str, Any]:
        """Plain values that determine the model's input and how its outputs are read."""
        each = [source.input_facts() for source in self.sources]
        self.learned()
        read = [list(source.outputs_read) for source in self.sources]
        if len(each) == 1:
            return {"preprocess": each[0], "outputs": read[0]}
        return {"preprocess": each, "outputs": read}
