"""Whether FP32 computes what the model that it was exported from computes, and here as elsewhere.

An export that goes wrong gives a model with other outputs, and so does a runtime with a faulty
kernel. Both are found before anything is quantized, on a few images, and kept in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..context import Context
from ..context.cache import digest_of
from ..errors import ModelError
from ..quantize import LoadedModel
from ..runtimes import OpenModel, library
from ..runtimes.feeding import Sample
from ..runtimes.formats import identify
from ..runtimes.growth import Deviation, Layer, difference, first_growth, verify, with_tensors
from ..runtimes.ort import open_session
from ..runtimes.trial import try_out
from ..runtimes.verified import open_verified
from ..spec.runtime import REFERENCE, Runtime
from ..tasks.base import Resolve
from ..tasks.outputs import fed, run_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtimes.torch_source import Source

    Array = NDArray[Any]
    Feed = Mapping[str, Array]

_SOURCE = "export it again from this source in evaluation mode, or name the right source"


class Conversion:
    """Compares one FP32 file with other forms of it on a few images.

    Args:
        context: the context of the run.
        loaded: the file.
        title: the model, for messages.
        resolve: a function from a path in the gate file, and the attribute that names it, to an
            existing path.
        inputs: a function that returns (name, sample) of each of the images.
        facts: a function that returns plain values that determine the file and the images.
    """

    def __init__(
        self,
        context: Context,
        loaded: LoadedModel,
        title: str,
        resolve: Resolve,
        inputs: Callable[[], Iterable[tuple[str, Sample]]],
        facts: Callable[[], object],
    ) -> None:
        self._context = context
        self._loaded = loaded
        self._title = title
        self._resolve = resolve
        self._inputs = inputs
        self._facts = facts

    def verify_source(self, given: str) -> str:
        """Compare the file with the torch model that it was exported from.

        Args:
            given: what `KycModel.source` names.

        Returns:
            A note for the report.

        Raises:
            RuntimeUnavailableError: torch is not installed.
            ModelError: the source cannot be used, or its outputs are others. The message names the
                first operator where the difference grows.
        """
        held: list[Source] = []

        def source() -> Source:
            if not held:
                from ..runtimes.torch_source import open_source

                held.append(open_source(given, self._resolve))
            return held[0]

        def digest() -> str:
            if given.lower().endswith(".pt2"):
                return identify(self._resolve(given, "KycModel.source")).digest
            # Only the module itself knows its weights: it is made once in a run.
            name = f"source-{digest_of([given, self._facts()])[:32]}"
            return self._context.store.once(name, lambda: source().digest, str)

        def compare() -> float:
            found, worst = source(), 0.0
            for image, feed in self._feeds(self._opened):
                inputs = self._ordered(found, given, feed)
                expected = found.run(inputs)
                _refuse_random(expected, found.run(inputs), given)
                mine = run_once(self._opened, feed, self._title, image)
                each, deviation = verify(
                    expected, mine, self._opened.outputs, self._loaded.path, given
                )
                if deviation is not None:
                    where = self._where(feed, partial(found.layers, inputs), given)
                    raise self._differs(deviation, image, f"from {given}", where, _SOURCE)
                worst = max(worst, each)
            return worst

        with_torch = library(Runtime("torch")).describe()
        key, says = [digest(), with_torch], f"comparing it with {given}"
        largest = self._once("source", key, compare, says)
        return f"its outputs differ by at most {largest:.1g} of their largest value from {given}"

    def verify_runtime(self, runtime: Runtime) -> None:
        """Compare FP32 on another runtime with itself on onnxruntime's CPU kernels.

        A runtime that does not open ONNX files is not compared here.

        Raises:
            RuntimeUnavailableError: the runtime is not installed.
            ModelError: it cannot run the file, or its outputs are others. The message names the
                first operator where the difference grows.
        """
        if runtime.is_reference or ".onnx" not in runtime.line.formats:
            return
        runtime = replace(runtime, computes="float32")
        opener = library(runtime)

        def compare() -> float:
            path, worst = self._loaded.path, 0.0
            _, first = next(iter(self._feeds(self._opened)))
            try_out(runtime, path, self._loaded.digest, list(first.values()))
            there = open_verified(runtime, path, self._loaded.digest)
            of, names = "FP32 on onnxruntime", self._opened.outputs
            for image, feed in self._feeds(there):
                expected = run_once(self._opened, feed, self._title, image)
                found = _as_named(there, run_once(there, feed, self._title, image), names)
                each, deviation = verify(expected, found, names, path, of)
                if deviation is not None:
                    where = self._where(feed, partial(self._tensors, feed), of, runtime)
                    what = f"on {opener.describe()} from {of}"
                    remedy = "run it on another runtime or version of it, and report the fault"
                    raise self._differs(deviation, image, what, where, remedy)
                worst = max(worst, each)
            return worst

        self._once("runtime", [opener.describe()], compare, f"comparing FP32 on {runtime.label}")

    @cached_property
    def _opened(self) -> OpenModel:
        return open_verified(REFERENCE, self._loaded.path, self._loaded.digest)

    def _feeds(self, model: OpenModel) -> Iterable[tuple[str, Feed]]:
        feeding = self._loaded.feeding
        for group in feeding.runs(self._inputs()):
            image = group[0][0]
            samples = [sample for _, sample in group]
            yield image, fed(model, feeding, samples, self._title, image)

    def _ordered(self, source: Source, given: str, feed: Feed) -> list[Array]:
        """What the source takes of what the file is fed: by names, or else in their order."""
        names = [port.name for port in self._loaded.inputs]
        if set(source.inputs) == set(names):
            names = list(source.inputs)
        if source.inputs and len(source.inputs) != len(names):
            raise ModelError(
                given,
                f"has {len(source.inputs)} inputs, and {self._loaded.path.name} has {len(names)}",
                "name the model that the file was exported from",
            )
        arrays = [feed[name] for name in names]
        for name, shape, array in zip(source.inputs, source.shapes, arrays, strict=False):
            fits = shape is None or (
                len(shape) == array.ndim
                and all(size in (None, n) for size, n in zip(shape, array.shape, strict=True))
            )
            if not fits:
                raise ModelError(
                    given,
                    f"input {name!r} has the shape {shape}, and the images have {array.shape}",
                    "name the model that the file was exported from",
                )
        return arrays

    def _where(
        self,
        feed: Feed,
        layers: Callable[[], Sequence[Layer]],
        of: str,
        runtime: Runtime = REFERENCE,
    ) -> str:
        """Where a difference grows; what cannot be found out must not hide the difference."""
        try:
            found = {layer.name: layer.value for layer in self._tensors(feed, runtime)}
            where = first_growth(self._loaded.proto.graph, found, layers(), of)
        except Exception:  # of a library: what happened is known already
            return ""
        if not where and not runtime.is_reference:
            return "no operator deviates by itself, so what the runtime fuses may be at fault"
        return where

    def _tensors(self, feed: Feed, runtime: Runtime = REFERENCE) -> list[Layer]:
        """All float tensors of the file, in the order of its operators, as it is written."""
        content, names = with_tensors(self._loaded.proto)
        known = {info.name for info in self._loaded.proto.graph.input}  # constants are in the graph
        feed = {name: array for name, array in feed.items() if name in known}
        if runtime.is_reference:
            values = open_session(content, optimize=False).run(names, feed)
        else:
            there = library(runtime).open(content)
            values = _as_named(there, there.run(feed), names)
        return [Layer(name, "", value) for name, value in zip(names, values, strict=True)]

    def _differs(
        self, deviation: Deviation, image: str, what: str, where: str, remedy: str
    ) -> ModelError:
        problem = f"differs {what} beyond float accuracy: on {image}, {deviation.describe()}"
        return ModelError(self._loaded.path, "; ".join(filter(None, [problem, where])), remedy)

    def _once(self, kind: str, key: list[Any], compare: Callable[[], float], says: str) -> float:
        """The largest difference, compared unless the store knows it."""

        def make(folder: Path) -> None:
            with self._context.stage(f"{self._title}: {says}"):
                found = compare()
            text = json.dumps({"largest": found})
            (folder / "conversion.json").write_text(text, encoding="utf-8")

        def read(folder: Path) -> float:
            return float(json.loads((folder / "conversion.json").read_bytes())["largest"])

        return self._context.store.load("conversion", [kind, key, self._facts()], make, read)


def _as_named(model: OpenModel, outputs: list[Array], names: Sequence[str]) -> list[Array]:
    """Outputs in the order of some names, or as they are if the runtime calls them otherwise."""
    if set(model.outputs) != set(names):
        return outputs
    given = dict(zip(model.outputs, outputs, strict=True))
    return [given[name] for name in names]


def _refuse_random(first: Sequence[Array], again: Sequence[Array], given: str) -> None:
    for one, two in zip(first, again, strict=False):
        if one.shape != two.shape or difference(one, two) > 1e-5:
            raise ModelError(
                given,
                "gives other outputs each time it runs",
                "call model.eval() before it is exported: dropout is random in training mode",
            )
