"""Files for LiteRT of one FP32 file: the float file, converted or given, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..context import Context
from ..errors import SpecError
from ..plain import from_plain, plain
from ..quantize import Exposure, ModelFile, Quantizer
from ..quantize.feeds import fed
from ..quantize.litert_float import (
    check_float,
    check_same,
    difference,
    first_layer,
    with_shapes,
)
from ..quantize.litert_ladder import Calibration, Rung, Task
from ..quantize.litert_layout import Layout, layout_of
from ..quantize.recipe_kind import kind_of
from ..quantize.search import Block
from ..runtimes import OpenModel, library, onnx2tf
from ..runtimes.feeding import Feeding, named
from ..runtimes.formats import identify
from ..runtimes.interface import Interface, fit
from ..runtimes.verified import open_verified, read_verified
from ..spec.recipe import Recipe
from ..spec.runtime import Runtime
from .variant_files import Made, keep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..quantize.images import Images
    from ..quantize.preparation import PreparedModel

    Feed = Mapping[str, NDArray[Any]]

_LITERT = Runtime("litert")
_SUFFIX = ".tflite"


@dataclass(frozen=True)
class _Known:
    """What is kept beside a float file: how it stands in for FP32, and where it comes from."""

    interface: Interface
    origin: str


@dataclass(frozen=True)
class _Form:
    """One float file that precisions are made from; all compute the same.

    Args:
        equalized: whether channels are scaled to similar ranges, which integers represent better.
        without_prelu: whether PRelu is written with operators that have an integer form.
        given: whether the user gives the file, so that it is none of ours.
    """

    equalized: bool = False
    without_prelu: bool = False
    given: bool = False


class LiteRtFiles:
    """Makes the files for LiteRT of one FP32 file, each once.

    Args:
        context: the context of the run.
        title: the model, for messages.
        quantizer: prepares the ONNX graph that is converted.
        fp32: the FP32 file.
        feeding: how FP32 is fed.
        images: a function that returns the calibration images, or None if there are none.
        probes: a few images to verify files on.
        given: the float ``.tflite`` file of the user; None converts the ONNX file.
        facts: plain values that, with the images, determine what the model is fed.
    """

    def __init__(
        self,
        context: Context,
        title: str,
        quantizer: Quantizer,
        fp32: ModelFile,
        feeding: Feeding,
        images: Callable[[], Images | None],
        probes: Images,
        given: Path | None,
        facts: Mapping[str, Any],
    ) -> None:
        self.context, self._title = context, title
        self._quantizer, self._fp32, self._feeding = quantizer, fp32, feeding
        self._get_images, self._probes = images, fed(probes, feeding)
        self._given, self._facts = given, dict(facts)
        self._calibrations: dict[tuple[str, bool | None, bool | None], Calibration] = {}
        self._floats: dict[_Form, tuple[bytes, _Known]] = {}

    @cached_property
    def _images(self) -> Images | None:
        """Calibration images as FP32 is fed."""
        found = self._get_images()
        return None if found is None else fed(found, self._feeding)

    @cached_property
    def _feeds(self) -> list[Feed]:
        """What FP32 is fed with the probes, without constants, which are a part of our files."""
        inputs = list(self._feeding.types)
        return [named(sample, inputs) for _, sample in self._probes.named()]

    @cached_property
    def _expected(self) -> list[dict[str, NDArray[Any]]]:
        """Outputs of FP32 for the probes, by their names."""
        fp32 = self._fp32.open(exact=self.context.exact)
        constants = {n: a for n, a in self._feeding.constants.items() if n in fp32.inputs}
        return [
            dict(zip(fp32.outputs, fp32.run({**feed, **constants}), strict=True))
            for feed in self._feeds
        ]

    def make(self, recipe: Recipe) -> ModelFile:
        """The file that a recipe makes, built once and kept in the cache.

        Raises:
            QuantizationError: litert-quantizer cannot make it.
            ModelError: the float file is not the model, or cannot be made.
            RuntimeUnavailableError: nothing can convert the ONNX file.
            SpecError: static quantization without calibration images.
        """
        where = f"{self._title} as {recipe.name}"
        if recipe.is_static and self._images is None:
            raise SpecError(
                f"precision {recipe.name!r} of {self._title}",
                "static quantization needs calibration images",
                "name a folder of 100 to 500 images in KycModel(calibration=...)",
            )
        rung = _rung(recipe)
        form = self._form(recipe)
        options = {k: v for k, v in asdict(recipe).items() if k != "name"}
        seen = None if self._images is None or not rung.name else self._images.digest
        key = [self._source_key(form), options, seen, self._tools(recipe)]

        def build() -> Made:
            _, known = self._float(form)
            calibration = self._calibration(recipe) if recipe.is_static else None
            with self.context.stage(f"{self._title}: quantizing {recipe.name}"):
                made = rung.build(self._task(recipe, calibration))
            opened = library(recipe.runs_on).open(made.content)
            reason = f"made from {known.origin}"
            return Made(
                made.content,
                {**made.resolved, "equalize": form.equalized, "reason": reason},
                made.quantized,
                made.notes,
                Exposure(),
                broken=made.broken,
                interface=self._fit(where, opened),
            )

        return keep(self.context, key, build, recipe.runs_on, _SUFFIX)

    # What a search may keep in FP32: see `candidates.Candidates`

    def operators(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators with weights that a recipe quantizes, in topological order."""
        return tuple(block.names[0] for block in self.blocks(recipe))

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        """Blocks of those operators, each with its followers that the recipe also quantizes."""
        layout, task = self._layout(recipe), self._task(recipe)
        kept = layout.resolve(recipe.keep_fp32, task.where)
        return layout.blocks(self._calibration(recipe).integer, kept)

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the operators behind the last weights that a recipe would quantize."""
        return self._layout(recipe).postprocessing(self._calibration(recipe).integer)

    def alone(self, recipe: Recipe, names: Sequence[str]) -> OpenModel:
        """The file with only these operators quantized, opened to be run as FP32 is."""
        calibration = self._calibration(recipe)
        task = self._task(recipe, calibration)
        opened = library(recipe.runs_on).open(_rung(recipe).only(task, calibration, names))
        return self._float(self._form(recipe))[1].interface.present(opened)

    def origin(self, recipe: Recipe) -> Any:
        """Plain values that, with the FP32 file, determine what candidates are made from."""
        return [self._source_key(self._form(recipe)), self._tools(recipe)]

    def _layout(self, recipe: Recipe) -> Layout:
        return layout_of(self._float(self._form(recipe))[0])

    def _calibration(self, recipe: Recipe) -> Calibration:
        """What images tell of the float file: once, whichever operators stay in FP32."""
        assert self._images is not None
        precision = "int8" if recipe.precision == "mixed" else recipe.precision
        options = recipe.integer_io, recipe.float_fallback
        whole = Recipe(
            precision, runtime=recipe.runtime, integer_io=options[0], float_fallback=options[1]
        )
        if found := self._calibrations.get((precision, *options)):
            return found
        key = [
            self._source_key(self._form(whole)), self._images.digest, self._tools(whole),
            precision, *options,
        ]  # fmt: skip

        def make(folder: Path) -> None:
            with self.context.stage(f"{self._title}: calibrating for LiteRT"):
                found = _rung(whole).calibrate(self._task(whole))
            (folder / "calibration.json").write_text(json.dumps(asdict(found)), encoding="utf-8")

        def read(folder: Path) -> Calibration:
            found = json.loads((folder / "calibration.json").read_bytes())
            return from_plain(Calibration, found, strict=True)

        found = self.context.store.load("litert-calibration", key, make, read)
        self._calibrations[precision, *options] = found
        return found

    def _task(self, recipe: Recipe, calibration: Calibration | None = None) -> Task:
        rung, (content, known) = _rung(recipe), self._float(self._form(recipe))
        images = self._images if rung.name else None

        def feeds(numbers: Sequence[int]) -> Iterator[Feed]:
            if images is not None:
                for _, sample in images.named(list(numbers)):
                    yield known.interface.feed(named(sample, list(self._feeding.types)))

        where, count = f"{self._title} as {recipe.name}", 0 if images is None else len(images)
        return Task(where, content, recipe, count, feeds, calibration)

    def _tools(self, recipe: Recipe) -> list[Any]:
        # First, since it says how to install what is missing.
        there = library(recipe.runs_on).describe()
        return [version("litert-quantizer"), there]

    def _form(self, recipe: Recipe) -> _Form:
        if self._given is not None:
            return _Form(given=True)
        static8 = recipe.precision in ("int8", "mixed")
        without = recipe.float_fallback is False and any(
            node.op_type == "PRelu" for node in self._quantizer.prepared.proto.graph.node
        )
        return _Form(static8, without)

    def _source_key(self, form: _Form) -> list[Any]:
        """Plain values that determine a float file."""
        seen = self._images.digest if form.equalized and self._images is not None else None
        given = None if self._given is None else identify(self._given).digest
        return [
            self._fp32.sha256, plain(form), given, seen, self._probes.digest, self._facts,
            self._feeding.facts(), onnx2tf.VERSION, self.context.exact,
        ]  # fmt: skip

    def _float(self, form: _Form) -> tuple[bytes, _Known]:
        """A float file that gives FP32's outputs, and what is known of it."""

        def make(folder: Path) -> None:
            if self._given is not None:
                content, known = self._checked(self._given)
            else:
                content, known = self._converted(form)
            (folder / f"float{_SUFFIX}").write_bytes(content)
            (folder / "known.json").write_text(json.dumps(plain(known)), encoding="utf-8")

        def read(folder: Path) -> tuple[bytes, _Known]:
            known = json.loads((folder / "known.json").read_bytes())
            content = (folder / f"float{_SUFFIX}").read_bytes()
            return content, from_plain(_Known, known, strict=True)

        if form not in self._floats:
            found = self.context.store.load("litert", self._source_key(form), make, read)
            self._floats[form] = found
        return self._floats[form]

    def _checked(self, path: Path) -> tuple[bytes, _Known]:
        """The float file of the user."""
        digest = identify(path).digest
        opened = open_verified(_LITERT, path, digest)
        content = read_verified(path, digest)
        check_float(content, path)
        remedy = "give the file that was converted from this ONNX file"
        interface = self._fit(path, opened)
        worst = difference(opened, interface, self._feeds, self._expected)
        check_same(worst, path, "", f"it is not this model, or was converted wrongly: {remedy}")
        return content, _Known(interface, path.name)

    def _converted(self, form: _Form) -> tuple[bytes, _Known]:
        """The ONNX file, converted."""
        prepared = self._prepared(form)
        onnx = with_shapes(prepared, self._feeds[0])
        with self.context.stage(f"{self._title}: converting it for LiteRT"):
            made = onnx2tf.convert(onnx, self._title)
        opened = library(_LITERT).open(made.content)
        interface = self._fit(f"{self._title}, converted for LiteRT", opened)
        worst = difference(opened, interface, self._feeds, self._expected)
        layer = ""
        if worst > 0:
            feed = interface.feed(self._feeds[0])
            layer = first_layer(onnx, made.content, made.report, self._feeds[0], feed)
        check_same(
            worst,
            f"{self._title}, converted for LiteRT by onnx2tf {onnx2tf.VERSION}",
            layer,
            'convert it by other means: KycModel(litert="model.tflite")',
        )
        origin = f"the ONNX file, converted by onnx2tf {onnx2tf.VERSION}"
        return made.content, _Known(interface, origin)

    def _prepared(self, form: _Form) -> PreparedModel:
        step, recipe = "prepare", Recipe("fp32")
        if form.without_prelu:
            step = "rewrite"
            recipe = Recipe("int8", rewrites=("prelu",), equalize=form.equalized)
        elif form.equalized:
            step, recipe = "start", Recipe("int8", rewrites=False)
        found: PreparedModel = self._quantizer.result(step, recipe)
        return found

    def _fit(self, where: object, opened: OpenModel) -> Interface:
        return fit(where, opened, self._feeds[0], self._expected[0])


def _rung(recipe: Recipe) -> Rung:
    found = kind_of(recipe)
    assert isinstance(found, Rung)
    return found
