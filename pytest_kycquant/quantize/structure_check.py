"""Faults of a file that would crash the libraries that read models, found before they see it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..runtimes.model_files import LARGEST, parts, subgraphs, tensors, within
from ..spec.coerce import shown
from .graph import type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

    Key = tuple[str, str, str]

# Libraries follow calls and subgraphs by recursion. onnxruntime 1.20 takes twice as long for each
# further level of subgraphs.
_MOST_CALLS = 64
_MOST_NESTED = 12
_MOST_OPERATORS = 250_000
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
        ModelError: a name is not UTF-8, a constant has another size than its dimensions say, local
            functions call themselves, or the graph is too deep or too large.
    """
    _check_names(path, proto)
    for name, tensor in tensors(parts(proto)):
        if problem := _wrong_size(tensor):
            raise ModelError(path, f"weight {shown(name)} {problem}", _EXPORT)
    _check_extent(path, proto)


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
    yield from getattr(part, "attribute", ())
    yield from (default.name for default in getattr(part, "attribute_proto", ()))
    for node in part.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)


def _wrong_size(tensor: TensorProto) -> str:
    """What is wrong with the size of a constant; "" if nothing is."""
    kind = type_name(tensor.data_type)
    if kind.startswith("TYPE "):
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


@dataclass(frozen=True)
class _Extent:
    """What a graph or function is once all local functions that it calls are expanded.

    Args:
        calls: number of functions that call each other, at most.
        nesting: number of subgraphs within each other, at most.
        operators: number of operators.
    """

    calls: int
    nesting: int
    operators: int


def _check_extent(path: Path, proto: ModelProto) -> None:
    """Local functions must not call each other in a circle; all of it must have bounds."""
    functions: dict[Key, FunctionProto] = {}
    for function in proto.functions:
        key = (function.domain, function.name, getattr(function, "overload", ""))
        if key in functions:
            raise ModelError(path, f"defines the function {shown(function.name)} twice", _EXPORT)
        functions[key] = function
    extents: dict[Key, _Extent] = {}
    for key in _callees_first(path, functions):
        extents[key] = _extent(functions[key], extents)
    whole = _extent(proto.graph, extents)
    every = (whole, *extents.values())
    for what, found, most in (
        ("functions call each other", max(each.calls for each in every), _MOST_CALLS),
        ("subgraphs are nested", max(each.nesting for each in every), _MOST_NESTED),
    ):
        if found > most:
            raise ModelError(
                path, f"its {what} {found} deep", f"export a flat graph; {most} are supported"
            )
    if max(each.operators for each in every) > _MOST_OPERATORS:
        raise ModelError(
            path,
            f"has more than {_MOST_OPERATORS:,} operators, with its functions expanded",
            "export the model again without the functions, and look at what they repeat",
        )


def _callees_first(path: Path, functions: Mapping[Key, FunctionProto]) -> Iterator[Key]:
    """Keys of functions, each after those that it calls."""
    calls = {
        key: {
            _key(node)
            for inner in within(function)
            for node in inner.node
            if _key(node) in functions
        }
        for key, function in functions.items()
    }
    done: set[Key] = set()
    for start in functions:
        if start in done:
            continue
        stack, entered = [(start, iter(calls[start]))], {start}
        while stack:
            key, waiting = stack[-1]
            called = next(waiting, None)
            if called is None:
                done.add(key)
                entered.remove(key)
                stack.pop()
                yield key
            elif called in entered:
                raise ModelError(
                    path,
                    f"its function {shown(called[1])} calls itself",
                    "export the model without recursive functions",
                )
            elif called not in done:
                stack.append((called, iter(calls[called])))
                entered.add(called)


def _extent(part: GraphProto | FunctionProto, known: Mapping[Key, _Extent]) -> _Extent:
    """The extent of a graph or function, from those of the functions that it calls."""
    calls = nesting = operators = 0
    stack: list[tuple[GraphProto | FunctionProto, int]] = [(part, 0)]
    while stack:
        inner, level = stack.pop()
        nesting = max(nesting, level)
        for node in inner.node:
            operators += 1
            if (called := known.get(_key(node))) is not None:
                calls = max(calls, 1 + called.calls)
                nesting = max(nesting, level + called.nesting)
                operators += called.operators
            stack += [(subgraph, level + 1) for subgraph in subgraphs(node)]
    return _Extent(calls, nesting, min(operators, 2 * _MOST_OPERATORS))


def _key(node: NodeProto) -> Key:
    return node.domain, node.op_type, getattr(node, "overload", "")
