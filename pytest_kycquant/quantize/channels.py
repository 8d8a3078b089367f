"""Statistics of the activations per channel, for equalization and bias correction."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.sampling import spread
from .activations import NotFiniteError, no_images, observe
from .archive import open_archive
from .channel_groups import channel_groups
from .graph import attributes, initializers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto

    from ..runtimes.feeding import Sample
    from .preparation import PreparedModel

_IMAGES = 100
_TABLES = ("low", "high", "squares", "means")
Key = tuple[str, str]
"""A table of `ChannelStatistics`, and the name of an entry."""


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Statistics of activations per channel, over some calibration images.

    Args:
        low: tensor that equalization may scale -> mean over the images of each channel's smallest
            value, float64, `[C]`.
        high: tensor -> mean over the images of each channel's largest value, float64, `[C]`.
        squares: tensor -> mean of each channel's squared values, float64, `[C]`.
        means: Conv or Gemm with constant weights -> mean of the inputs that each weight is
            multiplied by, over images and positions of the window, float64, `[C, *kernel]` (Gemm:
            `[C]`). Windows at the border include the zeros of the padding, so this is not the mean
            of the channel.
        images: number of images.
    """

    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    squares: dict[str, NDArray[np.float64]]
    means: dict[str, NDArray[np.float64]]
    images: int

    def covers(self, graph: GraphProto) -> bool:
        """Whether these can be the statistics of this graph."""
        return self.low.keys() == _scaled(graph).keys() and all(
            self.means.get(node.name, np.empty(0)).shape == _shape_of_means(node, shape)
            for node, shape in _readers(graph)
        )

    def by_key(self) -> dict[Key, NDArray[np.float64]]:
        """All arrays, by table and name."""
        return {(t, name): a for t in _TABLES for name, a in getattr(self, t).items()}

    @classmethod
    def from_keys(
        cls, figures: Mapping[Key, NDArray[np.float64]], images: int
    ) -> ChannelStatistics:
        """Inverse of `by_key`."""
        tables: dict[str, dict[str, NDArray[np.float64]]] = {table: {} for table in _TABLES}
        for (table, name), array in figures.items():
            tables[table][name] = array
        return cls(**tables, images=images)

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal figures give equal bytes."""
        figures = self.by_key()
        buffer = io.BytesIO()
        # A tensor may have any name, but a member of the file may not.
        facts = np.array(json.dumps([list(figures), self.images]))
        arrays = {f"figures_{i}": array for i, array in enumerate(figures.values())}
        np.savez_compressed(buffer, facts=facts, **arrays)  # type: ignore[arg-type]
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> ChannelStatistics:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        with open_archive(path, "statistics of channels") as file:
            keys, images = json.loads(file["facts"].item())
            figures = {(table, name): file[f"figures_{i}"] for i, (table, name) in enumerate(keys)}
            return cls.from_keys(figures, images)


def channel_images(count: int) -> list[int]:
    """Indices of the calibration images to observe channels on, spread evenly.

    Means converge fast, so more images would only take longer.
    """
    return spread(count, _IMAGES)


def observe_channels(
    prepared: PreparedModel,
    inputs: Iterable[tuple[str, Sample]],
    *,
    threads: int = 1,
) -> ChannelStatistics:
    """Run the model on some calibration images and collect statistics per channel.

    The result does not depend on the number of threads: sums are added in order.

    Args:
        prepared: the prepared FP32 model, before equalization.
        inputs: (name, tensor) per image; the name appears in messages; those that `channel_images`
            selects suffice. Consumed once, one at a time.
        threads: images in flight at the same time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    watch = ChannelWatch(prepared.proto.graph)

    def look(values: Mapping[str, NDArray[np.float32]]) -> dict[Key, NDArray[np.float64]]:
        for name in watch.names:
            if not np.isfinite(values[name]).all():
                raise NotFiniteError(name)
        return watch.of_image(values)

    images = 0
    sums: dict[Key, NDArray[np.float64]] = {}
    for figures in observe(prepared, watch.names, inputs, look, threads=threads):
        images += 1
        sums = {key: sums.get(key, 0.0) + array for key, array in figures.items()}
    if not images:
        raise no_images(prepared)
    means = {key: array / images for key, array in sums.items()}
    return ChannelStatistics.from_keys(means, images)


