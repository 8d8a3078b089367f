"""The outputs of a model for images: computed once, cached and judged later."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..context.parallel import ordered_map
from ..errors import KycquantError, ModelError, one_line
from ..runtimes.feeding import Feeding

if TYPE_CHECKING:
    from ..runtimes import OpenModel
    from ..runtimes.feeding import Sample

    Named = tuple[str, Sample]

Tensor = NDArray[np.float32]
_ROUNDING = 1e-5
_IN_A_BATCH = 1e-3
Read = Callable[[list[NDArray[Any]]], Tensor]
_Found = tuple[Tensor, bool, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Outputs:
    """The outputs of one model for a set of images, as read by the task.

    Args:
        values: the rows of all images, one image after the other; shape (R, K), float32.
        finite: whether *all* outputs of each image were free of NaN and Inf; shape (N,), bool.
        broken_edges: names of the edge inputs that gave NaN or Inf.
        rows: the number of rows of each image; shape (N,), int64. One each by default.
        shapes: the shape of each output for one image, as the model returns it; empty if the
            shapes differ between images.
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
        """Replace the outputs for some images by those of another model.

        Args:
            indices: the indices of those images; shape (M,), int64.
            other: the outputs of the other model for them, in this order.
        """
        each = self.by_image()
        for index, rows in zip(indices, other.by_image(), strict=True):
            each[index] = rows
        finite, numbers = self.finite.copy(), self.rows.copy()
        finite[indices], numbers[indices] = other.finite, other.rows
        shapes = self.shapes if self.shapes == other.shapes else ()
        return Outputs(np.concatenate(each), finite, other.broken_edges, numbers, shapes)

    def subset(self, members: NDArray[np.bool_]) -> Outputs:
        """The outputs for the images of a boolean mask (N,), which may select none."""
        rows = np.repeat(members, self.rows)
        return Outputs(self.values[rows], self.finite[members], (), self.rows[members])

    def differing(self, again: Outputs, indices: NDArray[np.int64]) -> int:
        """For how many images the same model gave other outputs when it ran again.

        Args:
            again: the outputs of the second run for those images, in this order.
            indices: the sorted indices of those images; shape (M,), int64.
        """
        members = np.zeros(len(self.finite), np.bool_)
        members[indices] = True
        mine = self.subset(members)
        general = self.broken_edges != again.broken_edges or (
            bool(self.shapes) and self.shapes != again.shapes
        )
        if general or mine.values.shape[1:] != again.values.shape[1:]:
            return len(indices)
        pairs = zip(mine.by_image(), again.by_image(), strict=True)
        same = [_equal(before, now) for before, now in pairs]
        return int((~np.asarray(same) | (mine.finite != again.finite)).sum())

    def by_image(self) -> list[Tensor]:
        """The rows of each image, (n, K)."""
        return np.split(self.values, np.cumsum(self.rows)[:-1])

    def save(self, path: Path) -> None:
        """Write the outputs to an ``.npz`` file without pickle."""
        edges = np.asarray(self.broken_edges, dtype="U16")
        arrays = {"values": self.values, "finite": self.finite, "rows": self.rows}
        shapes = json.dumps(self.shapes)
        np.savez(path, broken_edges=edges, shapes=shapes, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> Outputs:
        """Inverse of `save`.

        Raises:
            ValueError: the arrays do not fit each other, or have other types.
        """
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            edges = tuple(str(name) for name in stored["broken_edges"])
            shapes = tuple(tuple(shape) for shape in json.loads(str(stored["shapes"])))
            values, finite, rows = stored["values"], stored["finite"], stored["rows"]
        kinds = [(array.ndim, array.dtype) for array in (values, finite, rows)]
        if kinds != [(2, np.float32), (1, np.bool_), (1, np.int64)] or (rows < 0).any():
            raise ValueError(f"arrays of the kinds {kinds}")
        return cls(values, finite, edges, rows, shapes)


def run_model(
    model: OpenModel,
    tensors: Iterable[Named],
    edges: Iterable[Named],
    outputs: tuple[str, ...],
    read: Read,
    *,
    threads: int,
    feeding: Feeding = Feeding(),  # noqa: B008 (it is immutable)
    on_image: Callable[[], None] = lambda: None,
    where: object = "model",
    suspects: Callable[[], str] = lambda: "",
    repeats: bool = True,
    neighbours: bool = True,
) -> Outputs:
    """Run a model over images, one image per call unless its batch is fixed.

    A KYC pipeline runs a model this way, and no other way is independent of the order of images:
    dynamic quantization takes its ranges from the whole batch. Images of a model with a fixed batch
    are run in their order, and copies of the last one fill up the last batch.

    The first image is run three times, twice at the beginning and once after all others: a model
    that draws random numbers or remembers earlier images gives it other outputs. If there is a
    batch, the first image is also run at its end, behind the extreme inputs: an output that depends
    on an image's neighbours says nothing about the image.

    Args:
        model: the opened model.
        tensors: (name, sample) of each image, decoded in the calling thread.
        edges: (name, sample) of each extreme input; see `Task.edge_inputs`.
        outputs: the names of the outputs that `read` takes, in its order.
        read: a function that turns those outputs into the rows (n, K) of the image.
        threads: the number of runs in flight at the same time.
        feeding: how samples are fed to the model.
        on_image: a function that is called after each image.
        where: the model, for messages.
        suspects: a function that names the operators that may be to blame if outputs of one image
            differ, such as " (it contains X)".
        repeats: whether the first image is run again, which the candidates of a search can do
            without: what is judged is run again.
        neighbours: whether the first image is run among other neighbours if there is a batch. FP32
            answers that for its variants: rounding within integers differs more than this allows.

    Raises:
        ModelError: the model fails on an image, its outputs do not fit the task, their width
            changes between images, or they are not the same whenever the image is.
    """
    chosen = [model.outputs.index(output) for output in outputs]

    def run(group: Sequence[Named]) -> list[NDArray[Any]]:
        name = group[0][0] + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        inputs = fed(model, feeding, [sample for _, sample in group], where, name)
        return run_once(model, inputs, where, name)

    def each(given: list[NDArray[Any]], count: int) -> list[_Found]:
        if joint := [model.outputs[at] for at in feeding.unsplit(given) if at in chosen]:
            raise _not_a_batch(where, joint[0], feeding.batch)
        return [one(image) for image in feeding.split(given, count)]

    def one(given: list[NDArray[Any]]) -> _Found:
        wanted = [given[i] for i in chosen]
        try:
            rows = read(wanted)
        except ModelError as error:  # a task does not know which file it reads
            raise ModelError(f"{where}, {error.where}", error.problem, error.remedy) from error
        return rows, all_finite(given), tuple(value.shape for value in wanted)

    def check_again(known: list[NDArray[Any]], group: Sequence[Named]) -> None:
        if changed := _changed(model.outputs, known, run(group)):
            raise ModelError(
                where,
                f"is not a function of its image: {changed} between two runs on {group[0][0]}"
                f"{suspects()}",
                "export it in evaluation mode, without random numbers and without memory",
            )

    # Decoding stays in this thread: Pillow's settings are global.
    stream, extremes = feeding.runs(tensors), list(edges)
    first = next(stream, None)
    if first is None:
        raise ModelError(where, "was given no images", "report this as a bug")
    known = run(first)
    found = each(known, len(first))
    if repeats:
        check_again(known, first)
        if feeding.batch > 1 and neighbours:
            among = [*extremes[: feeding.batch - 1], *first][: feeding.batch - 1]
            moved = [*among, *first[:1] * (feeding.batch - len(among))]
            (*_, again) = each(run(moved), feeding.batch)
            if not _alike(found[0][0], again[0]):
                raise _depends(where, first[0][0])
    later = ordered_map(lambda group: each(run(group), len(group)), stream, threads=threads)
    values, finite, shapes = [], [], set()
    for rows, ok, shape in itertools.chain(found, itertools.chain.from_iterable(later)):
        on_image()
        values.append(rows)
        finite.append(ok)
        shapes.add(shape)
    if len({rows.shape[1:] for rows in values}) != 1:
        raise ModelError(
            f"{where}, output {', '.join(outputs)}",
            "differs in length between images",
            "fix the export",
        )
    broken = tuple(edge[0] for edge in extremes if not all_finite(run([edge])))
    if repeats:
        check_again(known, first)
    lengths = np.asarray([len(rows) for rows in values], np.int64)
    same = shapes.pop() if len(shapes) == 1 else ()
    return Outputs(np.concatenate(values), np.asarray(finite, np.bool_), broken, lengths, same)


def fed(
    model: OpenModel, feeding: Feeding, samples: Sequence[Sample], where: object, image: str
) -> dict[str, NDArray[Any]]:
    """The inputs of one run.

    Raises:
        ModelError: a sample does not fit into the types of the inputs.
    """
    try:
        return feeding.feed(samples, model.inputs)
    except ModelError as error:  # which knows neither the file nor the image
        problem = f"{error.where} {error.problem} ({image})"
        raise ModelError(where, problem, error.remedy) from error


def _not_a_batch(where: object, output: str, batch: int) -> ModelError:
    return ModelError(
        where,
        f"takes {batch} images at once, but the first dimension of output {output!r} is not "
        f"{batch}: which part belongs to which image is not known",
        "export it for batch 1, or with the batch as the first dimension of every output",
    )


def _depends(where: object, image: str) -> ModelError:
    return ModelError(
        where,
        f"gives {image} other outputs among other images of its batch",
        "export it in evaluation mode, or for batch 1: a verdict about one image must not depend "
        "on its neighbours",
    )


def _alike(before: Tensor, now: Tensor) -> bool:
    """Whether an image has the same rows elsewhere in a batch, up to the rounding of kernels."""
    return _equal(before, now, _IN_A_BATCH)


def _equal(before: Tensor, now: Tensor, rounding: float = _ROUNDING) -> bool:
    """Whether rows (n, K) are the same, up to rounding relative to the largest value."""
    if before.shape != now.shape:
        return False
    largest = float(np.abs(now[np.isfinite(now)]).max(initial=0.0))
    return np.allclose(before, now, rtol=rounding, atol=rounding * largest, equal_nan=True)


def run_once(
    model: OpenModel, inputs: Mapping[str, NDArray[Any]], where: object, image: str
) -> list[NDArray[Any]]:
    """Run a model on one image.

    Args:
        model: the opened model.
        inputs: one array of shape (1, ...) for each input, by name.
        where: the model, for messages.
        image: name of the image, for messages.

    Raises:
        ModelError: the model fails, or does not end in time.
    """
    try:
        return [np.asarray(value) for value in model.run(inputs)]
    except Exception as error:  # each runtime has its own types
        remedy = "check which inputs its operators accept, and Preprocess"
        raise ModelError(
            where,
            f"cannot be run on {image} ({one_line(error)})",
            error.remedy if isinstance(error, KycquantError) else remedy,
        ) from error


def _changed(names: Sequence[str], before: list[NDArray[Any]], after: list[NDArray[Any]]) -> str:
    """How outputs differ from those of another run; "" if they are the same bit for bit."""
    for name, a, b in zip(names, before, after, strict=True):
        if a.shape != b.shape:
            return f"the shape of output {name!r} differs"
        numeric = np.issubdtype(a.dtype, np.inexact)
        if not np.array_equal(a, b, equal_nan=numeric):
            return f"output {name!r} differs"
    return ""


def all_finite(outputs: list[Any]) -> bool:
    """Whether every floating-point output is free of NaN and Inf."""
    return all(
        bool(np.isfinite(value).all())
        for value in map(np.asarray, outputs)
        if np.issubdtype(value.dtype, np.floating)
    )


def relative_distance(exact: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Mean L2 distance of rows (N, K) from those of FP32, relative to the mean length of FP32's.

    0.0 if they are the same. A row that is not finite counts as the opposite answer, which is twice
    its length away.
    """
    exact = exact.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.linalg.norm(other - exact, axis=1)
    length = np.linalg.norm(exact, axis=1)
    distance = np.where(np.isfinite(distance), distance, 2 * length)
    return float(distance.mean() / max(float(length.mean()), 1e-12))
