"""Faults of a file that would crash the libraries that read models, found before they see it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..runtimes.model_files import LARGEST, parts, tensors, within
from ..spec.coerce import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import FunctionProto, GraphProto, ModelProto, TensorProto

    Key = tuple[str, str, str]

_DEEPEST = 64  # calls of local functions within each other; libraries follow them by recursion
_MOST_NODES = 1_000_000  # operators after all local functions are expanded
_MOST_AXES = 32
_EXPORT = "export the model again"
_SMALL = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}  # bits of an element
_BYTES = {
    "FLOAT": 4, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "INT32": 4, "INT64": 8, "BOOL": 1,
    "FLOAT16": 2, "DOUBLE": 8, "UINT32": 4, "UINT64": 8, "COMPLEX64": 8, "COMPLEX128": 16,
    "BFLOAT16": 2, "FLOAT8E4M3FN": 1, "FLOAT8E4M3FNUZ": 1, "FLOAT8E5M2": 1, "FLOAT8E5M2FNUZ": 1,
    "FLOAT8E8M0": 1,
}  # fmt: skip
_FIELDS = {
    "float_data": ("FLOAT", "COMPLEX64"),
    "double_data": ("DOUBLE", "COMPLEX128"),
    "int64_data": ("INT64",),
    "uint64_data": ("UINT32", "UINT64"),
    "string_data": ("STRING",),
}


def check_structure(path: Path, proto: ModelProto) -> None:
    """Check what libraries take for granted.

    Args:
        path: the file, for messages.
        proto: the model, with its external data inside.

    Raises:
        ModelError: a name is not UTF-8, a constant has another size than its dimensions say, or
            local functions call each other in a circle, too deeply or too often.
    """
    _check_names(path, proto)
    for name, tensor in tensors(parts(proto)):
        if problem := _wrong_size(tensor):
            raise ModelError(path, f"weight {shown(name)} {problem}", _EXPORT)
    _check_functions(path, proto)


def _check_names(path: Path, proto: ModelProto) -> None:
    for part in parts(proto):
        for text in _names(part):
            if not isinstance(text, str):  # what protobuf gives if the bytes are not UTF-8
                raise ModelError(path, f"the name {shown(text)} is not UTF-8", _EXPORT)


def _names(part: GraphProto | FunctionProto) -> Iterator[Any]:
    yield part.name
    for item in (*part.input, *part.output):
        yield getattr(item, "name", item)
    for tensor in getattr(part, "initializer", ()):
        yield tensor.name
    for sparse in getattr(part, "sparse_initializer", ()):
        yield sparse.values.name
    for info in getattr(part, "value_info", ()):
        yield info.name
    for node in part.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)


def _wrong_size(tensor: TensorProto) -> str:
    """What is wrong with the size of a constant; "" if nothing is."""
    from onnx import TensorProto

    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
    except ValueError:
        return f"has the unknown type {tensor.data_type}"
    if kind == "UNDEFINED":
        return "has no type"
    if len(tensor.dims) > _MOST_AXES:
        return f"is damaged: it has {len(tensor.dims)} dimensions"
    if min(tensor.dims, default=0) < 0 or max(tensor.dims, default=0) > LARGEST:
        return "is damaged: it has a negative or very large dimension"
    count = math.prod(tensor.dims)
    if tensor.HasField("raw_data") and kind != "STRING":
        bits = _SMALL.get(kind) or 8 * _BYTES.get(kind, 0)
        found, wanted = len(tensor.raw_data), (count * bits + 7) // 8
        unit = "bytes"
        if not bits:
            return ""  # a later type, which the checks of precision refuse
    else:
        field = next((name for name, kinds in _FIELDS.items() if kind in kinds), "int32_data")
        found, wanted, unit = len(getattr(tensor, field)), count, "values"
        if kind in _SMALL:
            wanted = (count * _SMALL[kind] + 7) // 8
        elif kind.startswith("COMPLEX"):
            wanted = 2 * count
    if found == wanted:
        return ""
    shape = "x".join(map(str, tensor.dims))[:60] or "one value"
    return f"is damaged: its shape ({shape}) does not fit {found} {unit}"


def _check_functions(path: Path, proto: ModelProto) -> None:
    """Local functions must not call each other in a circle, and their expansion must be small."""
    functions: dict[Key, FunctionProto] = {}
    for function in proto.functions:
        key = (function.domain, function.name, getattr(function, "overload", ""))
        if key in functions:
            raise ModelError(path, f"defines the function {shown(function.name)} twice", _EXPORT)
        functions[key] = function
    if not functions:
        return
    calls = {key: _calls(function, functions) for key, function in functions.items()}
    sizes = {key: _count(function) for key, function in functions.items()}
    depths: dict[Key, int] = {}
    for start in functions:
        if start in depths:
            continue
        stack, entered = [(start, iter(calls[start]))], {start}
        while stack:
            key, waiting = stack[-1]
            called = next(waiting, None)
            if called is None:
                depths[key] = 1 + max((depths[other] for other in calls[key]), default=0)
                sizes[key] += sum(sizes[other] * times for other, times in calls[key].items())
                sizes[key] = min(sizes[key], 2 * _MOST_NODES)
                entered.remove(key)
                stack.pop()
            elif called in entered:
                raise ModelError(
                    path,
                    f"its function {shown(called[1])} calls itself",
                    "export the model without recursive functions",
                )
            elif called not in depths:
                stack.append((called, iter(calls[called])))
                entered.add(called)
    total = _count(proto.graph)
    total += sum(sizes[called] * times for called, times in _calls(proto.graph, functions).items())
    deepest = max(depths.values())
    if deepest > _DEEPEST or max(total, *sizes.values()) > _MOST_NODES:
        raise ModelError(
            path,
            f"its functions are nested {deepest} deep, or expand to too many operators",
            f"export it without functions; {_DEEPEST} levels and {_MOST_NODES:,} operators are "
            "supported",
        )


def _calls(part: GraphProto | FunctionProto, functions: Mapping[Key, Any]) -> Counter[Key]:
    """How often a graph or function calls each local function itself, also in its subgraphs."""
    found: Counter[Key] = Counter()
    for inner in within(part):
        for node in inner.node:
            key = (node.domain, node.op_type, getattr(node, "overload", ""))
            if key in functions:
                found[key] += 1
    return found


def _count(part: GraphProto | FunctionProto) -> int:
    return sum(len(inner.node) for inner in within(part))