class ChannelWatch:
    """Computes the statistics of single images.

    Args:
        graph: graph of the prepared FP32 model, before equalization.
    """

    def __init__(self, graph: GraphProto) -> None:
        self._scaled = tuple(_scaled(graph))
        self._readers = _readers(graph)
        self._given = {node.name: attributes(node) for node, _ in self._readers}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors that `of_image` needs."""
        return tuple(dict.fromkeys((*self._scaled, *(n.input[0] for n, _ in self._readers))))

    def of_image(self, values: Mapping[str, NDArray[np.float32]]) -> dict[Key, NDArray[np.float64]]:
        """Statistics of one image, whose activations are finite, by table and name."""
        found: dict[Key, NDArray[np.float64]] = {}
        for name in self._scaled:
            array = values[name]
            others = (0, *range(2, array.ndim))
            found["low", name] = array.min(axis=others).astype(np.float64)
            found["high", name] = array.max(axis=others).astype(np.float64)
            found["squares", name] = np.square(array, dtype=np.float64).mean(axis=others)
        for node, shape in self._readers:
            given = self._given[node.name]
            found["means", node.name] = window_means(node, given, shape, values[node.input[0]])
        return found


def _scaled(graph: GraphProto) -> dict[str, None]:
    """Names of the tensors whose channels equalization may scale."""
    return {name: None for group in channel_groups(graph) for name in group.tensors}


def _readers(graph: GraphProto) -> list[tuple[NodeProto, tuple[int, ...]]]:
    """Every Conv and Gemm with constant weights, and the shape of the weights."""
    weights = initializers(graph)
    return [
        (node, tuple(weights[node.input[1]].dims))
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
        and node.input[0] not in weights
        and node.input[1] in weights
    ]


def _shape_of_means(node: NodeProto, weight: tuple[int, ...]) -> tuple[int, ...]:
    given = attributes(node)
    if node.op_type == "Conv":
        return (weight[1] * given.get("group", 1), *weight[2:])
    return (weight[1 if given.get("transB") else 0],)


def window_means(
    node: NodeProto,
    given: dict[str, Any],
    weight_shape: tuple[int, ...],
    x: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Mean of the inputs that each weight of a Conv or Gemm is multiplied by, over one image.

    Args:
        node: the operator.
        given: attributes of the operator.
        weight_shape: shape of its weights: `[O, C / group, *kernel]`, or a matrix for Gemm.
        x: its input: `[N, C, *space]`, or a matrix for Gemm.

    Returns:
        float64, `[C, *kernel]`; `[C]` for Gemm.
    """
    if node.op_type == "Gemm":
        return np.asarray(x.mean(axis=1 if given.get("transA") else 0, dtype=np.float64))
    kernel = weight_shape[2:]
    rank = len(kernel)
    strides = given.get("strides") or [1] * rank
    dilations = given.get("dilations") or [1] * rank
    # One axis at a time: sums over windows are separable, which saves most of the work. The last
    # axis comes first, since it needs no copy, and moves to the front as an axis of taps.
    sums = x.sum(axis=0, dtype=np.float64)
    positions = x.shape[0]
    for axis in reversed(range(rank)):
        size, stride, dilation, length = (
            kernel[axis],
            strides[axis],
            dilations[axis],
            x.shape[2 + axis],
        )
        before, count = _windows(given, axis, rank, length, (size - 1) * dilation + 1, stride)
        sums = sums @ _met(length, size, stride, dilation, before, count)
        sums = sums.transpose(0, rank, *range(1, rank))
        positions *= count
    return np.asarray(sums / positions, np.float64)


@functools.lru_cache(maxsize=256)
def _met(
    length: int, size: int, stride: int, dilation: int, before: int, count: int
) -> NDArray[np.float64]:
    """How often each tap of a kernel meets each element along an axis, `[length, size]`."""
    first = np.arange(count) * stride - before
    taps = first[:, None] + dilation * np.arange(size)  # [position, kernel]
    inside = (taps >= 0) & (taps < length)
    met = np.zeros((length, size))
    np.add.at(met, (taps[inside], np.nonzero(inside)[1]), 1.0)
    return met


def _windows(
    given: dict[str, object], axis: int, rank: int, length: int, extent: int, stride: int
) -> tuple[int, int]:
    """Padding before the first element along one axis, and the number of windows."""
    mode = given.get("auto_pad", b"NOTSET")
    if mode in (b"SAME_UPPER", b"SAME_LOWER"):
        count = -(-length // stride)
        total = max((count - 1) * stride + extent - length, 0)
        return (total // 2 if mode == b"SAME_UPPER" else total - total // 2), count
    pads = given.get("pads") if mode == b"NOTSET" else None
    before, after = (pads[axis], pads[axis + rank]) if isinstance(pads, list) else (0, 0)
    return before, (length + before + after - extent) // stride + 1
