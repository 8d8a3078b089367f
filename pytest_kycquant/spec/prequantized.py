"""A variant that somebody else has quantized, as a gate file names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import SpecError
from . import coerce
from .model import Preprocess
from .recipe import RUNGS, Fallback, Recipe
from .runtime import RUNTIMES, Runtime, as_runtime
from .task import StrPath


@coerce.arguments
@dataclass(frozen=True)
class Prequantized:
    """A file that somebody else has quantized, to be judged like a variant made here.

    It is compared with the golden FP32 model by every gate, and it can ship. If it does not pass,
    nothing made here takes its place unless `fallback` asks for it.

    Args:
        path: the file: ``.onnx`` (with or without external data), ``.ort``, ``.tflite``, ``.xml``
            of OpenVINO IR, or ``.pt2``; a file for each of the model's, if it has several.
        name: label in test ids and in the table; defaults to the stem of the file, with the
            runtime behind it if that is not the one of its format.
        runtime: the runtime that runs it; None takes the one of its format, such as "litert" for
            ``.tflite``.
        preprocess: how images become its input, where that differs from FP32's in anything but the
            names and the order of dimensions: the same size and fit, with another `mean`, `scale`,
            `channels` or `layout`. A file that takes pixels (uint8) has ``mean=0, scale=1``.
        inputs: name of an input in the file, by its name in the FP32 model, where neither the name
            nor the shape tells which is which.
        outputs: names of the outputs in the file, in the order of the FP32 model's, likewise.
        fallback: first rung of the ladder mixed -> int8-weights -> fp16 -> fp32-optimized -> fp32
            that may be tried if the file does not pass; None for none.
    """

    path: StrPath | tuple[StrPath, ...]
    name: str = ""
    runtime: str | Runtime | None = None
    preprocess: Preprocess | None = None
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)
    outputs: tuple[str, ...] = ()
    fallback: Fallback | None = None

    def __post_init__(self) -> None:
        where = "Prequantized"
        several = coerce.is_several(self.path)
        remedy = "give the path of a file, or one for each file of the model"
        given = coerce.items(f"{where}.path", self.path, remedy) if several else (self.path,)
        paths = tuple(coerce.path(f"{where}.path", path) for path in given)
        if not paths:
            raise SpecError(f"{where}.path", "names no file", remedy)
        if len(set(map(str, paths))) < len(paths):
            raise SpecError(
                f"{where}.path",
                f"{coerce.shown(self.path)} names a file twice",
                "give a file for each file of the model, in their order",
            )
        if self.preprocess is not None and not isinstance(self.preprocess, Preprocess):
            raise SpecError(
                f"{where}.preprocess",
                f"{coerce.shown(self.preprocess)} is not a Preprocess",
                "give Preprocess(size=..., mean=..., scale=..., channels=...)",
            )
        plain: dict[str, Any] = {
            "path": paths if several else paths[0],
            "runtime": self._runtime(paths),
            "inputs": self._inputs(),
            "outputs": coerce.names(f"{where}.outputs", self.outputs),
            "fallback": coerce.choice(f"{where}.fallback", self.fallback, (*RUNGS, None)),
            "name": coerce.label(f"{where}.name", self.name) or self._label(paths),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.fallback not in (None, "fp32"):
            self.made_instead  # noqa: B018  refuses a runtime that nothing is made for

    def _runtime(self, paths: tuple[StrPath, ...]) -> Runtime:
        """The runtime, which must open files of this format."""
        suffixes = {Path(path).suffix.lower() for path in paths}
        openers = {
            suffix: [name for name, line in RUNTIMES.items() if suffix in line.formats]
            for suffix in suffixes
        }
        for suffix, names in openers.items():
            if not names:
                known = dict.fromkeys(each for line in RUNTIMES.values() for each in line.formats)
                raise SpecError(
                    "Prequantized.path",
                    f"{coerce.shown(self.path)} is in no format that a runtime here opens",
                    f"give a file with one of the endings {', '.join(known)}",
                )
            if self.runtime is None:
                continue
            asked = as_runtime("Prequantized.runtime", self.runtime)
            if asked.name not in names:
                raise SpecError(
                    "Prequantized.runtime",
                    f"{asked.name} does not open {suffix} files",
                    f"give runtime={' or '.join(map(repr, names))}, or leave it out",
                )
        if self.runtime is not None:
            return as_runtime("Prequantized.runtime", self.runtime)
        firsts = {names[0] for names in openers.values()}
        if len(firsts) > 1:
            both = [name for name in RUNTIMES if all(name in names for names in openers.values())]
            raise SpecError(
                "Prequantized.path",
                f"{coerce.shown(self.path)} are files for different runtimes",
                f"give {' or '.join(f'runtime={name!r}' for name in both)}, which opens all of them"
                if both
                else "give files of one format",
            )
        return Runtime(firsts.pop())

    def _label(self, paths: tuple[StrPath, ...]) -> str:
        """The stem of the file, and the runtime if it is not the one of the format."""
        stem, suffix = Path(paths[0]).stem, Path(paths[0]).suffix.lower()
        asked = None if self.runtime is None else as_runtime("Prequantized.runtime", self.runtime)
        usual = next(name for name, line in RUNTIMES.items() if suffix in line.formats)
        return stem if asked in (None, Runtime(usual)) else f"{stem}-{asked.label}"

    def _inputs(self) -> dict[str, str]:
        remedy = 'give a dict of names, such as {"input": "serving_default_input:0"}'
        given = self.inputs
        items = coerce.guarded(lambda: dict(given), None) if isinstance(given, Mapping) else None
        texts = items is not None and all(
            isinstance(one, str) and one for pair in items.items() for one in pair
        )
        if items is None or not texts or len(set(items.values())) != len(items):
            problem = f"{coerce.shown(given)} does not name inputs"
            raise SpecError("Prequantized.inputs", problem, remedy)
        return dict(items)

    # What the bench asks of every precision, see `Recipe`.

    precision = "prequantized"
    is_itself = is_static = stores_weights = is_integer = is_float = is_unchanged = False

    @property
    def paths(self) -> tuple[StrPath, ...]:
        """The files."""
        return self.path if isinstance(self.path, tuple) else (self.path,)

    @property
    def runs_on(self) -> Runtime:
        """The runtime that runs the file."""
        assert isinstance(self.runtime, Runtime)
        return self.runtime

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the files."""
        return tuple(dict.fromkeys(Path(path).suffix.lower() for path in self.paths))

    @property
    def made_instead(self) -> Recipe:
        """The recipe that a fallback starts from."""
        return Recipe("int8", name=f"{self.name}>int8", runtime=self.runs_on)


Asked: TypeAlias = Recipe | Prequantized
"""What a gate file may list in `precisions`: a variant to make, or one that was made elsewhere."""
