"""Biases of a ``.tflite`` file that make up for the mean error of its quantized weights and ranges.

Weights are rounded once for all images, so each channel of a layer is shifted by about the same
amount in every image. That part of the error can be taken back without changing the file's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from .litert_file import Graph, LiteRtFile, Operator
from .litert_tensors import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .litert_tensors import Feed

    Array = NDArray[np.float64]

_Channels: TypeAlias = tuple[str, int]  # a tensor and the number of its channels; 0 for the last
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_ROUNDS = 2  # the second one sees what the first has changed; more change nothing
_SUFFIX = "_quantized"  # of what litert-quantizer puts between a float operator and an integer one


class _Layer(NamedTuple):
    """One operator whose bias can be corrected.

    Args:
        operator: the operator in the quantized file.
        source: its input, by the name in the float file.
        weights: its weights in the float file.
    """

    operator: Operator
    source: str
    weights: Array


def corrected(
    content: bytes, made: bytes, feeds: Sequence[Feed], where: object
) -> tuple[bytes, int]:
    """Correct the biases of a file, as long as its outputs come closer to those of the float file.

    Args:
        content: the float file.
        made: what was made of it.
        feeds: samples to measure on.
        where: the file, for messages.

    Returns:
        The best file, and the number of biases that it has other than before.
    """
    original = LiteRtFile(content, where)
    wanted = _outputs(content, feeds, where)
    best, error, changed = made, distance(made, feeds, wanted, where), 0
    current = made
    for _ in range(_ROUNDS):
        current, count = _once(original, content, current, feeds, where)
        if not count:
            break
        found = distance(current, feeds, wanted, where)
        if found < error:
            best, error, changed = current, found, count
    return best, changed


def distance(
    content: bytes, feeds: Sequence[Feed], wanted: Sequence[Array], where: object
) -> float:
    """Mean over the outputs of the squared error of each relative to its square."""
    found = _outputs(content, feeds, where)
    parts = [
        float(((a - b) ** 2).sum() / max(float((b**2).sum()), 1e-30))
        for a, b in zip(found, wanted, strict=True)
    ]
    return float(np.mean(parts))


def reference(content: bytes, feeds: Sequence[Feed], where: object) -> list[Array]:
    """Outputs of a file for all samples, for `distance`."""
    return _outputs(content, feeds, where)


def _outputs(content: bytes, feeds: Sequence[Feed], where: object) -> list[Array]:
    observer, found = Observer(content, where), []
    for feed in feeds:
        observer.run(feed)
        found.append([each.astype(np.float64).ravel() for each in observer.outputs()])
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def _once(
    original: LiteRtFile, content: bytes, current: bytes, feeds: Sequence[Feed], where: object
) -> tuple[bytes, int]:
    file = LiteRtFile(current, where)
    graph = file.graphs[0]
    layers = list(_layers(original, graph))
    wanted = {each for layer in layers for each in (_output(layer), _input(layer))}
    before, after = (_means(each, feeds, wanted, where) for each in (content, current))
    changed = 0
    for layer in layers:
        out, source = _output(layer), _input(layer)
        if not all(each in known for each in (out, source) for known in (before, after)):
            continue
        # What the layer passes on of the error of its input is corrected where it arises.
        passed = _passed(layer, after[source] - before[source])
        changed += _shift(file, graph, layer, passed - (after[out] - before[out]))
    return (file.content() if changed else current), changed


def _layers(original: LiteRtFile, graph: Graph) -> list[_Layer]:
    source = original.graphs[0]
    known = {operator.name: operator for operator in source.operators}
    names = {tensor.name for tensor in source.tensors}
    readers = [at for operator in graph.operators for at in operator.inputs]
    found = []
    for operator in graph.operators:
        twin = known.get(operator.name)
        if operator.kind not in _WEIGHTED or twin is None or len(operator.inputs) < 3:
            continue
        if operator.inputs[2] < 0 or readers.count(operator.inputs[2]) > 1:
            continue
        weights = original.constant(source.tensors[twin.inputs[1]])
        name = graph.tensors[operator.inputs[0]].name
        name = name if name in names else name.removesuffix(_SUFFIX)
        if weights is not None and weights.ndim >= 2 and name in names:
            found.append(_Layer(operator, name, weights.astype(np.float64)))
    return found


def _output(layer: _Layer) -> _Channels:
    shape: tuple[int, ...] = layer.weights.shape
    depthwise = layer.operator.kind == "DEPTHWISE_CONV_2D"
    return layer.operator.name, shape[-1] if depthwise else shape[0]


def _input(layer: _Layer) -> _Channels:
    # Only a fully connected layer says how many there are: it may flatten its input, while the
    # channels of a convolution may be in groups.
    shape: tuple[int, ...] = layer.weights.shape
    return layer.source, shape[-1] if layer.operator.kind == "FULLY_CONNECTED" else 0


def _passed(layer: _Layer, shift: Array) -> Array:
    """Shift of each output channel that a shift of the input channels causes, borders apart."""
    weights = layer.weights
    if layer.operator.kind == "FULLY_CONNECTED":
        found: Array = weights @ shift
    elif layer.operator.kind == "DEPTHWISE_CONV_2D":
        found = weights.sum((0, 1, 2)) * np.repeat(shift, weights.shape[-1] // len(shift))
    else:  # of a grouped convolution, each group sees channels of its own
        groups = len(shift) // weights.shape[-1]
        each = weights.sum((1, 2)).reshape(groups, -1, weights.shape[-1])
        found = np.einsum("goi,gi->go", each, shift.reshape(groups, -1)).ravel()
    return found


def _shift(file: LiteRtFile, graph: Graph, layer: _Layer, change: Array) -> int:
    index = layer.operator.inputs[2]
    tensor = graph.tensors[index]
    bias = file.constant(tensor)
    if bias is None or bias.size != change.size or not np.isfinite(change).all():
        return 0
    if bias.dtype.kind == "f":
        file.replace(0, index, (bias + change).astype(bias.dtype))
        return 1
    if not tensor.scales or min(tensor.scales) <= 0:
        return 0
    limits = np.iinfo(bias.dtype)
    steps = np.rint(change / np.asarray(tensor.scales))
    moved = np.clip(bias + steps, limits.min, limits.max)
    file.replace(0, index, moved.astype(bias.dtype))
    return 1


def _means(
    content: bytes, feeds: Sequence[Feed], wanted: Iterable[_Channels], where: object
) -> dict[_Channels, Array]:
    """Mean of each channel over all samples."""
    by_name: dict[str, list[_Channels]] = {}
    for each in wanted:
        by_name.setdefault(each[0], []).append(each)
    observer = Observer(content, where)
    found: dict[_Channels, Array] = {}
    for feed in feeds:
        observer.run(feed)
        for name, array in observer.values(by_name):
            for key in by_name[name]:
                width = key[1] or (array.shape[-1] if array.ndim else 1)
                if array.size % width == 0:
                    mean = array.reshape(-1, width).mean(0, dtype=np.float64) / len(feeds)
                    found[key] = found[key] + mean if key in found else mean
    return found
