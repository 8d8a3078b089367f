"""Exact rewrites of the FP32 graph: the same function in operators that have faster kernels.

Each is verified on real inputs before it is used. Whether it is faster depends on the version of
onnxruntime and on the CPU, so `rewrite_choice.py` decides by measuring.
"""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import QuantizationError
from ..spec.recipe import REWRITES, Rewrite
from .equal import Errors, largest_difference
from .graph import consumers, initializers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

    from ..runtimes.feeding import Sample
    from .preparation import PreparedModel

_TOLERANCE = 1e-5
"""Relative to the largest magnitude of an output: about a hundred roundings of float32."""
_ABSOLUTE = 1e-7
_SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


class Edit(NamedTuple):
    """Changes that a rewrite made to a graph; the fields are those of `PreparedModel`."""

    parts: dict[str, tuple[str, ...]]
    bounds: dict[str, tuple[str, float]]


def rewrite(
    prepared: PreparedModel,
    names: Sequence[str],
    inputs: Sequence[Sample],
    *,
    integer: bool = False,
) -> PreparedModel:
    """Apply rewrites to a prepared model and verify that it still computes the same.

    Args:
        prepared: the prepared FP32 model; it is not changed.
        names: names of rewrites in `REWRITES`.
        inputs: preprocessed images, each of the model's input shape; a handful suffices.
        integer: whether the convolutions are to be quantized; other operators are faster then.

    Raises:
        QuantizationError: a rewrite does not fit anything in the model, or the outputs change.
    """
    from onnx import shape_inference

    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    parts: dict[str, tuple[str, ...]] = {}
    bounds: dict[str, tuple[str, float]] = {}
    # In the order of REWRITES: the last rewrite of an operator determines its parts.
    for name, step in REWRITES.items():
        if name not in names:
            continue
        edit = _apply(step, proto.graph, integer)
        if not edit.parts:
            raise QuantizationError(
                prepared.path,
                f"rewrites names {name!r}, which does not apply to this model",
                f"use only rewrites that apply: {', '.join(applicable(prepared)) or 'none'}",
            )
        parts |= edit.parts
        bounds |= edit.bounds
    proto = shape_inference.infer_shapes(proto)
    difference = _verify(prepared, proto, inputs)
    return replace(prepared, proto=proto, max_difference=difference, parts=parts, bounds=bounds)


def applicable(prepared: PreparedModel) -> tuple[str, ...]:
    """Names of the rewrites that have something to rewrite in a model."""
    found = []
    for name, step in REWRITES.items():
        graph = type(prepared.proto.graph)()
        graph.CopyFrom(prepared.proto.graph)
        if _apply(step, graph, False).parts:
            found.append(name)
    return tuple(found)


def _apply(step: Rewrite, graph: GraphProto, integer: bool) -> Edit:
    edit = pkgutil.resolve_name(step.apply)(graph, integer)
    if not isinstance(edit, Edit):
        raise TypeError(f"the rewrite {step.apply} returned {type(edit).__name__}, not an Edit")
    return edit


def nothing_to_rewrite(where: object, tried: str = "") -> QuantizationError:
    """Error for an FP32 model that no rewrite makes faster; `tried` lists those measured."""
    return QuantizationError(
        where,
        f"nothing to rewrite: FP32 is as fast as it gets{f' ({tried})' if tried else ''}",
        "leave out fp32-optimized, or force rewrites: Recipe(..., rewrites=True)",
    )


