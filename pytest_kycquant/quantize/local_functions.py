"""Functions of a model: refuse those that are not what runs, and expand the others."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.files import listed
from ..errors import ModelError, one_line
from ..runtimes.model_files import parts, subgraphs, within
from ..spec.coerce import shown
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

    Key = tuple[str, str, str]

_ONNXRUNTIME = ("com.microsoft", "com.ms")
_CAST_LIKE = "CastLike"
_REMEDY = "export the model without functions"


def check_functions(path: Path, proto: ModelProto) -> None:
    """Refuse local functions whose content is not what a runtime computes.

    onnxruntime prefers its own kernel to a function with the name of an operator. In the domains of
    ONNX it calls no function at all.

    Raises:
        ModelError: a function has the name of an operator, or a subgraph as an attribute.
    """
    for function in proto.functions:
        domain = function.domain
        of_onnx = domain in STANDARD or domain.startswith("ai.onnx.")
        if of_onnx or (domain.startswith(_ONNXRUNTIME) and is_operator(domain, function.name)):
            raise ModelError(
                path,
                f"defines the function {shown(function.name)} in the domain "
                f"{shown(domain or 'ai.onnx')}, whose operators onnxruntime prefers to functions",
                "give the function a domain of its own, or remove it",
            )
    names = {_key_of(function) for function in proto.functions}
    called = (node for part in parts(proto) for node in part.node if key_of_call(node) in names)
    given = (attribute for node in called for attribute in node.attribute)
    defaults = (default for function in proto.functions for default in function.attribute_proto)
    if any(each.HasField("g") or each.graphs for each in (*given, *defaults)):
        raise ModelError(path, "passes a subgraph to a local function", _REMEDY)


@cache
def _operators_of_onnxruntime() -> frozenset[tuple[str, str]] | None:
    """Domains and types of its operators; None if this version does not tell."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
    except ImportError:
        return None
    return frozenset((schema.domain, schema.name) for schema in get_all_operator_schema())


def is_operator(domain: str, name: str) -> bool:
    """Whether onnxruntime has an operator; True if this version does not tell."""
    known = _operators_of_onnxruntime()
    return known is None or (domain, name) in known


def inlined(path: Path, proto: ModelProto) -> ModelProto:
    """A model with all local functions expanded.

    Only operators that are the same in the versions of the function and of the model pass
    onnx.checker, so the expanded model computes the same.

    Args:
        path: the file, for messages.
        proto: a valid model that passes `check_functions` and whose functions do not call
            themselves.

    Raises:
        ModelError: a function cannot be expanded.
    """
    if not proto.functions:
        return proto
    from onnx import inliner

    copy = type(proto)()
    copy.CopyFrom(proto)
    versions = {opset.domain: opset.version for opset in proto.opset_import}
    for function in copy.functions:
        # A function with another version would be left out, but the checker of ONNX accepts only
        # operators that are the same in both.
        for opset in function.opset_import:
            if opset.domain in versions:
                opset.version = versions[opset.domain]
            else:
                copy.opset_import.append(opset)
                versions[opset.domain] = opset.version
    _give_defaults(path, copy)
    try:
        found = inliner.inline_local_functions(copy)
    except Exception as error:
        problem = f"its local functions cannot be expanded ({one_line(error)})"
        raise ModelError(path, problem, _REMEDY) from error
    if found.functions:
        _refuse(path, [function.name for function in found.functions])
    return found


def with_casts(proto: ModelProto) -> ModelProto:
    """A model with Cast in place of CastLike, a function of ONNX that hides what it casts to.

    Args:
        proto: a valid model without local functions. A CastLike stays if its type is not known.
    """
    if not any(node.op_type == _CAST_LIKE for part in parts(proto) for node in part.node):
        return proto
    from onnx import shape_inference

    copy = type(proto)()
    copy.CopyFrom(proto)
    for part in within(copy.graph):
        del part.value_info[:]  # what the file claims of its tensors may be wrong
    with contextlib.suppress(Exception):  # types of constants are known without it
        copy = shape_inference.infer_shapes(copy)
    _resolve_casts(copy.graph, {})
    return copy


def _resolve_casts(part: GraphProto, outside: Mapping[str, int]) -> None:
    from onnx import helper

    infos = (*part.input, *part.value_info, *part.output)
    kinds = {**outside, **{info.name: info.type.tensor_type.elem_type for info in infos}}
    kinds.update((tensor.name, tensor.data_type) for tensor in part.initializer)
    for node in part.node:
        kind = kinds.get(node.input[1], 0) if node.op_type == _CAST_LIKE else 0
        if kind and node.domain in STANDARD:
            node.op_type = "Cast"
            del node.input[1]
            node.attribute.append(helper.make_attribute("to", kind))
        for subgraph in subgraphs(node):
            _resolve_casts(subgraph, kinds)


def _give_defaults(path: Path, proto: ModelProto) -> None:
    """Write defaults of attributes into the calls that leave them out, as the inliner does not."""
    defaults = {
        _key_of(function): {default.name: default for default in function.attribute_proto}
        for function in proto.functions
    }
    callers = [(None, proto.graph), *((_key_of(each), each) for each in proto.functions)]
    calls = [
        (caller, node)
        for caller, whole in callers
        for part in within(whole)
        for node in part.node
        if key_of_call(node) in defaults
    ]
    for _, node in calls:
        given = {attribute.name for attribute in node.attribute}
        wanted = defaults[key_of_call(node)]
        node.attribute.extend(wanted[name] for name in wanted.keys() - given)
    # Attributes that a function must be given, because it passes them on in place of a default.
    needed = {
        (caller, attribute.ref_attr_name)
        for caller, node in calls
        for attribute in node.attribute
        if attribute.ref_attr_name and attribute.name in defaults[key_of_call(node)]
    }
    waiting = list(needed)
    while waiting:
        function, name = waiting.pop()
        for caller, node in calls:
            if key_of_call(node) != function:
                continue
            found = next((a for a in node.attribute if a.name == name), None)
            if found is None:
                _refuse(path, [node.op_type])
            elif found.ref_attr_name and (caller, found.ref_attr_name) not in needed:
                needed.add((caller, found.ref_attr_name))
                waiting.append((caller, found.ref_attr_name))


def _refuse(path: Path, names: list[str]) -> None:
    problem = f"its local functions cannot be expanded ({listed([shown(name) for name in names])})"
    raise ModelError(path, problem, _REMEDY)


def key_of_call(node: NodeProto) -> Key:
    """The key of the function that an operator calls, if there is one."""
    return node.domain, node.op_type, getattr(node, "overload", "")


def _key_of(function: FunctionProto) -> Key:
    return function.domain, function.name, getattr(function, "overload", "")
