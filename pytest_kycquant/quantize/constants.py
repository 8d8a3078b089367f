"""Values of constants that a sound, trained model never stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..runtimes.model_files import tensors, within
from ..spec.coerce import shown
from .graph import WEIGHTED, constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, TensorProto

_SMALLEST_NORMAL = np.finfo(np.float32).tiny


def broken_constants(graph: GraphProto) -> tuple[str, ...]:
    """Names of constants with NaN or Inf that a sound model never stores, also in subgraphs.

    A single infinity is legitimate as the bound of a Clip or in a mask, but not as a scale.
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
    for name, tensor in _constants(found_parts):
        if tensor.data_type in floats:
            array = numpy_helper.to_array(tensor)
            bound = array.size == 1 and name not in scales
            if np.isnan(array).any() or (np.isinf(array).any() and not bound):
                found.append(name)
    return tuple(dict.fromkeys(found))


def check_constants(path: Path, graph: GraphProto) -> None:
    """Refuse weights that are not finite, and weights that were never trained.

    Raises:
        ModelError: a constant holds NaN or Inf, or all values of a weight are the same.
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
    for part in within(graph):
        for node in part.node:
            if node.op_type not in WEIGHTED:
                continue
            for name in node.input[:2]:
                if name not in stored:
                    continue
                array = numpy_helper.to_array(stored[name])
                if array.size > 1 and (array == array.flat[0]).all():
                    raise ModelError(
                        path,
                        f"weight {shown(name)} of {node.op_type} is constant: every value is "
                        f"{array.flat[0]:g}",
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
