"""What a model says about images: run once, kept in the cache, judged later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..context.parallel import ordered_map
from ..errors import ModelError

if TYPE_CHECKING:
    from ..runtimes import OpenModel

Tensor = NDArray[np.float32]
Read = Callable[[list[NDArray[Any]]], Tensor]


@dataclass(frozen=True)
class Outputs:
    """What one model gave for a set of images, after the task has read it.

    Args:
        values: (R, K) float32, the rows of all images one after the other.
        finite: (N,) bool, whether *all* outputs of each image were free of NaN and Inf.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        rows: (N,) int64, how many rows belong to each image; by default one each.
        shapes: of each output for one image, as the model gives it, where all images have the
            same; else empty.
    """

    values: Tensor
    finite: NDArray[np.bool_]
    broken_edges: tuple[str, ...] = ()
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    shapes: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.rows):
            object.__setattr__(self, "rows", np.ones(len(self.finite), np.int64))
        if len(self.rows) != len(self.finite) or int(self.rows.sum()) != len(self.values):
            raise ValueError(
                f"{len(self.values)} values in {self.rows.sum()} rows of {len(self.finite)} images"
            )

    def with_images(self, indices: NDArray[np.int64], other: Outputs) -> Outputs:
        """These outputs, but for some images those of another model.

        Args:
            indices: (M,) of the images.
            other: what the other model gave for them, in this order.
        """
        each = np.split(self.values, np.cumsum(self.rows)[:-1])
        for index, rows in zip(
            indices, np.split(other.values, np.cumsum(other.rows)[:-1]), strict=True
        ):
            each[index] = rows
        finite, numbers = self.finite.copy(), self.rows.copy()
        finite[indices], numbers[indices] = other.finite, other.rows
        shapes = self.shapes if self.shapes == other.shapes else ()
        return Outputs(np.concatenate(each), finite, other.broken_edges, numbers, shapes)

    def subset(self, members: NDArray[np.bool_]) -> Outputs:
        """The outputs for some of the images, by boolean mask (N,); perhaps for none."""
        rows = np.repeat(members, self.rows)
        return Outputs(self.values[rows], self.finite[members], (), self.rows[members])

    def save(self, path: Path) -> None:
        """Write without pickle."""
        edges = np.asarray(self.broken_edges, dtype="U16")
        arrays = {"values": self.values, "finite": self.finite, "rows": self.rows}
        shapes = json.dumps(self.shapes)
        np.savez(path, broken_edges=edges, shapes=shapes, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> Outputs:
        """Inverse of `save`."""
        with np.load(path, allow_pickle=False) as stored:
            edges = tuple(str(name) for name in stored["broken_edges"])
            shapes = tuple(tuple(shape) for shape in json.loads(str(stored["shapes"])))
            return cls(stored["values"], stored["finite"], edges, stored["rows"], shapes)


def run_model(
    model: OpenModel,
    tensors: Iterable[tuple[str, Tensor]],
    edges: Iterable[tuple[str, Tensor]],
    outputs: tuple[str, ...],
    read: Read,
    *,
    threads: int,
    on_image: Callable[[], None] = lambda: None,
) -> Outputs:
    """Run a model over images, one image a call.

    One image a call is how a KYC pipeline runs it, and the only order-independent way: dynamic
    quantization takes its ranges from the whole batch.

    Args:
        model: the opened model, which has one input.
        tensors: (name, input) of each image, decoded in the calling thread.
        edges: (name, input) of inputs at the edge of what a camera gives.
        outputs: names of the outputs that `read` wants, in its order.
        read: turns those outputs into the rows (n, K) of the image.
        threads: images in flight at the same time.
        on_image: called after each image.

    Raises:
        ModelError: the outputs do not fit the task, or their width changes between images.
    """
    (feed,) = model.inputs
    chosen = [model.outputs.index(output) for output in outputs]

    def one(tensor: Tensor) -> tuple[Tensor, bool, tuple[tuple[int, ...], ...]]:
        given = [np.asarray(value) for value in model.run({feed: tensor})]
        wanted = [given[i] for i in chosen]
        return read(wanted), all_finite(given), tuple(value.shape for value in wanted)

    # Decoding stays in this thread: Pillow's settings are global.
    decoded = (tensor for _, tensor in tensors)
    values, finite, shapes = [], [], set()
    for rows, ok, shape in ordered_map(one, decoded, threads=threads):
        on_image()
        values.append(rows)
        finite.append(ok)
        shapes.add(shape)
    if len({rows.shape[1:] for rows in values}) != 1:
        raise ModelError(
            f"output {', '.join(outputs)}", "differs in length between images", "fix the export"
        )
    broken = tuple(name for name, tensor in edges if not all_finite(model.run({feed: tensor})))
    lengths = np.asarray([len(rows) for rows in values], np.int64)
    same = shapes.pop() if len(shapes) == 1 else ()
    return Outputs(np.concatenate(values), np.asarray(finite, np.bool_), broken, lengths, same)


def all_finite(outputs: list[Any]) -> bool:
    """Whether no floating point output holds NaN or Inf."""
    return all(
        bool(np.isfinite(value).all())
        for value in map(np.asarray, outputs)
        if np.issubdtype(value.dtype, np.floating)
    )


def relative_distance(exact: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Mean L2 distance between rows (N, K) and those of FP32, relative to the length of those.

    0.0 if they are the same. What is not finite is as bad as the opposite answer, twice its length
    away.
    """
    exact = exact.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.linalg.norm(other - exact, axis=1)
    length = np.linalg.norm(exact, axis=1)
    distance = np.where(np.isfinite(distance), distance, 2 * length)
    return float(distance.mean() / max(float(length.mean()), 1e-12))
