"""Correct biases for the shift that quantized activations add to the mean of each output.

Rounding errors average to zero, but not after a PReLU or Relu, nor do the errors of clipped values.
This shift cannot be computed from the weights, so it is measured, from the first operator to the
last. The inputs of each operator are those with all earlier operators quantized and corrected. This
is the empirical variant of Nagel et al. (arXiv 1906.04721, appendix D).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.sampling import spread
from ..runtimes.feeding import named
from ..runtimes.ort import Session, open_session
from .bias import dequantized, store
from .graph import (
    consumers,
    has_subgraphs,
    initializers,
    numbers,
    producers,
    serialize,
    sort_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from ..runtimes.feeding import Sample

    Values = dict[str, NDArray[np.float32]]

_IMAGES = 32
_VALUES = 1 << 21  # in all images together: the activations of all images are held in memory


def shift_images(count: int, shape: Sequence[int]) -> list[int]:
    """Indices of the calibration images of a shape to measure shifts on, spread evenly."""
    return spread(count, min(_IMAGES, max(8, _VALUES // int(np.prod(shape)))))


def correct_shifts(
    before: ModelProto,
    after: ModelProto,
    names: Collection[str],
    images: Iterable[Sample],
) -> None:
    """Correct the biases of a quantized model for the shift of its outputs, in place.

    Each shift is shrunk as in James and Stein ("Estimation with quadratic loss", 1961), so a shift
    that varies between images as much as chance explains is left alone.

    Args:
        before: the model before quantization.
        after: the quantized model, with the same operator names and the same inputs.
        names: names of the Conv and Gemm operators whose biases may change. These biases must be
            constant and not shared.
        images: preprocessed images, each of the model's input shape.
    """
    ordered = type(after)()
    ordered.CopyFrom(after)
    sort_nodes(ordered.graph)
    nodes = [node for node in ordered.graph.node if node.name in names]
    outputs = {node.name: node.output[0] for node in before.graph.node}
    inputs = [info.name for info in before.graph.input]
    live = [named(image, inputs) for image in images]
    if not nodes or len(live) < 2 or has_subgraphs(ordered.graph):
        return  # a subgraph may read any activation by name
    wanted = [outputs[node.name] for node in nodes]
    session = _session(before, before.graph.node, live[0], wanted)
    means = [[_mean(y) for y in session.run(wanted, values)] for values in live]
    written, weights = producers(after.graph), initializers(after.graph)
    steps = _Steps(ordered)
    for index, node in enumerate(nodes):
        steps.advance(node, live)
        errors = np.array([_mean(values[node.output[0]]) for values in live])
        shift = _shrunk(errors - [of_image[index] for of_image in means])
        for values in live:
            y = values[node.output[0]]
            y -= shift.reshape(-1, *[1] * (y.ndim - 2)).astype(np.float32)
        bias = node.input[2]
        given = dequantized(bias, written, weights)
        store(bias, (numbers(weights[bias]) if given is None else given) - shift, written, weights)


def _shrunk(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of `[images, C]` over the images, less the contribution of chance."""
    mean, noise = errors.mean(axis=0), errors.var(axis=0, ddof=1) / errors.shape[0]
    square = np.square(mean)
    chance = np.divide(noise, square, out=np.ones_like(noise), where=square > 0)
    return np.asarray(mean * np.maximum(1 - chance, 0))


class _Steps:
    """Runs a graph piece by piece, each time up to a given operator."""

    def __init__(self, proto: ModelProto) -> None:
        self._proto = proto
        self._written = producers(proto.graph)
        self._read = consumers(proto.graph)
        self._kept = {info.name for info in proto.graph.output}
        self._done: set[str] = set()  # first outputs of the operators that have run

    def advance(self, node: NodeProto, live: list[Values]) -> None:
        """Compute an operator's output for each image; drop values that are not read again."""
        piece = self._piece(node.output[0], live[0])
        self._done.update(each.output[0] for each in piece)
        made = {name for each in piece for name in each.output if name}
        outputs = [n for n in made if n == node.output[0] or self._pending(n)]
        outputs = [n for each in piece for n in each.output if n in outputs]
        inputs = {n: x for n, x in live[0].items() if any(n in each.input for each in piece)}
        session = _session(self._proto, piece, inputs, outputs)
        for values in live:
            found = session.run(outputs, {name: values[name] for name in inputs})
            for name in [n for n in values if not self._pending(n)]:
                del values[name]
            values.update(zip(outputs, found, strict=True))

    def _pending(self, name: str) -> bool:
        """Whether an operator that has not run yet reads an activation."""
        return any(node.output[0] not in self._done for node in self._read.get(name, ()))

    def _piece(self, name: str, known: Mapping[str, object]) -> list[NodeProto]:
        """The operators that compute an activation from the known ones, in order."""
        needed: set[str] = set()
        waiting = [name]
        while waiting:
            each = waiting.pop()
            writer = self._written.get(each)
            if each not in known and writer is not None and writer.output[0] not in needed:
                needed.add(writer.output[0])
                waiting += writer.input
        return [node for node in self._proto.graph.node if node.output[0] in needed]


def _session(
    proto: ModelProto, nodes: Iterable[NodeProto], inputs: Values, outputs: Sequence[str]
) -> Session:
    """Open a piece of a model in float simulation; `inputs` are examples of its inputs."""
    from onnx import helper

    nodes = list(nodes)
    read = {name for node in nodes for name in node.input}
    piece = type(proto)(ir_version=proto.ir_version, opset_import=proto.opset_import)
    piece.graph.CopyFrom(
        helper.make_graph(
            nodes,
            "piece",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), None)
                for n, x in inputs.items()
            ],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [tensor for tensor in proto.graph.initializer if tensor.name in read],
        )
    )
    return open_session(serialize(piece), optimize=False)


def _mean(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of each channel, `[C]`."""
    others = tuple(i for i in range(array.ndim) if i != 1)
    return np.asarray(array.mean(axis=others, dtype=np.float64))
