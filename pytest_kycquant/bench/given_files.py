"""Files that somebody else has quantized: what they are, and how they stand in for FP32."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ModelError, SpecError
from ..plain import from_plain, plain
from ..quantize import ModelFile
from ..quantize.contents import Contents, contents, require_quantized
from ..results import GateResult
from ..runtimes import NAMELESS, library
from ..runtimes.formats import identify
from ..runtimes.interface import Interface, fit
from ..runtimes.preparation import layout_in, with_preprocess
from ..runtimes.trial import try_out
from ..runtimes.verified import open_verified
from ..spec.model import Preprocess
from ..spec.prequantized import Prequantized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..context import Context
    from ..quantize import LoadedModel
    from ..runtimes import OpenModel
    from ..runtimes.feeding import Feeding
    from ..tasks.base import Task


class Fp32(Protocol):
    """One FP32 file, see `SourceFile`."""

    context: Context
    task: Task[Any, Any]
    index: int

    @property
    def loaded(self) -> LoadedModel:
        """The file, checked."""

    @property
    def fp32(self) -> ModelFile:
        """The file as a variant of itself."""

    @property
    def outputs_read(self) -> tuple[str, ...]:
        """Names of the outputs that the task reads."""

    @property
    def feeding(self) -> Feeding:
        """How images are fed to it."""

    @property
    def probe(self) -> dict[str, NDArray[Any]]:
        """What one run is fed with an image."""

    def input_facts(self) -> dict[str, Any]:
        """Plain values that determine its input."""


@dataclass(frozen=True)
class _Known:
    """What is kept of a file, which itself stays where it is."""

    interface: Interface
    contents: Contents


def given_file(source: Fp32, asked: Prequantized) -> ModelFile:
    """The file of a `Prequantized` that stands in for one FP32 file.

    Args:
        source: the FP32 file.
        asked: what the gate file names.

    Raises:
        ModelError: the file cannot be judged as this model: it is damaged, not quantized, another
            model's, or its inputs and outputs cannot be matched.
        SpecError: the number of files is another one, or the preprocessing cannot be.
    """
    task, where = source.task, f"Prequantized({asked.name!r})"
    if len(asked.paths) != len(task.model.paths):
        raise SpecError(
            where,
            f"names {len(asked.paths)} files, and the model has {len(task.model.paths)}",
            "give a file for each file of the model, in their order",
        )
    path = task.resolve(asked.paths[source.index], "Prequantized.path")
    found = identify(path)
    if found.digest == source.loaded.digest:
        raise ModelError(path, "is the FP32 file itself", "give the file that was quantized")
    runtime = asked.runs_on
    key: list[Any] = [found.digest, source.loaded.digest, source.input_facts(), source.outputs_read]
    declared = None if asked.preprocess is None else plain_preprocess(asked.preprocess)
    key += [library(runtime).describe(), asked.inputs, list(asked.outputs), declared]

    def make(folder: Path) -> None:
        # Before anything here reads it, since its runtime may be what reads it.
        try_out(runtime, path, found.digest, list(source.probe.values()))
        content = contents(path, found.digest)
        require_quantized(path, content)
        opened = open_verified(runtime, path, found.digest)
        interface = interface_of(source, asked, path, opened)
        known = json.dumps(plain(_Known(interface, content)))
        (folder / "given.json").write_text(known, encoding="utf-8")

    def read(folder: Path) -> _Known:
        return from_plain(_Known, json.loads((folder / "given.json").read_bytes()), strict=True)

    known = source.context.store.load("given", key, make, read)
    held = known.contents
    fed = {} if declared is None else {"preprocess": _as_fed(source, asked, known)}
    return ModelFile(
        path,
        found.digest,
        found.size,
        {"precision": asked.precision, "reason": f"made elsewhere: {path.name}", **fed},
        dict(held.quantized),
        held.notes,
        held.exposure,
        runtime,
        known.interface,
        broken=held.broken,
    )


def _as_fed(source: Fp32, asked: Prequantized, known: _Known) -> Any:
    """The declared preprocessing with the order of dimensions that the file has."""
    assert asked.preprocess is not None
    fp32 = source.task.model.preprocesses[source.index]
    image = next(name for name in source.probe if name not in source.feeding.constants)
    layout = layout_in(known.interface, image, fp32.layout)
    return plain_preprocess(replace(asked.preprocess, layout=layout))


def advised(gate: GateResult, asked: Prequantized, better: str) -> GateResult:
    """A result with what to do about a file that recipes do not change.

    Args:
        gate: the result.
        asked: what the gate file names.
        better: what to write in its `Preprocess` to bring it to FP32; "" if that is not known.
    """
    if not gate.remedy or gate.gate in ("latency", "size"):
        return gate
    made = f"{' and '.join(Path(path).name for path in asked.paths)} was made elsewhere"
    if better:
        remedy = (
            f"{made}, and its outputs are near FP32's on an image that is fed with {better}: write "
            "this in Prequantized(preprocess=Preprocess(...)), if its maker says so."
        )
    else:
        remedy = (
            f"{made}: if it is this model, and Prequantized names its inputs and outputs rightly, "
            "have it quantized again, with ranges from images like these, prepared as this gate "
            "prepares them."
        )
    return replace(gate, remedy=remedy)


def plain_preprocess(spec: Preprocess) -> dict[str, Any]:
    """A preprocessing as plain values, without a function of the user's."""
    found = plain(replace(spec, function=None))
    return {name: value for name, value in found.items() if name != "function"}


