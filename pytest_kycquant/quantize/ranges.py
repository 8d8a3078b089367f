"""Ranges of a model's activations, collected in one pass over calibration images."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.sampling import spread
from .activations import NotFiniteError, no_images, observe
from .archive import open_archive
from .graph import float_tensors
from .histogram import BINS, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import GraphProto

    from ..runtimes.feeding import Sample
    from ..spec.recipe import CalibrationMethod
    from .preparation import PreparedModel
    from .sensitivity import Sensitivity, Weights

_IMAGES = 200  # more do not improve ranges; "minmax" takes all
DEFAULT_PERCENTILE = 99.99
"""The best of 99.9, 99.99 and 99.999 on the embedder and the liveness model we measured."""


_OF_SCORES = 0.9  # of the largest score that was seen
_PASSING = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Concat")


@dataclass(frozen=True, eq=False)
class Ranges:
    """The range of each float32 activation.

    Args:
        names: names of the tensors, in graph order.
        low: lower ends, float32, one per name.
        high: upper ends, float32, one per name.
        method: how the ranges were estimated.
        percentile: percentage of values inside the range, if the method is "percentile".
        images: number of images that the ranges were estimated from.
    """

    names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    method: CalibrationMethod
    percentile: float | None
    images: int

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal figures give equal bytes."""
        facts = json.dumps([self.names, self.method, self.percentile, self.images])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, facts=np.array(facts), ends=np.array([self.low, self.high]))
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> Ranges:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        with open_archive(path, "ranges of activations") as file:
            names, method, percentile, images = json.loads(file["facts"].item())
            ends = file["ends"]
            if ends.shape != (2, len(names)) or ends.dtype != np.float32:
                raise ValueError("arrays do not match their names")
            return cls(tuple(names), ends[0], ends[1], method, percentile, images)


def passed_on(graph: GraphProto) -> frozenset[str]:
    """Names of the outputs and of the tensors whose values they consist of."""
    found = {info.name for info in graph.output}
    for node in reversed(graph.node):
        if node.op_type in _PASSING and found.intersection(node.output):
            found.update(node.input if node.op_type == "Concat" else node.input[:1])
    return frozenset(found)


def range_images(count: int) -> list[int]:
    """Indices of the calibration images to make histograms of, spread evenly."""
    return spread(count, _IMAGES)


@dataclass(frozen=True, eq=False)
class Activations:
    """Statistics of a model's float32 activations, from which every method estimates ranges.

    Args:
        names: names of the tensors, in graph order.
        histograms: histogram of all values of each tensor, with their extremes.
        mean_low: mean over the images of each tensor's smallest value, float64, `[tensors]`.
        mean_high: mean over the images of each tensor's largest value, float64, `[tensors]`.
        images: number of images.
    """

    names: tuple[str, ...]
    histograms: tuple[Histogram, ...]
    mean_low: NDArray[np.float64]
    mean_high: NDArray[np.float64]
    images: int

    def ranges(
        self,
        method: CalibrationMethod,
        percentile: float | None = None,
        sensitivity: Sensitivity | None = None,
        outputs: Collection[str] = (),
    ) -> Ranges:
        """Estimate the range of each activation.

        Args:
            method: "minmax": the extremes, bit for bit those of onnxruntime. "moving-average": mean
                over the images of each image's extremes. "percentile": see below. "entropy": 256
                levels in 512 bins a side, since onnxruntime's defaults (128 in 128) always return
                the min-max ranges; it gives rare large values little weight and was the least
                accurate on face embedders. "mse": the range with the least squared error in 8 bits.
            percentile: percentage of values inside the range, for "percentile"; None takes 99.99.
            sensitivity: sensitivity of the same model, for "mse". Given this, the range minimizes
                the squared error of the outputs, to first order, instead of that of the tensor.
            outputs: names of tensors with values of the outputs. Of scores between 0 and 1, at
                most the largest tenth is cut off: a detector finds by its largest ones alone.
        """
        if method == "percentile" and percentile is None:
            percentile = DEFAULT_PERCENTILE
        if method == "moving-average":
            low, high = self.mean_low, self.mean_high
        else:
            weights = sensitivity.weights if sensitivity else {}
            found = np.array(
                [
                    _range(each, method, percentile, weights.get(name))
                    for name, each in zip(self.names, self.histograms, strict=True)
                ]
            )
            low, high = found.reshape(-1, 2).T
            for index, (name, each) in enumerate(zip(self.names, self.histograms, strict=True)):
                if name in outputs and each.low >= 0 and each.high <= 1:
                    high[index] = max(high[index], _OF_SCORES * each.high)
        return Ranges(
            names=self.names,
            low=low.astype(np.float32),
            high=high.astype(np.float32),
            method=method,
            percentile=percentile,
            images=self.images,
        )

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal figures give equal bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            # A tensor may have any name, but a member of the file may not.
            facts=np.array(json.dumps([self.names, self.images])),
            counts=np.array([h.counts for h in self.histograms]).reshape(-1, BINS),
            exponents=np.array([h.exponent for h in self.histograms], np.int64),
            extremes=np.array([(h.low, h.high) for h in self.histograms]).reshape(-1, 2),
            means=np.array([self.mean_low, self.mean_high]),
        )
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> Activations:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        with open_archive(path, "figures of activations") as file:
            names, images = json.loads(file["facts"].item())
            counts, exponents = file["counts"], file["exponents"]
            extremes, means = file["extremes"], file["means"]
            shapes = [array.shape for array in (counts, exponents, extremes, means)]
            if shapes != [(len(names), BINS), (len(names),), (len(names), 2), (2, len(names))]:
                raise ValueError("arrays do not match their names")
            histograms = tuple(
                Histogram(count, int(exponent), float(low), float(high))
                for count, exponent, (low, high) in zip(counts, exponents, extremes, strict=True)
            )
            low, high = means
            return cls(tuple(names), histograms, low, high, images)


