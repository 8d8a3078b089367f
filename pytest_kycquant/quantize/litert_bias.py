"""Biases of a ``.tflite`` file that make up for the mean error of its quantized weights and ranges.

Weights are rounded once for all images, so each channel of a layer is shifted by about the same
amount in every image. That part of the error can be taken back without changing the file's size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from .litert_file import Graph, LiteRtFile, Operator
from .litert_tensors import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .litert_tensors import Feed

    Array = NDArray[np.float64]

Shifts: TypeAlias = Mapping[str, tuple[float, ...]]
"""What to add to each channel of a bias, by the name of its operator."""
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


class ChannelMeans:
    """Means of the channels that layers read, over samples that are run anyway.

    Args:
        content: the float file.
        where: the file, for messages.
    """

    def __init__(self, content: bytes, where: object) -> None:
        self._file = LiteRtFile(content, where)
        self._layers = list(_layers(self._file, self._file.graphs[0]))
        self._sums: dict[_Channels, Array] = {}
        self._counts: Counter[_Channels] = Counter()
        self._wanted: dict[str, set[_Channels]] = {}
        for layer in self._layers:
            self._wanted.setdefault(layer.source, set()).add(_input(layer))

    def see(self, name: str, array: NDArray[np.float32]) -> None:
        """Take in one tensor of one sample."""
        for key in self._wanted.get(name, ()):
            width = key[1] or (array.shape[-1] if array.ndim else 1)
            if array.size % width == 0:
                mean = array.reshape(-1, width).mean(0, dtype=np.float64)
                self._sums[key] = self._sums[key] + mean if key in self._sums else mean
                self._counts[key] += 1

    def shifts(self, made: LiteRtFile) -> Shifts:
        """What must be added to biases to make up for the mean error of 8-bit weights alone.

        Each layer counts for itself, so this is right whichever others are quantized.
        """
        graph, found = made.graphs[0], {}
        operators = {operator.name: operator for operator in graph.operators}
        for layer in self._layers:
            key, twin = _input(layer), operators.get(layer.operator.name)
            if twin is None or not self._counts[key]:
                continue
            tensor = graph.tensors[twin.inputs[1]]
            steps = made.constant(tensor)
            if steps is None or tensor.kind != "INT8" or steps.shape != layer.weights.shape:
                continue
            across = [1] * steps.ndim
            across[tensor.axis] = len(tensor.scales)
            stored = steps * np.reshape(tensor.scales, across)
            error = layer._replace(weights=layer.weights - stored)
            mean = self._sums[key] / self._counts[key]
            found[twin.name] = tuple(map(float, _passed(error, mean)))
        return found


def shifted(file: LiteRtFile, shifts: Shifts, spared: Collection[str]) -> int:
    """Add shifts to the biases of integer operators, in place; the number that changes.

    Args:
        file: the quantized file.
        shifts: what to add, by the name of the operator.
        spared: names of operators that are not quantized.
    """
    graph, changed = file.graphs[0], 0
    readers = Counter(at for operator in graph.operators for at in operator.inputs)
    for operator in graph.operators:
        if operator.name in spared or operator.name not in shifts or len(operator.inputs) < 3:
            continue
        bias = operator.inputs[2]
        if bias >= 0 and readers[bias] == 1:
            changed += _shift(file, graph, bias, np.asarray(shifts[operator.name]))
    return changed


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
        changed += _shift(
            file, graph, layer.operator.inputs[2], passed - (after[out] - before[out])
        )
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


def _shift(file: LiteRtFile, graph: Graph, index: int, change: Array) -> int:
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
