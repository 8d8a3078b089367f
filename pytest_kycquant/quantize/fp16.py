"""FP16: half the size. FP32 ranges show what would overflow on an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .folding import untouched
from .graph import (
    consumers,
    copy_with_own_weights,
    float_tensors,
    initializers,
    producers,
)
from .half_sums import wide_sums
from .half_transposes import moved_batches
from .masks import masked_tensors
from .recipe_kind import Draft, Machine, RecipeKind, Scalar
from .weight_sources import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import ModelProto

    from ..spec.recipe import CalibrationMethod, Recipe
    from ..spec.runtime import Runtime
    from .preparation import PreparedModel
    from .recipe_kind import Request

HEADROOM = "FP16 headroom is"
"""How the note begins that warns of activations near the largest float16."""

_LARGEST = 65504.0
_ADVISED_HEADROOM = 10.0
# If two Resize read one tensor, the converter gives two operators the same name.
_BLOCKED = ("Resize",)


class HalfPrecision(RecipeKind):
    """Weights and activations in float16; inputs and outputs stay float32."""

    any_images = True  # only extremes are needed

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Return no options, since this kind has none, and the reason."""
        return {}, "inputs and outputs stay float32"

    def calibration(self, recipe: Recipe) -> tuple[CalibrationMethod, float | None]:
        """The extremes of every tensor, since a CPU computes in FP32 and never overflows."""
        return "minmax", None

    def make(self, request: Request) -> Draft:
        """Convert a model, and check that nothing would overflow.

        A CPU computes float16 models in float32, so running one cannot show an overflow, but the
        recorded FP32 extremes can. Operators whose sums may overflow inside stay in FP32.

        Raises:
            QuantizationError: a weight or an activation exceeds 65504.
        """
        from onnxruntime.transformers.float16 import (
            DEFAULT_OP_BLOCK_LIST,
            convert_float_to_float16,
        )

        prepared = request.source
        # Sizes and scales that are computed in half precision would be off by a pixel.
        kept = {*request.kept_parts, *untouched(prepared.proto.graph)}
        sums, moved = _wide_sums(request), moved_batches(prepared.proto.graph)
        kept |= sums.keys() | moved
        blocked = sorted({*DEFAULT_OP_BLOCK_LIST, *_BLOCKED, *_without_half(prepared.proto)})
        in_float = kept | {
            node.name for node in prepared.proto.graph.node if node.op_type in blocked
        }
        _check_weights(request, in_float)
        name, largest = _check_activations(request, in_float)
        proto = convert_float_to_float16(
            copy_with_own_weights(prepared.proto, kept),
            keep_io_types=True,
            op_block_list=blocked,
            node_block_list=sorted(kept),
        )
        _merge_casts(prepared, proto)
        present = sorted({n.op_type for n in prepared.proto.graph.node if n.op_type in blocked})
        headroom = _LARGEST / largest if largest else None
        notes = tuple(_sum_notes(prepared, sums))
        if others := len(moved.difference(request.kept_parts)):
            one = others == 1
            which = f"{others} Transpose{'' if one else 's'} before a MatMul"
            notes += (
                f"{which} {'stays' if one else 'stay'} in FP32: in float16 "
                f"{'it crashes' if one else 'they crash'} onnxruntime",
            )
        if headroom is not None and headroom < _ADVISED_HEADROOM:
            notes += (
                f"{HEADROOM} {headroom:.1f}: tensor {name!r} overflows if its values are "
                f"{headroom:.1f} times as large as on the calibration images",
            )
        facts: dict[str, Scalar] = {
            "blocked_op_types": ", ".join(present),
            "headroom": None if headroom is None else round(headroom, 2),
        }
        return Draft(proto, notes, facts)

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that read or write float16."""
        from onnx import TensorProto

        graph, of_16_bits = proto.graph, TensorProto.FLOAT16
        half = {tensor.name for tensor in graph.initializer if tensor.data_type == of_16_bits}
        for info in (*graph.value_info, *graph.output, *graph.input):
            if info.type.tensor_type.elem_type == of_16_bits:
                half.add(info.name)
        return {
            node.name
            for node in graph.node
            if node.op_type != "Cast" and half.intersection([*node.input, *node.output])
        }

    def notes(
        self, model: PreparedModel, content: bytes, counts: Mapping[str, int], runtime: Runtime
    ) -> tuple[str, ...]:
        """Return no notes, since operators within subgraphs are converted, too."""
        return ()


FP16 = HalfPrecision()


def _without_half(proto: ModelProto) -> set[str]:
    """Types of the operators that ONNX defines for float32 but not for float16, such as Celu."""
    from onnx import defs

    versions = [opset.version for opset in proto.opset_import if opset.domain in STANDARD]
    found = set()
    for node in proto.graph.node:
        if node.domain not in STANDARD or not defs.has(node.op_type, versions[0], ""):
            continue
        schema = defs.get_schema(node.op_type, versions[0], "")
        first = schema.inputs[0].types if schema.inputs else set()
        if "tensor(float)" in first and "tensor(float16)" not in first:
            found.add(node.op_type)
    return found


def _check_weights(request: Request, in_float: set[str]) -> None:
    from onnx import TensorProto, numpy_helper

    graph = request.source.proto.graph
    weights = initializers(graph)
    for name, readers in consumers(graph).items():
        tensor = weights.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            continue
        # A bound of a Clip beyond float16 becomes the largest float16, which no activation exceeds.
        converted = [
            node
            for node in readers
            if node.name not in in_float and not (node.op_type == "Clip" and name in node.input[1:])
        ]
        largest = float(np.max(np.abs(numpy_helper.to_array(tensor)), initial=0.0))
        if converted and largest > _LARGEST:
            raise QuantizationError(
                request.where,
                f"weight {name!r} of {converted[0].op_type} {converted[0].name!r} reaches "
                f"{largest:.4g}, above the largest float16, 65504",
                f"add {converted[0].name!r} to keep_fp32",
            )


def _check_activations(request: Request, in_float: set[str]) -> tuple[str, float]:
    """Return the largest activation that is stored in float16, and its tensor."""
    prepared = request.source
    written, read = producers(prepared.proto.graph), consumers(prepared.proto.graph)
    extremes = {name: max(-low, high) for name, (low, high) in _extremes(request).items()}
    operator = {part: name for name, parts in prepared.parts.items() for part in parts}
    largest = ("", 0.0)
    masks = masked_tensors(prepared.proto.graph)  # of the scores in them, the sources tell
    for name in float_tensors(prepared.proto.graph):
        if name not in extremes:
            raise QuantizationError(
                request.where,
                f"tensor {name!r} has no calibrated range: the ranges are those of another model",
                "calibrate this model",
            )
        # A tensor stays in float32 only if its writer and all its readers do.
        touching = [written[name]] if name in written else []
        touching += read.get(name, [])
        converted = [
            operator.get(node.name, node.name) for node in touching if node.name not in in_float
        ]
        if not converted or (name in masks and extremes[name] <= _LARGEST):
            continue
        if extremes[name] > _LARGEST:
            source = (
                f" of {written[name].op_type} {written[name].name!r}" if name in written else ""
            )
            raise QuantizationError(
                request.where,
                f"tensor {name!r}{source} reaches {extremes[name]:.4g}, above the largest "
                "float16, 65504",
                f"add {', '.join(map(repr, dict.fromkeys(converted)))} to keep_fp32",
            )
        largest = max(largest, (name, extremes[name]), key=lambda found: found[1])
    return largest


def _extremes(request: Request) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each activation; bounds for those that a rewrite added."""
    prepared, ranges = request.source, request.ranges
    assert ranges is not None
    ends = zip(ranges.low.tolist(), ranges.high.tolist(), strict=True)
    found = dict(zip(ranges.names, ends, strict=True))
    for name, (source, factor) in prepared.bounds.items():
        if source in found:
            reach = factor * max(-found[source][0], found[source][1])
            found[name] = -reach, reach
    return found