def observe_activations(
    prepared: PreparedModel,
    inputs: Iterable[tuple[str, Sample]],
    *,
    threads: int = 1,
) -> Activations:
    """Run the model once on calibration images and collect what any recipe may need.

    The collector is our own: onnxruntime's keep the tensors or extremes of all images in memory,
    accept NaN silently, weight images by order when fed in parts, name nodes at random, and need a
    pass for each method. Ours needs memory for the activations of a few images. The result does not
    depend on the number of threads: counts are the same in any order, and sums are added in order.

    Args:
        prepared: the prepared FP32 model, equalized or not.
        inputs: (name, tensor) per image; the name appears in messages; those that `range_images`
            selects suffice. Consumed once, one at a time.
        threads: images in flight at the same time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    names = float_tensors(prepared.proto.graph)
    histograms = {name: Histogram() for name in names}
    images, sums = 0, np.zeros((len(names), 2))

    def add(name: str, values: NDArray[np.float32]) -> tuple[float, float]:
        return histograms[name].add(values)

    for extremes in _observed(prepared, names, add, inputs, threads):
        images += 1
        sums += extremes
    low, high = (sums / images).T
    return Activations(names, tuple(histograms.values()), low, high, images)


def observe_extremes(
    prepared: PreparedModel,
    inputs: Iterable[tuple[str, Sample]],
    *,
    threads: int = 1,
) -> Ranges:
    """Run the model once on calibration images and return the extremes of each activation.

    These are the ranges of the method "minmax", bit for bit those of onnxruntime. No histogram is
    needed for them, so this takes less time than `observe_activations`.

    Args:
        prepared: the prepared FP32 model, equalized or not.
        inputs: (name, tensor) per image; the name appears in messages. Consumed once, one at a
            time.
        threads: images in flight at the same time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    names = float_tensors(prepared.proto.graph)
    images, low, high = 0, np.full(len(names), np.inf), np.full(len(names), -np.inf)

    def ends(name: str, values: NDArray[np.float32]) -> tuple[float, float]:
        return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)

    for extremes in _observed(prepared, names, ends, inputs, threads):
        images += 1
        low, high = np.minimum(low, extremes[:, 0]), np.maximum(high, extremes[:, 1])
    return Ranges(names, low.astype(np.float32), high.astype(np.float32), "minmax", None, images)


def _observed(
    prepared: PreparedModel,
    names: tuple[str, ...],
    extremes_of: Callable[[str, NDArray[np.float32]], tuple[float, float]],
    inputs: Iterable[tuple[str, Sample]],
    threads: int,
) -> Iterator[NDArray[np.float64]]:
    """Yield the extremes of all tensors for each image, `[tensors, 2]`, at least once.

    Args:
        prepared: the model.
        names: names of the tensors.
        extremes_of: function from the name and the values of a tensor to its extremes; called in
            any thread.
        inputs: (name, tensor) per image.
        threads: images in flight at the same time.
    """

    def look(values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        found = np.zeros((len(names), 2))
        for index, name in enumerate(names):
            found[index] = extremes_of(name, values[name])
            if not np.isfinite(found[index]).all():
                raise NotFiniteError(name)
        return found

    images = 0
    for found in observe(prepared, names, inputs, look, threads=threads):
        images += 1
        yield found
    if not images:
        raise no_images(prepared)


def _range(
    histogram: Histogram,
    method: CalibrationMethod,
    percentile: float | None,
    weights: Weights | None,
) -> tuple[float, float]:
    if method == "percentile":
        assert percentile is not None
        return histogram.percentile_range(percentile)
    if method == "mse":
        return histogram.mse_range(weights)
    return histogram.entropy_range() if method == "entropy" else histogram.extremes()
