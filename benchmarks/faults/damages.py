"""Realistic damages of a quantized model.

Every function takes a model in QDQ form (integers between QuantizeLinear and DequantizeLinear, as
static INT8 writes it) and returns a copy with the one change that its name states. Places are names
of operators of that model; see `weights`, `activations` and `biases`. A scale or zero point that
several tensors share is changed for only one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.quantize.graph import (
    WEIGHTED,
    attributes,
    consumers,
    drop_unused_initializers,
    initializers,
    producers,
)

Array = NDArray[np.generic]
_READ, _WRITE = "DequantizeLinear", "QuantizeLinear"


# Places


def weights(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the operators that dequantize the weights of a layer, in the order of layers."""
    constants, made_by = initializers(proto.graph), producers(proto.graph)
    found = []
    for node in proto.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in made_by:
            source = made_by[node.input[1]]
            if source.op_type == _READ and source.input[0] in constants:
                found.append(source.name)
    return tuple(dict.fromkeys(found))


def biases(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the operators that dequantize the biases of a layer, in the order of layers."""
    constants, made_by = initializers(proto.graph), producers(proto.graph)
    found = []
    for node in proto.graph.node:
        if node.op_type in WEIGHTED and len(node.input) > 2 and node.input[2] in made_by:
            source = made_by[node.input[2]]
            if source.op_type == _READ and source.input[0] in constants:
                found.append(source.name)
    return tuple(dict.fromkeys(found))


def activations(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the operators that quantize an activation, in the order of the graph."""
    return tuple(node.name for node in proto.graph.node if node.op_type == _WRITE)


def of_one_shape(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    """Neighbouring layers whose weights have the same shape, as pairs of `weights`."""
    constants, nodes = initializers(proto.graph), _nodes(proto)
    last: dict[tuple[int, ...], str] = {}
    pairs = []
    for name in weights(proto):
        shape = tuple(constants[nodes[name].input[0]].dims)
        if shape in last:
            pairs.append((last[shape], name))
        last[shape] = name
    return pairs


def pointwise(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the 1x1 convolutions of integers over an even number of channels."""
    made_by, constants = producers(proto.graph), initializers(proto.graph)
    found = []
    for node in proto.graph.node:
        if node.op_type != "Conv" or attributes(node).get("group", 1) != 1:
            continue
        sources = [made_by.get(name) for name in node.input[:2]]
        if not all(source is not None and source.op_type == _READ for source in sources):
            continue
        weight = constants.get(sources[1].input[0])
        if weight is not None and tuple(weight.dims[2:]) == (1, 1) and weight.dims[1] % 2 == 0:
            found.append(node.name)
    return tuple(found)


def sizes(proto: onnx.ModelProto) -> dict[str, int]:
    """Number of output channels of each of `weights` and `biases`."""
    constants, nodes = initializers(proto.graph), _nodes(proto)
    places = (*weights(proto), *biases(proto))
    tensors = {place: constants[nodes[place].input[0]] for place in places}
    return {p: int(tensor.dims[_channel_axis(proto, p)]) for p, tensor in tensors.items()}


# Scales and zero points


def scale_weights(proto: onnx.ModelProto, place: str, factor: float) -> onnx.ModelProto:
    """Multiply the scale of a layer's weights, as by an export that mixed up two scales."""
    copy = _copy(proto)
    node = _nodes(copy)[place]
    _replace(copy, [node], 1, lambda scale: (scale * factor).astype(scale.dtype))
    return copy


def scale_activation(proto: onnx.ModelProto, place: str, factor: float) -> onnx.ModelProto:
    """Multiply the scale that dequantizes an activation, but not the one that quantizes it.

    All operators after it see the tensor times the factor.
    """
    copy = _copy(proto)
    readers = _readers(copy, place)
    _replace(copy, readers, 1, lambda scale: (scale * factor).astype(scale.dtype))
    return copy


def clip_range(proto: onnx.ModelProto, place: str, share: float = 0.5) -> onnx.ModelProto:
    """Make the range of an activation narrower, as by a calibration on too few images.

    Args:
        proto: the model.
        place: one of `activations`.
        share: share of the range that is left on both sides of zero.
    """
    copy = _copy(proto)
    both = [_nodes(copy)[place], *_readers(copy, place)]
    _replace(copy, both, 1, lambda scale: (scale * share).astype(scale.dtype))
    return copy


def shift_zero_point(proto: onnx.ModelProto, place: str, by: int) -> onnx.ModelProto:
    """Shift the zero point with which an activation is dequantized, which moves the tensor.

    The shift of `by` steps goes downwards if there is no room above.
    """

    def shifted(zero: Array) -> Array:
        room = np.iinfo(zero.dtype).max - zero.astype(np.int64)
        moved = zero.astype(np.int64) + np.where(room >= by, by, -by)
        return moved.astype(zero.dtype)

    copy = _copy(proto)
    _replace(copy, _readers(copy, place), 2, shifted)
    return copy


# Weights and biases


def zero_channel(proto: onnx.ModelProto, place: str, channel: int) -> onnx.ModelProto:
    """Zero the weights of one output channel of a layer."""
    axis = _channel_axis(proto, place)

    def zeroed(weight: Array) -> Array:
        changed = weight.copy()
        np.moveaxis(changed, axis, 0)[channel] = 0
        return changed

    copy = _copy(proto)
    _replace(copy, [_nodes(copy)[place]], 0, zeroed)
    return copy


def flip_bias(proto: onnx.ModelProto, place: str, channel: int | None = None) -> onnx.ModelProto:
    """Flip the sign of one bias of a layer, or of all."""

    def flipped(bias: Array) -> Array:
        changed = bias.copy()
        which = slice(None) if channel is None else channel
        changed[which] = -changed[which]
        return changed

    copy = _copy(proto)
    _replace(copy, [_nodes(copy)[place]], 0, flipped)
    return copy


def exchange_weights(proto: onnx.ModelProto, one: str, other: str) -> onnx.ModelProto:
    """Exchange the weights of two layers of the same shape, with their scales."""
    copy = _copy(proto)
    first, second = _nodes(copy)[one], _nodes(copy)[other]
    kept = list(first.input)
    first.input[:] = list(second.input)
    second.input[:] = kept
    return copy


def spoil_scale(proto: onnx.ModelProto, place: str, channel: int = 0) -> onnx.ModelProto:
    """Put a NaN into the scale that dequantizes a layer's weights or an activation."""

    def spoiled(scale: Array) -> Array:
        changed = np.array(scale)
        changed.reshape(-1)[channel if changed.ndim else 0] = np.nan
        return changed

    copy = _copy(proto)
    node = _nodes(copy)[place]
    _replace(copy, _readers(copy, place) if node.op_type == _WRITE else [node], 1, spoiled)
    return copy


def perturb_weights(proto: onnx.ModelProto, share: float, seed: int) -> onnx.ModelProto:
    """Add noise to all weights, as in an older checkpoint.

    Args:
        proto: an FP32 model, or a quantized one, whose scales and ranges are kept.
        share: standard deviation of the noise, relative to that of the weights of the layer.
        seed: seed of the noise.
    """
    copy = _copy(proto)
    rng = np.random.default_rng(seed)

    def noisy(weight: Array) -> Array:
        noise = rng.standard_normal(weight.shape) * share * weight.std()
        return (weight + noise).astype(weight.dtype)

    constants = initializers(copy.graph)
    for node in copy.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in constants:
            _replace(copy, [node], 1, noisy)
    for place in weights(proto):
        node = _nodes(copy)[place]
        scale = numpy_helper.to_array(constants[node.input[1]])
        axis = _channel_axis(proto, place)

        def requantized(integers: Array, scale: Array = scale, axis: int = axis) -> Array:
            by_channel = [-1 if each == axis else 1 for each in range(integers.ndim)]
            steps = scale.reshape(by_channel)
            limits = np.iinfo(integers.dtype)
            moved = np.rint(noisy((integers * steps).astype(np.float64)) / steps)
            return moved.clip(limits.min, limits.max).astype(integers.dtype)

        _replace(copy, [node], 0, requantized)
    return copy


# Inputs and outputs


def swap_channels(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Exchange red and blue, as if BGR were given to a model for RGB, or vice versa."""
    order = {"order": np.array([2, 1, 0], np.int64)}
    return _before(proto, "Gather", order, axis=1)


def shift_input(proto: onnx.ModelProto, offsets: Sequence[float]) -> onnx.ModelProto:
    """Add an offset to each channel of the input, as if another mean had been subtracted.

    Args:
        proto: the model.
        offsets: an offset for each channel, in the unit of the input.
    """
    values = np.asarray(offsets, np.float32).reshape(1, -1, 1, 1)
    return _before(proto, "Add", {"offsets": values})


def scale_input(proto: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Multiply the input, as by another scale; 0 is a camera that always sees the same image."""
    return _before(proto, "Mul", {"factor": np.float32(factor)})


def scale_output(proto: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Multiply the first output."""
    copy = _copy(proto)
    name = copy.graph.output[0].name
    for node in copy.graph.node:
        for names in (node.input, node.output):
            for index, known in enumerate(names):
                if known == name:
                    names[index] = f"{name}/undamaged"
    _constants(copy, {"output_factor": np.float32(factor)})
    inputs = [f"{name}/undamaged", "damage/output_factor"]
    copy.graph.node.append(helper.make_node("Mul", inputs, [name], "damage/output"))
    return copy


# Kernels


def saturate(proto: onnx.ModelProto, places: Sequence[str]) -> onnx.ModelProto:
    """Compute 1x1 convolutions as on a CPU without VNNI, which adds two products in 16 bits.

    This emulates the U8S8 kernels of AVX2 (vpmaddubsw: onnxruntime #6004, #5849), exactly for these
    convolutions: products of unsigned activations and signed weights of neighbouring channels are
    added in pairs, each sum saturates at 16 bits, and the rest is exact in float32 (sums stay below
    2^24). Larger kernels are left as they are, so the true harm is larger.

    Args:
        proto: the model.
        places: some of `pointwise`.
    """
    copy = _copy(proto)
    for place in places:
        _saturate(copy, _nodes(copy)[place])
    drop_unused_initializers(copy.graph)
    return copy


def _saturate(proto: onnx.ModelProto, conv: onnx.NodeProto) -> None:
    made_by, constants = producers(proto.graph), initializers(proto.graph)
    read, weight = (made_by[name] for name in conv.input[:2])
    scale, zero = (numpy_helper.to_array(constants[name]) for name in read.input[1:3])
    steps = numpy_helper.to_array(constants[weight.input[1]])
    integers = numpy_helper.to_array(constants[weight.input[0]])
    number, channels = integers.shape[:2]
    pairs = channels // 2
    # Output channel (p, m) is the contribution of the pair p of channels to the output m.
    split = integers.reshape(number, pairs, 2).transpose(1, 0, 2).reshape(-1, 2, 1, 1)
    unit = (scale * steps).reshape(1, -1, 1, 1).astype(np.float32)
    behind = -float(zero) * integers.reshape(number, -1).sum(axis=1, dtype=np.int64)
    own = f"damage/{conv.name}"
    new = {
        "w": split,
        "low": np.float32(-32768),
        "high": np.float32(32767),
        "unit": unit,
        "behind": (behind.reshape(1, -1, 1, 1) * unit).astype(np.float32),
        "apart": np.array([0, pairs, number, -1], np.int64),
        "axis": np.array([1], np.int64),
        "front": np.array([0, number], np.int64),
    }
    _constants(proto, {f"{conv.name}/{key}": np.asarray(value) for key, value in new.items()})
    strides = attributes(conv).get("strides", [1, 1])
    make = helper.make_node
    nodes = [
        make("Cast", [read.input[0]], [f"{own}/x"], f"{own}/x", to=TensorProto.FLOAT),
        make("Cast", [f"{own}/w"], [f"{own}/wf"], f"{own}/wf", to=TensorProto.FLOAT),
        make(
            "Conv",
            [f"{own}/x", f"{own}/wf"],
            [f"{own}/products"],
            f"{own}/products",
            group=pairs,
            strides=list(strides),
        ),
        make(
            "Clip",
            [f"{own}/products", f"{own}/low", f"{own}/high"],
            [f"{own}/cut"],
            f"{own}/cut",
        ),
        make("Reshape", [f"{own}/cut", f"{own}/apart"], [f"{own}/pairs"], f"{own}/pairs"),
        make("ReduceSum", [f"{own}/pairs", f"{own}/axis"], [f"{own}/sum"], f"{own}/sum",
             keepdims=0),
        make("Shape", [f"{own}/cut"], [f"{own}/size"], f"{own}/size", start=2),
        make("Concat", [f"{own}/front", f"{own}/size"], [f"{own}/shape"], f"{own}/shape", axis=0),
        make("Reshape", [f"{own}/sum", f"{own}/shape"], [f"{own}/whole"], f"{own}/whole"),
        make("Mul", [f"{own}/whole", f"{own}/unit"], [f"{own}/real"], f"{own}/real"),
    ]  # fmt: skip
    if len(conv.input) > 2 and conv.input[2]:
        flat = f"{own}/column"
        column = np.array([1, number, 1, 1], np.int64)
        _constants(proto, {f"{conv.name}/columns": column})
        nodes += [
            make("Add", [f"{own}/real", f"{own}/behind"], [f"{own}/sound"], f"{own}/sound"),
            make("Reshape", [conv.input[2], f"{own}/columns"], [flat], flat),
            make("Add", [f"{own}/sound", flat], [conv.output[0]], f"{own}/out"),
        ]
    else:
        behind_add = [f"{own}/real", f"{own}/behind"]
        nodes.append(make("Add", behind_add, [conv.output[0]], f"{own}/out"))
    if len(consumers(proto.graph)[weight.output[0]]) == 1:
        proto.graph.node.remove(weight)  # the new layer holds its integers
    position = [node.name for node in proto.graph.node].index(conv.name)
    del proto.graph.node[position]
    for offset, node in enumerate(nodes):
        proto.graph.node.insert(position + offset, node)


# Surgery


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _nodes(proto: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.name: node for node in proto.graph.node}


def _channel_axis(proto: onnx.ModelProto, place: str) -> int:
    """Axis of the output channels of weights or biases; each channel may have its own scale."""
    node, constants = _nodes(proto)[place], initializers(proto.graph)
    if not constants[node.input[1]].dims:
        return 0  # one scale for all channels: the axis of a Conv
    axis = int(attributes(node).get("axis", 1))
    return axis % len(constants[node.input[0]].dims)


def _readers(proto: onnx.ModelProto, place: str) -> list[onnx.NodeProto]:
    """The operators that dequantize what the operator `place` quantizes."""
    written = _nodes(proto)[place].output[0]
    found = consumers(proto.graph).get(written, [])
    return [node for node in found if node.op_type == _READ]


def _replace(
    proto: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    index: int,
    change: Callable[[Array], Array],
) -> None:
    """Make operators read a changed copy of their constant at `index`."""
    constants = initializers(proto.graph)
    (name,) = {node.input[index] for node in nodes}
    changed = np.asarray(change(numpy_helper.to_array(constants[name])))
    own = f"damage/{name}"
    _constants(proto, {name: changed})
    for node in nodes:
        node.input[index] = own


def _constants(proto: onnx.ModelProto, values: dict[str, Array]) -> None:
    for name, value in values.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"damage/{name}"))


def _before(
    proto: onnx.ModelProto,
    operator: str,
    constants: dict[str, Array],
    **options: int,
) -> onnx.ModelProto:
    """Put an operator between the input and everything that reads it."""
    copy = _copy(proto)
    name = copy.graph.input[0].name
    for node in copy.graph.node:
        node.input[:] = ["damage/input" if read == name else read for read in node.input]
    _constants(copy, {f"input_{key}": value for key, value in constants.items()})
    inputs = [name, *(f"damage/input_{key}" for key in constants)]
    made = helper.make_node(operator, inputs, ["damage/input"], "damage/input", **options)
    copy.graph.node.insert(0, made)
    return copy
