"""Values of constants that a sound, trained model never stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..runtimes.model_files import tensors, within
from ..spec.coerce import shown
from .graph import WEIGHTED, constant_of
from .masks import infinite_masks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, TensorProto

_MOST = 0.5  # share of the weights that may be in layers of one value each
_SMALLEST_NORMAL = np.finfo(np.float32).tiny


def broken_constants(graph: GraphProto) -> tuple[str, ...]:
    """Names of constants with NaN or Inf that a sound model never stores, also in subgraphs.

    A single infinity is legitimate as the bound of a Clip or in a mask, but not as a scale; -inf
    is, wherever only Add, Where, Max or Softmax read it.
    """
    from onnx import TensorProto, numpy_helper

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    found_parts = tuple(within(graph))
    scales = set()
    for part in found_parts:
        for node in part.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                scales.update(node.input[1:2])
            elif node.op_type.startswith("QLinear"):  # its only floats are scales
                scales.update(node.input)
    found = []
    masks = infinite_masks(found_parts)
    for name, tensor in _constants(found_parts):
        if tensor.data_type in floats:
            array = numpy_helper.to_array(tensor)
            bound = array.size == 1 and name not in scales
            sound = bound or name in masks
            if np.isnan(array).any() or (np.isinf(array).any() and not sound):
                found.append(name)
    return tuple(dict.fromkeys(found))


def check_constants(path: Path, graph: GraphProto) -> None:
    """Refuse weights that are not finite, and models that were never trained.

    A few layers may be constant: a box filter, an upsampling by ones, a pruned convolution.

    Raises:
        ModelError: a constant holds NaN or Inf, or most weights are in tensors of one value each.
    """
    from onnx import TensorProto, numpy_helper

    for name in broken_constants(graph):
        raise ModelError(
            path,
            f"weight {shown(name)} contains NaN or Inf",
            "export a checkpoint with finite weights",
        )
    stored = {
        name: tensor
        for name, tensor in _constants(tuple(within(graph)))
        if tensor.data_type == TensorProto.FLOAT and tensor.dims
    }
    readers = {
        name: node.op_type
        for part in within(graph)
        for node in part.node
        if node.op_type in WEIGHTED
        for name in node.input[:2]
        if name in stored
    }
    total, constant = 0, {}
    for name in readers:
        array = numpy_helper.to_array(stored[name])
        total += array.size
        if array.size > 1 and (array == array.flat[0]).all():
            constant[name] = array
    count = sum(array.size for array in constant.values())
    if count > _MOST * total:
        name, array = max(constant.items(), key=lambda item: item[1].size)
        raise ModelError(
            path,
            f"{count:,} of {total:,} weights are constant: every value of {shown(name)} of "
            f"{readers[name]} is {array.flat[0]:g}",
            "export the trained checkpoint, not an initialised one",
        )


def count_subnormal(graph: GraphProto) -> int:
    """Number of nonzero float32 weights that are closer to zero than the smallest normal number."""
    from onnx import TensorProto, numpy_helper

    return sum(
        int(np.count_nonzero((array != 0) & (np.abs(array) < _SMALLEST_NORMAL)))
        for array in (
            numpy_helper.to_array(tensor)
            for _, tensor in _constants(tuple(within(graph)))
            if tensor.data_type == TensorProto.FLOAT
        )
    )


def _constants(found: tuple[GraphProto, ...]) -> Iterator[tuple[str, TensorProto]]:
    """Yield all constants of graphs, also those that Constant operators hold as plain numbers."""
    yield from tensors(found)
    for part in found:
        for node in part.node:
            constant = constant_of(node)
            if constant is not None and node.attribute[0].name != "value":
                yield next(iter(node.output), node.name), constant
