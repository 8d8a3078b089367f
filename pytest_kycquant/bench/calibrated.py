"""An FP32 file with its calibration images: the graphs and figures that recipes start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.images import ImageSet
from ..errors import SpecError
from ..quantize import (
    Activations,
    ChannelStatistics,
    LoadedModel,
    PreparedModel,
    Ranges,
    Sensitivity,
    calibration_of,
    check_input,
    corrects_biases,
    equalize_channels,
    equalizes,
    load_model,
    measure_sensitivity,
    observe_activations,
    observe_equalized,
    prepare,
    sensitivity_images,
    shift_images,
    tune_ranges,
)
from ..spec.model import Preprocess
from ..spec.recipe import Recipe
from ..tasks.outputs import Tensor

if TYPE_CHECKING:
    from ..spec.recipe import CalibrationMethod
    from .variants import Variants


class CalibratedFile:
    """One FP32 file with the images that it sees; each graph and figure is made once.

    Args:
        bench: of the model that it belongs to.
        index: its place among the files of that model.
    """

    def __init__(self, bench: Variants, index: int) -> None:
        self._bench = bench
        self.index = index
        self.task = bench.task
        self.preprocess: Preprocess = bench.model.preprocesses[index]
        alone = len(bench.model.paths) == 1
        self.stem = bench.model.stems[index]
        # Two files may well name their operators alike.
        self.prefix = "" if alone else f"{self.stem}:"
        self._activations: dict[tuple[str, bool], Activations] = {}
        self._ranges: dict[tuple[object, ...], Ranges] = {}
        self._title = bench.model.name if alone else f"{bench.model.name}, {self.stem}"

    @cached_property
    def loaded(self) -> LoadedModel:
        """The FP32 file, checked against the preprocessing."""
        path = self._bench.model.paths[self.index]
        loaded = load_model(self._bench.resolve(path, "KycModel.path"))
        check_input(loaded, self.preprocess.shape)
        return loaded

    @cached_property
    def prepared(self) -> PreparedModel:
        """The FP32 graph as the quantizers need it, verified on real inputs."""
        return prepare(self.loaded, self.probe_tensors())

    def probe_tensors(self) -> list[Tensor]:
        """A few preprocessed images, to verify graphs with."""
        return [tensor for _, tensor in self.task.tensors(self._bench.probes, self.index)]

    @cached_property
    def equalized(self) -> tuple[PreparedModel, ChannelStatistics]:
        """The prepared graph with equalized channels, and its statistics."""
        found = self.activations(Recipe("int8", equalize=False))
        return equalize_channels(self.prepared, found.channels, self.probe_tensors())

    def start(self, recipe: Recipe) -> tuple[PreparedModel, ChannelStatistics | None]:
        """The graph that a recipe starts from, and what biases are corrected with, if they are."""
        if equalizes(recipe):
            return self.equalized
        if not self._uses_images(recipe) or not corrects_biases(recipe):
            return self.prepared, None
        return self.prepared, self.activations(recipe).channels

    def calibration_facts(self, recipe: Recipe) -> list[Any] | None:
        """Plain values of the calibration that a recipe depends on; None if it needs none."""
        if not self._uses_images(recipe):
            return None
        return [*self._activations_key(recipe), self.input_facts()]

    def _uses_images(self, recipe: Recipe) -> bool:
        """Whether a recipe is made with calibration images; weights only will do without."""
        if recipe.stores_weights:
            return corrects_biases(recipe) and self._bench.data.calibration is not None
        return calibration_of(recipe) is not None

    def ranges(self, recipe: Recipe) -> Ranges | None:
        """Activation ranges that a recipe needs, estimated once; None if it needs none."""
        needed = calibration_of(recipe)
        if needed is None:
            return None
        key = (*self._activations_key(recipe), *needed)
        if key not in self._ranges:
            self._ranges[key] = self._estimated(recipe, *needed)
        return self._ranges[key]

    def _estimated(
        self, recipe: Recipe, method: CalibrationMethod, percentile: float | None
    ) -> Ranges:
        activations = self.activations(recipe)
        if method != "mse":
            return activations.ranges(method, percentile)
        ranges = activations.ranges(method, sensitivity=self._sensitivity(recipe))
        source = self.equalized[0] if equalizes(recipe) else self.prepared
        with self.stage("trying ranges"):
            return tune_ranges(source, ranges, self._some_tensors(recipe))

    def activations(self, recipe: Recipe) -> Activations:
        """What is known of the activations of the graph that a recipe starts from.

        All recipes share one pass over the calibration images; those that equalize, a second one.
        """
        key = self._activations_key(recipe)
        if key not in self._activations:
            self._activations[key] = self._observed(recipe)
        return self._activations[key]

    def _observed(self, recipe: Recipe) -> Activations:
        context, images = self._bench.context, self._calibration(recipe)
        threads = context.threads
        before = self.activations(replace(recipe, equalize=False)) if equalizes(recipe) else None

        def make(folder: Path) -> None:
            if before is None:
                with self._inputs("calibrating", images) as inputs:
                    found = observe_activations(self.prepared, inputs, threads=threads)
            else:
                graph, channels = self.equalized
                with self._inputs("calibrating (equalized)", images) as inputs:
                    found = observe_equalized(graph, before, channels, inputs, threads=threads)
            found.to_npz(folder / "activations.npz")

        key = [self.loaded.digest, *self._activations_key(recipe), self.input_facts()]
        folder = context.store.entry("activations", key, make)
        return Activations.from_npz(folder / "activations.npz")

    def _sensitivity(self, recipe: Recipe) -> Sensitivity:
        """How much the activations of the graph that a recipe starts from matter."""
        images = self._calibration(recipe)
        some = images.subset(sensitivity_images(len(images)))
        source = self.equalized[0] if equalizes(recipe) else self.prepared

        def make(folder: Path) -> None:
            with self._inputs("measuring sensitivity", some) as inputs:
                measure_sensitivity(source, inputs).to_npz(folder / "sensitivity.npz")

        key = [self.loaded.digest, *self._activations_key(recipe), self.input_facts()]
        folder = self._bench.context.store.entry("sensitivity", key, make)
        return Sensitivity.from_npz(folder / "sensitivity.npz")

    def _activations_key(self, recipe: Recipe) -> tuple[str, bool]:
        """What activations depend on besides the file: the images, and the graph."""
        seen = self.task.seen(self._calibration(recipe), self.index)
        return seen.digest, equalizes(recipe)

    def _calibration(self, recipe: Recipe) -> ImageSet:
        """Images for the ranges of a recipe: FP16 needs extremes only, any images will do."""
        if self._bench.data.calibration is not None:
            return self._bench.data.calibration
        if recipe.precision == "fp16":
            return self._bench.probes
        raise SpecError(
            f"precision {recipe.name!r} of {self._bench.model.name}",
            "static quantization needs calibration images",
            "name a folder of 100 to 500 images in KycModel(calibration=...)",
        )

    def shift_tensors(self, recipe: Recipe) -> list[Tensor]:
        """Calibration images to correct with what quantized activations add to biases."""
        if not recipe.is_static or not corrects_biases(recipe):
            return []
        return self._some_tensors(recipe)

    def _some_tensors(self, recipe: Recipe) -> list[Tensor]:
        """Calibration images to look at activations and outputs with."""
        images = self._calibration(recipe)
        some = images.subset(shift_images(len(images), self.preprocess.shape))
        return [tensor for _, tensor in self.task.tensors(some, self.index)]

    def input_facts(self) -> dict[str, Any]:
        """Plain values that determine what the model is given and how its outputs are read."""
        return {**describe_preprocess(self.preprocess), **self.task.reading()}

    @contextmanager
    def _inputs(self, task: str, images: ImageSet) -> Iterator[Iterator[tuple[str, Any]]]:
        """Named input tensors of images, one at a time, with a progress line."""
        with self.stage(task, len(images.names)) as advance:

            def counted() -> Iterator[tuple[str, Any]]:
                for named in self.task.tensors(images, self.index):
                    advance()
                    yield named
                    del named  # before the next one is made

            yield counted()

    def stage(self, task: str, total: int = 0) -> Any:
        """Announce a piece of work and share the machine with other workers while it lasts."""
        return self._bench.context.stage(f"{self._title}: {task}", total)


def describe_preprocess(spec: Preprocess) -> dict[str, Any]:
    """Plain values of a preprocessing, for keys and goldens."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