def split_prelu(graph: GraphProto, integer: bool) -> Edit:
    """Write each PReLU with constant slopes s as ``(1 - s) * Relu(x) + s * x``.

    This is exact for slopes of any shape and value, including negative ones and those above 1.
    onnxruntime's kernel of PRelu became four times slower in 1.27. Between convolutions, Relu, Mul
    and Add also keep their blocked layout. Quantized convolutions do not have such a layout:
    between them ``Max(x, s * x)`` is faster, and it is the same if no slope is above 1.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = initializers(graph)
    fresh = _Names(graph)
    rest: dict[str, str] = {}  # slopes -> 1 - slopes
    edit = Edit({}, {})
    nodes: list[NodeProto] = []
    for node in graph.node:
        slopes = weights.get(node.input[1]) if node.op_type == "PRelu" else None
        if slopes is None or slopes.data_type != TensorProto.FLOAT:
            nodes.append(node)
            continue
        s = numpy_helper.to_array(slopes).astype(np.float64)
        x, y, number = node.input[0], node.output[0], len(edit.parts)
        # Short names: in a small model, long ones would make up most of the added bytes.
        below = fresh(f"prelu{number}_below")
        edit.bounds[below] = (x, _largest(s))
        made = [
            helper.make_node("Mul", [x, slopes.name], [below], fresh(f"{node.name}/below")),
        ]
        if integer and (s <= 1).all():
            made.append(helper.make_node("Max", [x, below], [y], fresh(f"{node.name}/max")))
        else:
            if slopes.name not in rest:
                rest[slopes.name] = fresh(f"prelu{number}_rest")
                array = (1 - s).astype(np.float32)
                graph.initializer.append(numpy_helper.from_array(array, rest[slopes.name]))
            relu, above = fresh(f"prelu{number}_relu"), fresh(f"prelu{number}_above")
            edit.bounds.update({relu: (x, 1.0), above: (x, _largest(1 - s))})
            factors = [relu, rest[slopes.name]]
            made += [
                helper.make_node("Relu", [x], [relu], fresh(f"{node.name}/relu")),
                helper.make_node("Mul", factors, [above], fresh(f"{node.name}/above")),
                helper.make_node("Add", [above, below], [y], fresh(f"{node.name}/add")),
            ]
        nodes += made
        edit.parts[node.name] = tuple(part.name for part in made)
    if edit.parts:
        del graph.node[:]
        graph.node.extend(nodes)
    return edit


def fast_prelu(graph: GraphProto) -> None:
    """Replace each PReLU with constant slopes by operators that give the same bits, in place.

    onnxruntime's kernel of PRelu is slow (see `split_prelu`), and calibration runs a model on
    hundreds of images. If no slope s is above 1, ``Max(x, s * x)`` rounds the same product. Any
    other is ``Relu(x) + s * Min(x, 0)``, where one of the two is zero.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = initializers(graph)
    fresh = _Names(graph)
    nodes: list[NodeProto] = []
    zero = ""
    for node in graph.node:
        slopes = weights.get(node.input[1]) if node.op_type == "PRelu" else None
        if slopes is None or slopes.data_type != TensorProto.FLOAT:
            nodes.append(node)
            continue
        x, y, s = node.input[0], node.output[0], slopes.name
        below = fresh("prelu_below")
        if (numpy_helper.to_array(slopes) <= 1).all():
            nodes.append(helper.make_node("Mul", [x, s], [below]))
            nodes.append(helper.make_node("Max", [x, below], [y]))
            continue
        if not zero:
            zero = fresh("prelu_zero")
            graph.initializer.append(numpy_helper.from_array(np.float32(0), zero))
        above, negative = fresh("prelu_above"), fresh("prelu_negative")
        nodes += [
            helper.make_node("Relu", [x], [above]),
            helper.make_node("Min", [x, zero], [negative]),
            helper.make_node("Mul", [negative, s], [below]),
            helper.make_node("Add", [above, below], [y]),
        ]
    if len(nodes) > len(graph.node):
        nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(nodes)


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def flush_subnormals(graph: GraphProto, integer: bool) -> Edit:
    """Set weights closer to zero than 1.2e-38 to zero.

    Some CPUs multiply such numbers many times more slowly. With 10,000 of them in a graph, each
    multiplied by an activation of 1,000, the change is below 1e-30.
    """
    from onnx import numpy_helper

    read = consumers(graph)
    edit = Edit({}, {})
    for tensor in graph.initializer:
        if tensor.name not in read or not _has_subnormals(tensor):
            continue
        array = numpy_helper.to_array(tensor)
        flushed = np.where(np.abs(array) < _SMALLEST_NORMAL, np.float32(0), array)
        tensor.CopyFrom(numpy_helper.from_array(flushed, tensor.name))
        edit.parts.update({node.name: (node.name,) for node in read[tensor.name]})
    return edit


def _has_subnormals(tensor: TensorProto) -> bool:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return False
    array = numpy_helper.to_array(tensor)
    return bool(((array != 0) & (np.abs(array) < _SMALLEST_NORMAL)).any())


class _Names:
    """Hands out names that no operator or tensor of a graph has."""

    def __init__(self, graph: GraphProto) -> None:
        self._taken = {tensor.name for tensor in graph.initializer}
        self._taken.update(info.name for info in (*graph.input, *graph.output))
        pending = [graph]
        while pending:  # names in subgraphs are taken, too
            for node in pending.pop().node:
                self._taken.update((node.name, *node.input, *node.output))
                for attribute in node.attribute:
                    pending.extend([*attribute.graphs, attribute.g])

    def __call__(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _verify(prepared: PreparedModel, proto: ModelProto, inputs: Sequence[Sample]) -> float:
    """Return the largest absolute difference between the outputs of both."""
    if not inputs:
        raise QuantizationError(
            prepared.path, "there are no inputs to verify the rewritten graph with", "give images"
        )

    def refused(problem: str) -> QuantizationError:
        return QuantizationError(prepared.path, problem, "set rewrites=False in its recipes")

    def not_run(reason: str) -> QuantizationError:
        return refused(f"onnxruntime cannot run its rewritten graph ({reason})")

    return largest_difference(
        prepared.proto,
        proto,
        prepared.inputs,
        inputs,
        relative=_TOLERANCE,
        absolute=_ABSOLUTE,
        errors=Errors(
            before=not_run,
            after=not_run,
            changed=lambda change: refused(f"{change} when the graph was rewritten"),
        ),
    )
