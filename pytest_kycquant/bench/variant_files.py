"""The files of variants: made once, kept in the store with what is known about them, read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..context import Context
from ..plain import from_plain, plain
from ..quantize import Exposure, ModelFile, broken_constants
from ..quantize.ort_format import OPERATORS, to_ort
from ..runtimes.formats import ONNX
from ..runtimes.interface import Interface
from ..spec.recipe import Recipe
from ..spec.runtime import ORT, Runtime


@dataclass(frozen=True)
class Made:
    """A variant that was just made, before it is a file; the fields are those of `ModelFile`."""

    content: bytes
    resolved: Mapping[str, Any]
    quantized: Mapping[str, int]
    notes: tuple[str, ...]
    exposure: Exposure
    companions: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] | None = None
    interface: Interface = field(default_factory=Interface)


@dataclass(frozen=True)
class _Facts:
    """The facts that are kept beside the file of a variant; see `ModelFile`."""

    sha256: str
    resolved: Mapping[str, Any]
    quantized: Mapping[str, int]
    notes: tuple[str, ...]
    exposure: Exposure
    companions: Mapping[str, str]
    broken: tuple[str, ...] | None
    interface: Interface


def keep(
    context: Context, key: object, make: Callable[[], Made], runtime: Runtime, suffix: str = ONNX
) -> ModelFile:
    """The file of a variant, made unless the store has it.

    Args:
        context: the context of the run.
        key: plain values that determine the file.
        make: a function that makes it.
        runtime: the runtime that runs it.
        suffix: suffix of its format.
    """

    def build(folder: Path) -> None:
        made = make()
        (folder / f"model{suffix}").write_bytes(made.content)
        facts = {name: value for name, value in vars(made).items() if name != "content"}
        facts["sha256"] = hashlib.sha256(made.content).hexdigest()
        (folder / "variant.json").write_text(json.dumps(plain(facts)), encoding="utf-8")

    def read(folder: Path) -> ModelFile:
        path = folder / f"model{suffix}"
        facts = from_plain(_Facts, json.loads((folder / "variant.json").read_bytes()), strict=True)
        return ModelFile(
            path,
            facts.sha256,
            path.stat().st_size,
            dict(facts.resolved),
            dict(facts.quantized),
            facts.notes,
            facts.exposure,
            runtime,
            facts.interface,
            companions=dict(facts.companions),
            broken=facts.broken,
        )

    def check(file: ModelFile) -> str:
        with file.path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        return "" if found == file.sha256 else "holds another file than it says"

    return context.store.load("variant", key, build, read, check)


def in_format(context: Context, file: ModelFile, recipe: Recipe, where: str) -> ModelFile:
    """Convert an ONNX file to the format that a recipe names.

    Args:
        context: the context of the run.
        file: the ONNX file that the recipe makes.
        recipe: the recipe.
        where: the model, for messages.

    Raises:
        ModelError: onnxruntime cannot convert it.
    """
    exact = context.exact and bool(file.exposure.operators)
    # What `exact` changes in an ONNX file when it is opened is a part of this file.
    stored = exact and context.environment.u8s8_saturates

    def make() -> Made:
        with context.stage(f"{where}: converting {recipe.name}"):
            found = to_ort(file.read(), f"{where} as {recipe.name}", exact=exact)
        exposure = file.exposure
        if stored:
            exposure = replace(exposure, saturable=0, saturable_pairs=0)
        resolved = {**file.resolved, "format": ORT}
        if recipe.is_itself:
            resolved["reason"] = "the FP32 file in ORT format"
        resolved["required_operators"] = " ".join(found.operators.split("\n")).strip()
        return Made(
            found.content,
            resolved,
            file.quantized,
            file.notes,
            exposure,
            {OPERATORS: found.operators},
            find_broken(file),
        )

    key = [ORT, file.sha256, recipe.precision, plain(file.resolved), exact]
    return keep(context, key, make, recipe.runs_on, f".{ORT}")


def find_broken(file: ModelFile) -> tuple[str, ...]:
    """Names of the weights and scales of a file that have NaN or Inf."""
    if file.broken is not None:
        return file.broken
    from onnx import ModelProto

    return tuple(broken_constants(ModelProto.FromString(file.read()).graph))
