"""What describes the input of a model: for cache keys, for goldens, and for readers of reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..context.function_digest import function_digest
from ..data.files import listed
from ..quantize import LoadedModel
from ..spec import coerce
from ..spec.model import KycModel, Preprocess

NOT_FED = "no longer has this input: do not feed it"
"""How the note ends that names inputs which are constants of a variant."""


def describe_constants(model: KycModel) -> dict[str, Any]:
    """Plain values of the constant inputs of a model, as its gate file gives them; {} for none."""
    return {"constants": dict(model.constants)} if model.constants else {}


def describe_preparation(model: KycModel, index: int) -> dict[str, Any]:
    """Plain values that describe how the images of a file of the model are prepared.

    Raises:
        SpecError: see `describe_preprocess`.
    """
    if isinstance(model.preprocess, Mapping):
        each = {name: describe_preprocess(spec) for name, spec in model.preprocess.items()}
        return {"arrays": each}
    return describe_preprocess(model.preprocesses[index]) if model.preprocesses else {}


def constant_notes(model: KycModel) -> tuple[str, ...]:
    """What a variant says about the inputs that became constants of it."""
    given = [f"{name}={coerce.shown(value)}" for name, value in model.constants.items()]
    if not given:
        return ()
    return (f"contains {listed(given)}, and {NOT_FED}",)


def describe_preprocess(spec: Preprocess) -> dict[str, Any]:
    """Plain values that describe a preprocessing.

    Raises:
        SpecError: it is a function that uses something whose changes would go unnoticed.
    """
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    # Goldens from before these fields existed are still true.
    usual_values = (("fit", "stretch"), ("pad", 114), ("function", None), ("standardize", False))
    for name, usual in usual_values:
        if values[name] == usual:
            del values[name]
    if spec.function is not None:
        values["function"] = function_digest(spec.function, "Preprocess.function")
    return values


def fp32_notes(loaded: LoadedModel) -> list[str]:
    """What a reader of a report should know about an FP32 file."""
    notes = []
    if loaded.subnormal_weights:
        notes.append(
            f"{loaded.subnormal_weights:,} weights of FP32 are subnormal, which makes it several "
            "times slower on some CPUs: part of a speed-up may come from that alone"
        )
    if loaded.half_precision:
        notes.append(
            f"all weights of FP32 are exact in {loaded.half_precision}: it was trained in half "
            "precision, or converted to it and back, and nothing here can tell which"
        )
    if loaded.feeding.batch > 1:
        notes.append(
            f"each run takes {loaded.feeding.batch} images, and latency is that of a run; copies "
            "of the last image fill up the last run"
        )
    return notes
