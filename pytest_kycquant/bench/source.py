"""One FP32 file of a model: its variants are made and run here, each once.

Most models have one file. A system of several, such as two MiniFASNets whose scores are averaged,
has a member for each; `variants.py` puts together what they give.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.images import ImageSet
from ..errors import QuantizationError
from ..quantize import (
    Exposure,
    FullyQuantized,
    Ingredients,
    PreparedModel,
    build,
    keep_in_float,
    operators,
    postprocessing,
    quantize_whole,
    rewrite,
    static_types,
)
from ..quantize import Variant as BuiltVariant
from ..quantize.blocks import blocks_of
from ..quantize.graph import serialize
from ..quantize.rewrite_choice import Choice, choose, resolve
from ..quantize.search import Block
from ..runtimes import runtime
from ..spec.recipe import Recipe
from ..tasks.outputs import Outputs, run_model
from .calibrated import CalibratedFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..runtimes import OpenModel
    from .variants import Variants


@dataclass(frozen=True)
class ModelFile:
    """A file derived from an FP32 file, in the cache; or that file itself.

    Args:
        path: the ONNX file.
        sha256: digest of the file.
        size: in bytes.
        resolved: every option as finally used, with reasons.
        quantized: number of operators changed, by type.
        notes: caveats worth reading.
        exposure: of its integer operators to saturation.
    """

    path: Path
    sha256: str
    size: int
    resolved: dict[str, Any]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()
    exposure: Exposure = field(default_factory=Exposure)


class Member(CalibratedFile):
    """One FP32 file with the images that it sees, and its variants.

    Args:
        bench: of the model that it belongs to.
        index: its place among the files of that model.
    """

    def __init__(self, bench: Variants, index: int) -> None:
        super().__init__(bench, index)
        self._exact = bench.context.exact
        self._graphs: dict[tuple[bool, tuple[str, ...], bool], PreparedModel] = {}
        self._wholes: dict[tuple[Recipe, tuple[str, ...]], FullyQuantized | None] = {}

    @cached_property
    def outputs_read(self) -> tuple[str, ...]:
        """Names of the outputs that the task reads."""
        return self.task.choose_outputs(self.loaded.output_names, self.loaded.path, self.index)

    @cached_property
    def fp32(self) -> ModelFile:
        """The FP32 file as a variant of itself."""
        loaded = self.loaded
        notes: tuple[str, ...] = ()
        if loaded.subnormal_weights:
            notes = (
                f"{loaded.subnormal_weights:,} weights of FP32 are subnormal, which makes it "
                "several times slower on some CPUs: part of a speed-up may come from that alone",
            )
        return ModelFile(loaded.path, loaded.digest, loaded.size, {}, {}, notes)

    def rewrites(self, recipe: Recipe) -> Choice:
        """The rewrites of the FP32 graph that a recipe starts from.

        What is faster here is measured once, with the machine to itself, and stays in the cache.
        """
        if recipe.rewrites is None and recipe.op_types is None:
            return self._measured(recipe.is_integer)
        return resolve(recipe, self.prepared, lambda: self._measured(recipe.is_integer))

    def _measured(self, integer: bool) -> Choice:
        cache = self._bench.context.store

        def make(folder: Path) -> None:
            prepared, inputs = self.prepared, self.probe_tensors()
            task = f"{self._title}: measuring rewrites"
            with self._bench.context.stage(task, exclusive=True):
                found = choose(prepared, inputs, integer=integer)
            (folder / "choice.json").write_text(json.dumps(found.as_dict()), encoding="utf-8")

        key = [self.loaded.digest, self.input_facts(), integer]
        folder = cache.entry("rewrites", key, make)
        return Choice.from_dict(json.loads((folder / "choice.json").read_text(encoding="utf-8")))

    def _rewritten(
        self, source: PreparedModel, names: tuple[str, ...], integer: bool
    ) -> PreparedModel | None:
        """The graph that a recipe starts from after rewrites, verified; None for none."""
        key = (source is self.prepared, names, integer)
        if names and key not in self._graphs:
            inputs = self.probe_tensors()
            self._graphs[key] = rewrite(source, names, inputs, integer=integer)
        return self._graphs.get(key)

    def make(self, recipe: Recipe) -> ModelFile:
        """The file that a recipe makes, built once and kept in the cache.

        Raises:
            QuantizationError: the recipe cannot be applied to this file.
            SpecError: static quantization without calibration images.
        """
        mine = self._of_this_file(recipe)
        if recipe.precision == "fp32":
            return self.fp32
        if self.prefix and mine.is_static and mine.keep_fp32 and not self.operators(mine):
            return self.fp32  # others of the system are quantized, this one is kept as a whole
        # Before the entry: whoever builds it shares the machine, and measuring needs it alone.
        choice = self.rewrites(mine)
        if recipe.precision == "fp32-optimized" and not choice.names:
            return self.fp32
        options = {k: v for k, v in asdict(mine).items() if k != "name"}
        calibration = self.calibration_facts(recipe)
        key = [self.loaded.digest, options, calibration, choice.as_dict(), self._exact]

        def make(folder: Path) -> None:
            with self.stage(f"quantizing {recipe.name}"):
                made = self._build(mine, choice)
            (folder / "model.onnx").write_bytes(made.content)
            facts = {
                "resolved": made.resolved | {"rewrites": choice.describe()},
                "quantized": made.quantized,
                "notes": list(made.notes),
                "exposure": asdict(made.exposure),
            }
            (folder / "variant.json").write_text(json.dumps(facts), encoding="utf-8")

        folder = self._bench.context.store.entry("variant", key, make)
        path = folder / "model.onnx"
        facts = json.loads((folder / "variant.json").read_text(encoding="utf-8"))
        digest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))[path.name]
        resolved, notes = facts["resolved"], tuple(facts["notes"])
        size, exposure = path.stat().st_size, Exposure(**facts["exposure"])
        return ModelFile(path, digest, size, resolved, facts["quantized"], notes, exposure)

    def outputs(
        self, file: ModelFile, images: ImageSet, title: str, *, exact: bool | None = None
    ) -> Outputs:
        """Outputs of a variant, computed once for the same file and the same images.

        Args:
            file: the variant.
            images: to run it on.
            title: for the line of progress.
            exact: without saturation; None leaves it to the settings.
        """
        seen = self.task.seen(images, self.index)
        exact = self._exact if exact is None else exact
        # Without integer operators there is nothing to saturate.
        saturation = exact and bool(file.exposure.operators)
        key = [file.sha256, seen.digest, self.input_facts(), self.outputs_read, saturation]

        def make(folder: Path) -> None:
            with self.stage(f"running {title} images", len(images.names)) as advance:
                threads = self._bench.context.threads
                found = self._run(runtime().open(file.path, exact=exact), images, threads, advance)
                found.save(folder / "outputs.npz")

        folder = self._bench.context.store.entry("outputs", key, make)
        return Outputs.read(folder / "outputs.npz")

    def alone(self, recipe: Recipe, names: tuple[str, ...]) -> Outputs | None:
        """Outputs on the probes when these operators only are quantized; None if it cannot be."""
        mine = self._of_this_file(recipe)
        bare = {name.removeprefix(self.prefix) for name in names}
        others = tuple(n.name for n in self.prepared.proto.graph.node if n.name not in bare)
        choice = self.rewrites(mine)
        with self._bench.context.store.machine(exclusive=False):
            whole = self._whole(mine, choice)
            try:
                if whole is None:
                    content = self._build(
                        replace(mine, precision="mixed", keep_fp32=others), choice
                    ).content
                else:
                    content = serialize(keep_in_float(whole, others))
            except QuantizationError:
                return None
            return self._run(runtime().open(content, exact=self._exact), self._bench.probes, 1)

    def operators(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators that a search may keep in FP32, in topological order."""
        types = {node.name: node.op_type for node in self.prepared.proto.graph.node}
        return tuple(
            self.prefix + name
            for name in operators(self.prepared)
            if (recipe.op_types is None or types[name] in recipe.op_types)
            and not {name, self.prefix + name}.intersection(recipe.keep_fp32)
        )

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of those operators, each with what follows it and the recipe quantizes, too."""
        graph = self.prepared.proto.graph
        quantized = recipe.op_types or static_types()
        behind = set(postprocessing(self.prepared))
        others = {n.name for n in graph.node if n.op_type in quantized} - behind
        starts = {name.removeprefix(self.prefix) for name in self.operators(recipe)}
        return tuple(
            replace(block, names=tuple(self.prefix + name for name in block.names))
            for block in blocks_of(graph, starts, others)
        )

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators behind the last weights that a recipe would quantize.

        In INT8 they save next to nothing, and scores that share a scale with boxes are lost.
        """
        types = {node.name: node.op_type for node in self.prepared.proto.graph.node}
        quantized = recipe.op_types or static_types()
        behind = postprocessing(self.prepared)
        return tuple(self.prefix + name for name in behind if types[name] in quantized)

    @property
    def probe(self) -> NDArray[np.float32]:
        """The first of the probes as this file sees it, shape (1, ...)."""
        _, tensor = next(self.task.tensors(self._bench.probes, self.index))
        return tensor

    def runner(self, file: ModelFile) -> Callable[[], object]:
        """Run a variant on the first of the probes, for a measurement of latency."""
        model = runtime().open(file.path, exact=self._exact)
        feed = {model.inputs[0]: self.probe}
        return lambda: model.run(feed)

    def _of_this_file(self, recipe: Recipe) -> Recipe:
        """A recipe for a system of files, as it is for this one.

        What is kept in FP32 may be named with its file; "first", a type or a name alone is meant
        for all files.
        """
        if not self.prefix:
            return recipe
        others = tuple(f"{stem}:" for stem in self._bench.model.stems if stem != self.stem)
        names = (name for name in recipe.keep_fp32 if not name.startswith(others))
        mine = tuple(name.removeprefix(self.prefix) for name in names)
        if recipe.precision == "mixed" and not mine:
            return replace(recipe, precision="int8", keep_fp32=())
        return replace(recipe, keep_fp32=mine)

    def _build(self, recipe: Recipe, choice: Choice) -> BuiltVariant:
        whole = self._whole(recipe, choice) if recipe.is_static else None
        return build(self._ingredients(recipe, choice, whole is None), recipe, whole=whole)

    def _whole(self, recipe: Recipe, choice: Choice) -> FullyQuantized | None:
        """All operators quantized, to derive variants from; None if one cannot be quantized.

        Only the last one is held: a search derives its candidates from one.
        """
        key = replace(recipe, precision="int8", name="", keep_fp32=()), choice.names
        if key not in self._wholes:
            given = self._ingredients(recipe, choice, True)
            try:
                whole = quantize_whole(given, recipe)
            except QuantizationError:
                whole = None
            self._wholes = {key: whole}
        return self._wholes[key]

    def _ingredients(self, recipe: Recipe, choice: Choice, shifts: bool) -> Ingredients:
        """What a recipe is carried out with; images to correct shifts only where it is needed."""
        source, statistics = self.start(recipe)
        return Ingredients(
            prepared=source,
            saturates=self._bench.context.environment.u8s8_saturates,
            exact=self._exact,
            ranges=self.ranges(recipe),
            rewritten=self._rewritten(source, choice.names, recipe.is_integer),
            statistics=statistics,
            images=self.shift_tensors(recipe) if shifts else (),
        )

    def _run(
        self, model: OpenModel, images: ImageSet, threads: int, advance: Any = lambda: None
    ) -> Outputs:
        task = self.task
        tensors, edges = task.tensors(images, self.index), task.edge_inputs(self.index)
        read, wanted = task.read, self.outputs_read
        return run_model(model, tensors, edges, wanted, read, threads=threads, on_image=advance)
