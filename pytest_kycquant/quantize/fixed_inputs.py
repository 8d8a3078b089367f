"""Inputs that never change, such as `phase_train`, become constants of the graph.

Quantization needs that: weights behind an input of the model are not constant. A variant therefore
no longer has these inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.files import listed
from ..errors import ModelError
from ..spec.coerce import did_you_mean, shown
from .model_inputs import Input, inputs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto


def fix_inputs(
    path: Path, proto: ModelProto, constants: Mapping[str, Any]
) -> tuple[ModelProto, dict[str, NDArray[Any]]]:
    """Turn inputs into constants.

    Args:
        path: the file, for messages.
        proto: the model; it is not changed.
        constants: value of each such input, by its name: a scalar, or an array of its shape.

    Returns:
        The model without these inputs, and their values in the type and shape of the inputs.

    Raises:
        ModelError: the model lacks such an input, or the value does not fit it.
    """
    from onnx import numpy_helper

    if not constants:
        return proto, {}
    known = {each.name: each for each in inputs_of(proto.graph)}
    stored = {info.name for info in proto.graph.input} - known.keys()
    found = {}
    for name, value in constants.items():
        where = f"KycModel(constants={{{name!r}: ...}})"
        if name in stored:
            raise ModelError(
                path,
                f"stores a value for its input {shown(name)}, so {where} has no effect",
                "leave it out, or change the value in the file",
            )
        if name not in known:
            raise ModelError(
                path,
                f"has no input {shown(name)}, which {where} names",
                did_you_mean(name, known) or f"its inputs are {listed([*known])}",
            )
        found[name] = _fitted(path, known[name], np.asarray(value))
    fixed = type(proto)()
    fixed.CopyFrom(proto)
    fixed.ir_version = max(fixed.ir_version, 4)  # before, every constant was also an input
    kept = [info for info in fixed.graph.input if info.name not in found]
    del fixed.graph.input[:]
    fixed.graph.input.extend(kept)
    fixed.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in found.items())
    return fixed, found


def _fitted(path: Path, wanted: Input, value: NDArray[Any]) -> NDArray[Any]:
    """A value in the type and shape of an input."""
    where = f"input {shown(wanted.name)}"
    kind = np.dtype(wanted.dtype) if wanted.dtype and wanted.dtype != "string" else None
    if kind is None:
        raise ModelError(
            path,
            f"{where} is {wanted.dtype or 'of a type that numpy lacks'}, which cannot be fixed",
            "export the model without this input",
        )
    alike = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}.get(kind.kind, "")
    if value.dtype.kind not in alike:
        raise ModelError(
            path,
            f"{where} is {kind}, but its constant is {shown(value.tolist())}",
            "give True or False" if kind.kind == "b" else f"give a value of the type {kind}",
        )
    with np.errstate(over="ignore"):
        typed = value.astype(kind)
    whole = kind.kind != "f"
    if not (np.array_equal(typed, value) if whole else bool(np.isfinite(typed).all())):
        raise ModelError(
            path,
            f"{where} is {kind}, which cannot hold its constant {shown(value.tolist())}",
            f"give a value within the range of {kind}",
        )
    dims = wanted.shape
    if dims is None or typed.ndim == len(dims):
        pairs = zip(dims or typed.shape, typed.shape, strict=True)
        if all(n in (None, m) for n, m in pairs):
            return typed
    elif not typed.ndim:
        return np.full([n or 1 for n in dims], typed)
    raise ModelError(
        path,
        f"{where} is {wanted.text}, but its constant has shape {typed.shape}",
        "give one number, or an array of the shape of the input",
    )