def _wide_sums(request: Request) -> dict[str, float]:
    """Operators to keep in FP32 because of their sums, with bounds; those kept anyhow left out."""
    graph = request.source.proto.graph
    kept = {*request.kept_parts, *untouched(graph)}
    sums = wide_sums(graph, _extremes(request))
    return {name: bound for name, bound in sums.items() if name not in kept}


def _sum_notes(prepared: PreparedModel, sums: Mapping[str, float]) -> Iterator[str]:
    """Say which operators stay in FP32 because of their sums."""
    bounds: dict[str, list[float]] = {}
    for node in prepared.proto.graph.node:
        if node.name in sums:
            bounds.setdefault(node.op_type, []).append(sums[node.name])
    for kind, found in sorted(bounds.items()):
        reach = max(found)
        size = "has an open size" if np.isinf(reach) else f"may reach {reach:.3g}"
        yield (
            f"{len(found)} {kind} {'stays' if len(found) == 1 else 'stay'} in FP32: a sum inside "
            f"{size}, and float16 ends at 65504"
        )


def _merge_casts(prepared: PreparedModel, proto: ModelProto) -> None:
    """Repair the casts that the converter inserts.

    It writes a cast for each reader, all with the same name, which is not a valid graph. It also
    casts to float16 and back between two neighbours kept in float32, where a value may overflow.
    """
    from onnx import TensorProto

    own = {node.name for node in prepared.proto.graph.node}
    outputs = {info.name for info in proto.graph.output}
    casts: dict[str, tuple[str, int]] = {}  # output of a cast -> (input, type)
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.name not in own:
            if node.output[0] in casts:
                continue
            casts[node.output[0]] = (node.input[0], node.attribute[0].i)
        nodes.append(node)
    bypassed: dict[str, str] = {}  # float32 tensor behind a detour -> the tensor before it
    promoted: dict[str, str] = {}  # the tensor before a detour -> the graph output behind it
    for name, (source, kind) in casts.items():
        first, via = casts.get(source, ("", 0))
        if kind == TensorProto.FLOAT and via == TensorProto.FLOAT16:
            if name in outputs:
                promoted[first] = name
            else:
                bypassed[name] = first
    dropped = {*bypassed, *promoted.values()}
    kept = []
    for node in nodes:
        if node.op_type == "Cast" and node.output[0] in dropped:
            continue
        for index, name in enumerate(node.input):
            source = bypassed.get(name, name)
            node.input[index] = promoted.get(source, source)
        for index, name in enumerate(node.output):
            node.output[index] = promoted.get(name, name)
        kept.append(node)
    read = {name for node in kept for name in node.input} | outputs
    kept = [
        node
        for node in kept
        if node.op_type != "Cast" or node.name in own or node.output[0] in read
    ]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
