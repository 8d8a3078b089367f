"""What the accuracy tools know of the activations: figures per channel, from one streaming pass."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .channel_groups import channel_groups
from .graph import attributes, initializers, one_line
from .observe import observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto

    from .preparation import PreparedModel


_TABLES = ("low", "high", "squares", "means")


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Figures of activations per channel, over the calibration images.

    Args:
        low: tensor that equalization may scale -> mean over the images of each channel's smallest
            value, float64, `[C]`.
        high: tensor -> the same of the largest.
        squares: tensor -> mean of each channel's squares.
        means: Conv or Gemm with constant weights -> mean of what each of its weights is multiplied
            with, float64, `[C, *kernel]` (Gemm: `[C]`), over images and positions of the window.
            Windows at the border meet the zeros of the padding, so this is not the mean of the
            channel.
        images: number of images.
    """

    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    squares: dict[str, NDArray[np.float64]]
    means: dict[str, NDArray[np.float64]]
    images: int

    def covers(self, graph: GraphProto) -> bool:
        """Whether these can be figures of this graph."""
        return self.low.keys() == _scaled(graph).keys() and all(
            self.means.get(node.name, np.empty(0)).shape == _shape_of_means(node, shape)
            for node, shape in _readers(graph)
        )

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal figures give equal bytes."""
        tables = {name: getattr(self, name) for name in _TABLES}
        names = {table: list(entries) for table, entries in tables.items()}
        arrays = {
            f"{table}_{index}": array  # a tensor may have any name, a member of the file may not
            for table, entries in tables.items()
            for index, array in enumerate(entries.values())
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            names=np.array(json.dumps(names), np.str_),
            images=np.int64(self.images),
            **arrays,
        )
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> ChannelStatistics:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                names = json.loads(file["names"].item())
                tables = {
                    table: {
                        name: np.asarray(file[f"{table}_{index}"], np.float64)
                        for index, name in enumerate(names[table])
                    }
                    for table in _TABLES
                }
                return cls(**tables, images=int(file["images"]))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise QuantizationError(
                path,
                f"holds no statistics of channels ({one_line(error)})",
                "delete it; it is made again from the calibration images",
            ) from error


def collect_channels(
    prepared: PreparedModel, inputs: Iterable[tuple[str, NDArray[np.float32]]]
) -> ChannelStatistics:
    """Run the model on calibration images and average figures of each channel.

    Memory is one image's activations and some numbers per channel.

    Args:
        prepared: the prepared FP32 model, before equalization.
        inputs: (name, tensor) per image; consumed once, one at a time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    graph = prepared.proto.graph
    readers = _readers(graph)
    low: dict[str, NDArray[np.float64]] = {}
    high: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    means: dict[str, NDArray[np.float64]] = {}
    scaled = _scaled(graph)
    names = tuple(dict.fromkeys((*scaled, *(node.input[0] for node, _ in readers))))

    def take(values: Mapping[str, NDArray[np.float32]]) -> str | None:
        for name in scaled:
            array = values[name]
            others = (0, *range(2, array.ndim))
            lowest, highest = array.min(axis=others), array.max(axis=others)
            if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
                return name
            low[name] = low.get(name, 0.0) + lowest.astype(np.float64)
            high[name] = high.get(name, 0.0) + highest.astype(np.float64)
            power = np.square(array, dtype=np.float64).mean(axis=others)
            squares[name] = squares.get(name, 0.0) + power
        for node, shape in readers:
            seen = window_means(node, shape, values[node.input[0]])
            if not np.isfinite(seen).all():
                return str(node.input[0])
            means[node.name] = means.get(node.name, 0.0) + seen
        return None

    count = observe(prepared, names, inputs, take)
    for table in (low, high, squares, means):
        for name in table:
            table[name] /= count
    return ChannelStatistics(low, high, squares, means, count)


def _scaled(graph: GraphProto) -> dict[str, None]:
    """Names of the tensors whose channels equalization may scale."""
    return {name: None for group in channel_groups(graph) for name in group.tensors}


def _readers(graph: GraphProto) -> list[tuple[NodeProto, tuple[int, ...]]]:
    """Every Conv and Gemm with constant weights, and the shape of those."""
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
    node: NodeProto, weight_shape: tuple[int, ...], x: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean of what each weight of a Conv or Gemm is multiplied with, over one image.

    Args:
        node: the operator.
        weight_shape: shape of its weights, `[O, C / group, *kernel]` or Gemm's.
        x: its input, `[N, C, *space]`, or a matrix.

    Returns:
        float64, `[C, *kernel]`; `[C]` for Gemm.
    """
    given = attributes(node)
    if node.op_type == "Gemm":
        return np.asarray(x.mean(axis=1 if given.get("transA") else 0, dtype=np.float64))
    kernel = weight_shape[2:]
    rank = len(kernel)
    strides = given.get("strides") or [1] * rank
    dilations = given.get("dilations") or [1] * rank
    # One axis after the other: sums over windows factor, which saves most of the work.
    sums = x.sum(axis=0, dtype=np.float64)
    positions = x.shape[0]
    for axis, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        length = x.shape[2 + axis]
        before, count = _windows(given, axis, rank, length, (size - 1) * dilation + 1, stride)
        first = np.arange(count) * stride - before
        taps = first + dilation * np.arange(size)[:, None]  # [kernel, position]
        inside = (taps >= 0) & (taps < length)
        # How often each element is met by each tap: [kernel, length].
        met = np.zeros((size, length))
        np.add.at(met, (np.nonzero(inside)[0], taps[inside]), 1.0)
        sums = np.tensordot(sums, met, axes=(1, 1))  # the axis moves to the end, as a tap
        positions *= count
    return np.asarray(sums / positions, np.float64)


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