def interface_of(source: Fp32, asked: Prequantized, path: Path, opened: OpenModel) -> Interface:
    """How a file stands in for FP32, tried on one image.

    Args:
        source: the FP32 file.
        asked: what the gate file names.
        path: the file.
        opened: the same, open.

    Raises:
        ModelError: its inputs and outputs cannot be matched with FP32's, or it cannot be run.
        SpecError: the preprocessing cannot be.
    """
    feed = source.probe
    fp32 = source.fp32.open(exact=False)
    outputs = dict(zip(fp32.outputs, fp32.run(feed), strict=True))
    wanted = {name: outputs[name] for name in source.outputs_read}
    given = {name: array for name, array in feed.items() if name in fp32.inputs}
    images = [name for name in given if name not in source.feeding.constants]
    names = asked.inputs, asked.outputs or None
    try:
        interface = fit(path, opened, given, wanted, inputs=names[0], outputs=names[1])
    except ModelError as error:
        if any(names):
            raise
        remedy = f"{error.remedy}, or say which is which: Prequantized(inputs=..., outputs=...)"
        raise ModelError(path, error.problem, remedy) from error
    if asked.preprocess is not None:
        own = source.task.model.preprocesses[source.index : source.index + 1]
        if not own or len(images) != 1:
            raise SpecError(
                "Prequantized.preprocess",
                "has no effect, because the model takes arrays, not an image",
                "leave it out",
            )
        interface = with_preprocess(
            interface, opened, given, wanted, images[0], own[0], asked.preprocess
        )
    try:
        found = interface.present(opened).run(feed)
    except ModelError as error:  # what was opened is the content of the file, which has no name
        problem = error.problem if error.where == NAMELESS else f"{error.where} {error.problem}"
        raise ModelError(path, problem, error.remedy) from error
    free = {port.name: port.shape for port in fp32.output_ports}
    _check(found, wanted, free, path)
    return interface


def _check(
    found: list[NDArray[Any]],
    wanted: dict[str, NDArray[Any]],
    declared: Mapping[str, tuple[int | None, ...] | None],
    path: Path,
) -> None:
    """Refuse outputs of other shapes or types than FP32's: the file is another model.

    The number of rows that a detector has not suppressed may differ, where FP32 leaves it open.
    """
    for (name, expected), array in zip(wanted.items(), found, strict=True):
        shape = np.shape(array)
        sizes = declared[name] or (None,) * expected.ndim
        same = len(shape) == expected.ndim and all(
            one == other or free is None
            for one, other, free in zip(shape[1:], expected.shape[1:], sizes[1:], strict=True)
        )
        if not same:
            raise ModelError(
                path,
                f"gives output {name!r} of shape {shape}, and FP32 of shape {expected.shape}",
                "give the quantized file of this model, or name its outputs: "
                "Prequantized(outputs=(...))",
            )
        if array.dtype != expected.dtype:
            raise ModelError(
                path,
                f"gives output {name!r} in {array.dtype}, and FP32 in {expected.dtype}",
                "give a file that dequantizes its outputs, as an application would have to",
            )
