"""One FP32 file of a model in a run: makes and runs its variants, each once.

Most models have one file. A system of several, such as two MiniFASNets whose scores are averaged,
has a source file for each, and `variants.py` combines their outputs. The quantizer makes the
variants; this module adds what gates need: the cache, names, outputs and a runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..context import Context
from ..data.files import listed
from ..data.images import ImageSet
from ..errors import DataError, ModelError, QuantizationError, SpecError
from ..plain import plain
from ..quantize import LoadedModel, ModelFile, Quantizer
from ..quantize.model_inputs import check_types
from ..quantize.randomness_check import foreign_operators
from ..quantize.rewrite_choice import RewriteChoice
from ..quantize.search import Block
from ..runtimes import OpenModel, library
from ..runtimes.feeding import Feeding, Sample
from ..spec import coerce
from ..spec.prequantized import Asked, Prequantized
from ..spec.recipe import Recipe, on
from ..tasks.base import Task
from ..tasks.outputs import Outputs, run_model
from .candidates import Candidates, OnnxCandidates
from .conversion import Conversion
from .first_look import look
from .given_files import given_file
from .input_facts import (
    constant_notes,
    describe_constants,
    describe_preparation,
    fp32_notes,
)
from .litert_files import LiteRtFiles
from .seen_images import RunImages, SeenImages
from .variant_files import Made, in_format, keep

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLED = 8  # images whose outputs are computed again if they were found in the cache


class SourceFile:
    """One FP32 file with the images that it sees, and its variants.

    Args:
        context: the context of the run: its store and its settings.
        task: the task that reads the outputs; its model names the file.
        index: place of the file among the files of the model.
        images: the images of the run.
    """

    def __init__(
        self, context: Context, task: Task[Any, Any], index: int, images: RunImages
    ) -> None:
        model = task.model
        alone = len(model.paths) == 1
        self.context = context
        self._images = images
        self.index = index
        self.task = task
        self.stem = model.stems[index]
        # Two files may use the same names for their operators.
        self.prefix = "" if alone else f"{self.stem}:"
        self._title = model.name if alone else f"{model.name}, {self.stem}"

    @cached_property
    def quantizer(self) -> Quantizer:
        """The quantizer that makes the variants of this file."""
        path = self.task.resolve(self.task.model.paths[self.index], "KycModel.path")
        return Quantizer(
            path,
            self._calibration,
            probes=lambda: SeenImages(self.task, self.index, self._images.probes()),
            shape=self.task.shape(self.index),
            constants=self.task.model.constants,
            context=self.context,
            title=self._title,
            facts=self.input_facts(),
        )

    @cached_property
    def loaded(self) -> LoadedModel:
        """The FP32 file, checked against the preprocessing.

        Raises:
            ModelError: the file cannot be gated, or its inputs are others.
            DataError: the float file for LiteRT does not exist, whether it is used or not.
        """
        self._float_tflite  # noqa: B018
        loaded = self.quantizer.loaded
        for spec in self.task.model.preprocesses[self.index : self.index + 1]:
            check_types(loaded.path, loaded.inputs, spec)
        return loaded

    @property
    def feeding(self) -> Feeding:
        """How images are fed to all variants of it."""
        return self.loaded.feeding

    @cached_property
    def litert(self) -> LiteRtFiles:
        """Makes variants of it for LiteRT."""
        return LiteRtFiles(
            self.context, self._title, self.quantizer, self.fp32, self.feeding,
            self._calibration, SeenImages(self.task, self.index, self._images.probes()),
            self._float_tflite, self.input_facts(),
        )  # fmt: skip

    @cached_property
    def _float_tflite(self) -> Path | None:
        """The float file for LiteRT, if the user gives one."""
        path = self.task.model.litert_paths[self.index]
        return None if path is None else self.task.resolve(path, "KycModel.litert")

    @cached_property
    def outputs_read(self) -> tuple[str, ...]:
        """Names of the outputs that the task reads."""
        return self.task.choose_outputs(self.loaded.output_names, self.loaded.path, self.index)

    @cached_property
    def learned(self) -> dict[str, Any]:
        """What the outputs of FP32 tell about how all outputs are read; the task adopts it."""
        found: dict[str, Any] = {}
        if self.task.looks:
            probes = self._images.probes()
            found = look(
                self.context, self.task, lambda: self.fp32.open(exact=self.context.exact),
                self.outputs_read, self.task.tensors(probes, self.index), self.feeding,
                facts=[self.loaded.digest, self.input_facts(), self.outputs_read, probes.digest],
                where=self._title,
            )  # fmt: skip
        self.task.adopt(found)
        return found

    @cached_property
    def fp32(self) -> ModelFile:
        """The FP32 file as a variant of itself."""
        loaded = self.loaded
        notes = fp32_notes(loaded)
        if self.task.model.sources:
            notes.append(self._conversion.verify_source(self.task.model.sources[self.index]))
        return ModelFile(loaded.path, loaded.digest, loaded.size, {}, {}, tuple(notes))

    @property
    def _conversion(self) -> Conversion:
        """Compares FP32 with what it was exported from, and with itself on other runtimes."""
        return Conversion(
            self.context, self.loaded, self._title, self.task.resolve,
            lambda: self.task.tensors(self._images.probes(), self.index),
            lambda: [self.loaded.digest, self._images.probes().digest, self.input_facts()],
        )  # fmt: skip

    def rewrites(self, recipe: Recipe) -> RewriteChoice:
        """The rewrites of the FP32 graph that a recipe starts from."""
        return self.quantizer.choice(self._of_this_file(recipe))

    def make(self, recipe: Asked) -> ModelFile:
        """The file that a recipe makes, built once and kept in the cache, or that was given.

        Raises:
            QuantizationError: the recipe cannot be applied to this file.
            SpecError: static quantization without calibration images.
        """
        if isinstance(recipe, Prequantized):
            return given_file(self, recipe)
        self._conversion.verify_runtime(recipe.runs_on)
        if recipe.format is not None:
            return in_format(self.context, self.make(recipe.as_onnx), recipe, self._title)
        mine, quantizer = self._of_this_file(recipe), self.quantizer
        if recipe.has_own_ladder:
            whole = self.prefix and mine.precision == "mixed" and not self.litert.operators(mine)
            return self.litert.make(on("fp32", recipe.runs_on) if whole else mine)
        if recipe.is_itself:
            # The options tell it from the baseline, whose file it is.
            facts = {"precision": recipe.precision, "reason": "the FP32 file, computed otherwise"}
            return replace(self.fp32, runtime=recipe.runs_on, resolved=facts)
        if self.prefix and mine.is_static and mine.keep_fp32 and not quantizer.operators(mine):
            # The recipe keeps this file as a whole and quantizes others.
            return replace(self.fp32, runtime=recipe.runs_on)
        if quantizer.lacks_images(mine):
            raise SpecError(
                f"precision {recipe.name!r} of {self.task.model.name}",
                "static quantization needs calibration images",
                "name a folder of 100 to 500 images in KycModel(calibration=...)",
            )
        # Choose before the entry: building shares the machine, but measuring needs it exclusively.
        choice = quantizer.choice(mine)
        if recipe.precision == "fp32-optimized" and not choice.names:
            return replace(self.fp32, runtime=recipe.runs_on)
        options = {k: v for k, v in asdict(mine).items() if k != "name"}
        images = quantizer.images_digest(mine)
        seen = None if images is None else [images, self.input_facts()]
        key = [self.loaded.digest, options, seen, plain(choice), self.context.exact]
        if constants := self.feeding.facts():
            key.append(constants)  # which are part of the variant

        def build() -> Made:
            with self._stage(f"quantizing {recipe.name}"):
                made = quantizer.build(mine)
            resolved = made.resolved | {"rewrites": choice.describe()}
            notes = (*made.notes, *constant_notes(self.task.model))
            return Made(made.content, resolved, made.quantized, notes, made.exposure)

        return keep(self.context, key, build, recipe.runs_on)

    def outputs(
        self, file: ModelFile, images: ImageSet, title: str, *, exact: bool | None = None
    ) -> Outputs:
        """Outputs of a variant, computed once for the same file and the same images.

        Args:
            file: the variant.
            images: the images to run it on.
            title: text for the progress line.
            exact: whether to run without saturation; None leaves it to the settings.
        """
        seen = self.task.seen(images, self.index)
        exact = self.context.exact if exact is None else exact
        # Without integer operators nothing can saturate.
        saturation = exact and bool(file.exposure.operators)
        key = [file.sha256, seen.digest, self.input_facts(), self.outputs_read, saturation]
        # Outputs are kept in the order of the images, of which the digest does not depend.
        key += [list(images.names), self.learned]
        key.append([library(file.runtime).describe(), plain(file.interface)])

        def make(folder: Path) -> None:
            with self._stage(f"running {title} images", len(images.names)) as advance:
                model = file.open(exact=exact)
                threads = self.context.threads
                inputs = self.task.tensors(images, self.index)
                fp32 = file.sha256 == self.loaded.digest
                found = self._run(model, file.path, inputs, threads, advance, neighbours=fp32)
                found.save(folder / "outputs.npz")

        def read(folder: Path) -> Outputs:
            found = Outputs.read(folder / "outputs.npz")
            if len(found.finite) != len(images):
                raise ValueError(f"outputs of {len(found.finite)} images, not {len(images)}")
            return found

        def check(found: Outputs) -> str:
            # Chosen anew in each run: whoever wrote the cache cannot know which.
            number = min(SAMPLED, len(images))
            sample = np.sort(np.random.default_rng().choice(len(images), number, replace=False))
            chosen = images.subset(sample)
            with self._stage(f"checking {title} images"):
                inputs = list(self.task.tensors(chosen, self.index))
                for name in self._images.differing(chosen, self.index, inputs):
                    return f"belongs to another input from {name} than the cache remembers"
                model = file.open(exact=exact)
                again = self._run(model, file.path, inputs, 1)
            other = found.differing(again, sample)
            if not other:
                return ""
            return (
                f"holds outputs that {file.path.name} does not give: {other} of {number} images "
                "of a sample differ"
            )

        return self.context.store.load("outputs", key, make, read, check)

    def prepared_by(
        self, tasks: Sequence[Task[Any, Any]], images: ImageSet
    ) -> list[Outputs | None]:
        """Outputs of FP32 for images that other tasks prepare; None where it cannot run on them.

        Nothing is cached: this is a glance at a few images.
        """
        model = self.fp32.open(exact=self.context.exact)
        found: list[Outputs | None] = []
        title = f"{self._title}: trying {len(tasks)} other preprocessings on {len(images)} images"
        with self.context.progress.stage(title, len(tasks) * len(images)) as advance:
            for task in tasks:
                task.adopt(self.learned)
                inputs = task.tensors(images, self.index)
                try:
                    found.append(run_model(
                        model, inputs, (), self.outputs_read, task.read,
                        threads=self.context.threads, feeding=self.feeding, where=self._title,
                        repeats=False, on_image=advance,
                    ))  # fmt: skip
                except (ModelError, DataError):  # a function of the user's may fail on other pixels
                    found.append(None)
        return found

    def alone(self, recipe: Recipe, names: tuple[str, ...]) -> Outputs | None:
        """Outputs on the probes with only these operators quantized; None if that is impossible."""
        bare = [name.removeprefix(self.prefix) for name in names]
        with self.context.store.machine(exclusive=False):
            try:
                model = self._candidates(recipe).alone(self._of_this_file(recipe), bare)
            except QuantizationError:
                return None
            where = f"{self._title} as {recipe.name}, a part of it"
            inputs = self.task.tensors(self._images.probes(), self.index)
            return self._run(model, where, inputs, 1, repeats=False)

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of operators that a search may keep in FP32, in topological order."""
        return tuple(
            replace(block, names=self._prefixed(block.names))
            for block in self._candidates(recipe).blocks(self._of_this_file(recipe))
        )

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators behind the last weights that a recipe would quantize."""
        found = self._candidates(recipe).postprocessing(self._of_this_file(recipe))
        return self._prefixed(found)

    def origin(self, recipe: Recipe) -> Any:
        """Plain values that, with the FP32 file, determine what candidates are made from."""
        return self._candidates(recipe).origin(self._of_this_file(recipe))

    def _candidates(self, recipe: Recipe) -> Candidates:
        if recipe.has_own_ladder:
            return self.litert
        return OnnxCandidates(self.quantizer, self.context.exact)

    @property
    def probe(self) -> dict[str, NDArray[Any]]:
        """What one run of FP32 is fed with the first probes, by the names of its inputs."""
        feeding, named = self.feeding, self.task.tensors(self._images.probes(), self.index)
        inputs = [*feeding.types, *feeding.constants]
        return feeding.feed([sample for _, sample in next(feeding.runs(named))], inputs)

    def runner(self, file: ModelFile) -> Callable[[], object]:
        """A function that runs a variant on the first probe, for a measurement of latency."""
        model = file.open(exact=self.context.exact)
        feed = {name: array for name, array in self.probe.items() if name in model.inputs}
        return model.runner(feed)

    def input_facts(self) -> dict[str, Any]:
        """Plain values that determine the model's input and how its outputs are read."""
        facts = {**describe_preparation(self.task.model, self.index), **self.task.reading()}
        return facts | describe_constants(self.task.model)

    def _calibration(self) -> SeenImages | None:
        images = self._images.calibration()
        return None if images is None else SeenImages(self.task, self.index, images)

    def _prefixed(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.prefix + name for name in names)

    def _stage(self, task: str, total: int = 0) -> AbstractContextManager[Callable[[], None]]:
        """Announce a piece of work and share the machine with other workers while it lasts."""
        return self.context.stage(f"{self._title}: {task}", total)

    def _of_this_file(self, recipe: Recipe) -> Recipe:
        """The part of a recipe for several files that applies to this file.

        An operator to keep in FP32 may be named with its file; "first", a type, or a name alone
        applies to all files.
        """
        if not self.prefix:
            return recipe
        others = tuple(f"{stem}:" for stem in self.task.model.stems if stem != self.stem)
        names = (name for name in recipe.keep_fp32 if not name.startswith(others))
        mine = tuple(name.removeprefix(self.prefix) for name in names)
        if recipe.precision == "mixed" and not mine:
            stored = None if recipe.has_own_ladder else recipe.float_weights
            return replace(recipe, precision="int8", keep_fp32=(), float_weights=stored)
        return replace(recipe, keep_fp32=mine)

    def _run(
        self,
        model: OpenModel,
        where: object,
        inputs: Iterable[tuple[str, Sample]],
        threads: int,
        advance: Any = lambda: None,
        *,
        repeats: bool = True,
        neighbours: bool = False,
    ) -> Outputs:
        task, _ = self.task, self.learned
        edges, read, wanted = task.edge_inputs(self.index), task.read, self.outputs_read
        return run_model(
            model, inputs, edges, wanted, read, threads=threads, feeding=self.feeding,
            on_image=advance, where=where, suspects=self._suspects, repeats=repeats,
            neighbours=neighbours,
        )  # fmt: skip

    def _suspects(self) -> str:
        """Operators of the FP32 file that may give one image different outputs, for messages."""
        found = foreign_operators(self.loaded.proto)
        return f" (it contains {listed([coerce.shown(name) for name in found])})" if found else ""
