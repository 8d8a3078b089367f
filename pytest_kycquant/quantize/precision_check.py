"""Is it an FP32 model? Checks of what it computes with, and of how its weights are stored.

A quantized model that is taken for FP32 becomes the golden, and everything is then compared with
what quantization has already damaged. Each check is a function of its own, so that a file of which
it is known that it is quantized can pass the others.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..runtimes.model_files import parts, tensors
from ..spec.coerce import shown
from .graph import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, NodeProto

    from .weight_sources import Source, Weight

_INTEGER_OPERATORS = re.compile(
    "[Qq]uantize|Integer|NBits|Bnb4|FpQ4|Float8|BFP|^QLinear|^QOrdered|^Q[A-Z]"
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_WIDE = frozenset({"INT32", "INT64", "UINT32", "UINT64", "BOOL", "STRING"})  # rarely weights
_INTEGERS = frozenset({"INT8", "UINT8", "INT16", "UINT16"})  # never weights of an FP32 model
_COMPLEX = frozenset({"COMPLEX64", "COMPLEX128"})
_BITS = {"FLOAT16": "16 bits", "BFLOAT16": "16 bits"}
_MANY = 32  # constants of a wide type with fewer values are settings, such as a kernel of a filter
_ROUNDING = frozenset(
    {
        "Round", "Floor", "Ceil", "Sign", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
        "BitwiseNot", "BitCast", "Binarizer", "Mod", "CastLike",  # the last to an unknown type
    }
)  # fmt: skip
_REMEDY = "give the FP32 model from which it was made"


def check_operators(path: Path, proto: ModelProto) -> None:
    """Refuse operators that compute with quantized numbers.

    Raises:
        ModelError: the model has such an operator, also in a subgraph.
    """
    for part in parts(proto):
        for node in part.node:
            if _INTEGER_OPERATORS.search(node.op_type):
                raise ModelError(
                    path, f"is already quantized: it contains {shown(node.op_type)}", _REMEDY
                )


def check_stored_types(path: Path, proto: ModelProto) -> None:
    """Refuse constants in half precision or less, wherever they are.

    Raises:
        ModelError: the model has such a constant.
    """
    for name, tensor in tensors(parts(proto)):
        kind = type_name(tensor.data_type)
        if kind not in _FLOATS | _WIDE | _INTEGERS | _COMPLEX:
            size = f"has {_BITS[kind]}" if kind in _BITS else f"is stored as {kind.lower()}"
            remedy = _REMEDY
            if kind == "BFLOAT16":  # in which models are trained, unlike float16
                size += " (bfloat16)"
                remedy += ", or the trained weights cast to float32 if there is no such model"
            raise ModelError(path, f"is not FP32: weight {shown(name)} {size}", remedy)


def check_stored_weights(path: Path, weights: Iterable[Weight]) -> None:
    """Refuse weights that are stored in few bits and turned into floats by any operators.

    Args:
        path: the file, for messages.
        weights: all weights of the model.

    Raises:
        ModelError: a constant from which a weight is computed is not float32 or float64, or the
            weight is rounded on the way.
    """
    for weight in weights:
        reader = f"of {weight.node.op_type}"
        rounding = weight.certain and _rounding(weight.steps)
        if rounding and any(_count(source) > 1 for source in weight.sources):
            raise ModelError(
                path,
                f"is already quantized: weight {shown(weight.name)} {reader} is rounded by "
                f"{rounding}",
                _REMEDY,
            )
        for source in weight.sources:
            kind = type_name(source.tensor.data_type)
            if _is_code(weight, source, kind):
                how = f"comes from {shown(source.name)}, which is stored as {kind.lower()}"
                if source.rows is not None:
                    how = f"is looked up in a table by the indices {shown(source.name)}"
                raise ModelError(
                    path,
                    f"is already quantized: weight {shown(weight.name)} {reader} {how}",
                    _REMEDY,
                )


def _is_code(weight: Weight, source: Source, kind: str) -> bool:
    """Whether a source of a weight is what a quantizer stores in place of the weight."""
    count = _count(source)
    if source.rows is not None and weight.certain and count > source.rows and count >= _MANY:
        return True
    if kind in _FLOATS:
        return False
    if kind not in _WIDE:
        return count >= (2 if weight.certain else _MANY)
    if not weight.certain or source.rows is not None or count < _MANY:
        return False
    floats = (_count(s) for s in weight.sources if type_name(s.tensor.data_type) in _FLOATS)
    return kind != "BOOL" or max(floats, default=0) < count  # else it is a mask of the weight


def _rounding(steps: Iterable[NodeProto]) -> str:
    """Type of the first operator that rounds values; "" if none does."""
    for node in steps:
        if node.op_type in _ROUNDING and node.domain in ("", "ai.onnx", "ai.onnx.ml"):
            return str(node.op_type)
        if node.op_type == "Cast":
            kind = type_name(next((a.i for a in node.attribute if a.name == "to"), 1))
            if kind not in _FLOATS | _COMPLEX | {"BOOL", "STRING"}:
                return f"Cast to {kind.lower()}"
    return ""


def _count(source: Source) -> int:
    return int(math.prod(source.tensor.dims))
