"""Brings the biases of Gemm operators into the form that quantizers take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .graph import attributes, drop_unused_initializers, initializers, numbers

if TYPE_CHECKING:
    from onnx import GraphProto


def plain_biases(graph: GraphProto) -> None:
    """Give each Gemm with constant weights a bias of one value for each output, in place.

    onnxruntime's quantizer sets the factor beta to one but leaves the bias as it was, and takes no
    bias of another shape: a single value for all outputs, or one with an axis for the batch.
    """
    from onnx import TensorProto, numpy_helper

    weights = initializers(graph)
    taken = set(weights)
    for node in graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or node.input[1] not in weights:
            continue
        tensor = weights.get(node.input[2])
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            continue
        given = attributes(node)
        beta = given.get("beta", 1.0)
        size = weights[node.input[1]].dims[0 if given.get("transB") else 1]
        rows = int(np.prod(tensor.dims[:-1]))
        if rows != 1 or (beta == 1 and list(tensor.dims) == [size]):
            continue  # a bias that differs between rows is a constant like any other
        plain = np.broadcast_to((numbers(tensor) * beta).ravel(), (size,)).astype(np.float32)
        name = f"{node.output[0]}_folded_bias"
        while name in taken:
            name += "."
        taken.add(name)
        graph.initializer.append(numpy_helper.from_array(plain, name))
        node.input[2] = name
        kept = [a for a in node.attribute if a.name != "beta"]
        del node.attribute[:]
        node.attribute.extend(kept)
    drop_unused_initializers(graph)
