"""Statistics of a model's activations, collected in one pass over the calibration images."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from .activations import NotFiniteError, observe
from .archive import open_archive
from .channels import ChannelStatistics, ChannelWatch
from .graph import float_tensors
from .histogram import BINS, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ..spec.recipe import CalibrationMethod
    from .channels import Key
    from .preparation import PreparedModel
    from .sensitivity import Sensitivity, Weights

DEFAULT_PERCENTILE = 99.99
"""The best of 99.9, 99.99 and 99.999 on the embedder and the liveness model we measured."""


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


@dataclass(frozen=True, eq=False)
class Activations:
    """Statistics of a model's float32 activations, from which every method estimates ranges.

    Args:
        names: names of the tensors, in graph order.
        histograms: histogram of all values of each tensor, with their extremes.
        mean_low: mean over the images of each tensor's smallest value, float64, `[tensors]`.
        mean_high: mean over the images of each tensor's largest value, float64, `[tensors]`.
        channels: statistics per channel.
        images: number of images.
    """

    names: tuple[str, ...]
    histograms: tuple[Histogram, ...]
    mean_low: NDArray[np.float64]
    mean_high: NDArray[np.float64]
    channels: ChannelStatistics
    images: int

    def ranges(
        self,
        method: CalibrationMethod,
        percentile: float | None = None,
        sensitivity: Sensitivity | None = None,
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
        channels = self.channels.by_key()
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            # A tensor may have any name, but a member of the file may not.
            facts=np.array(json.dumps([self.names, list(channels), self.images])),
            counts=np.array([h.counts for h in self.histograms]).reshape(-1, BINS),
            exponents=np.array([h.exponent for h in self.histograms], np.int64),
            extremes=np.array([(h.low, h.high) for h in self.histograms]).reshape(-1, 2),
            means=np.array([self.mean_low, self.mean_high]),
            **{f"channels_{i}": array for i, array in enumerate(channels.values())},  # type: ignore[arg-type]
        )
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> Activations:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        with open_archive(path, "figures of activations") as file:
            names, keys, images = json.loads(file["facts"].item())
            counts, exponents = file["counts"], file["exponents"]
            extremes, means = file["extremes"], file["means"]
            channels = {tuple(key): file[f"channels_{i}"] for i, key in enumerate(keys)}
            shapes = [array.shape for array in (counts, exponents, extremes, means)]
            if shapes != [(len(names), BINS), (len(names),), (len(names), 2), (2, len(names))]:
                raise ValueError("arrays do not match their names")
            histograms = tuple(
                Histogram(count, int(exponent), float(low), float(high))
                for count, exponent, (low, high) in zip(counts, exponents, extremes, strict=True)
            )
            statistics = ChannelStatistics.from_keys(channels, images)
            low, high = means
            return cls(tuple(names), histograms, low, high, statistics, images)


def observe_activations(
    prepared: PreparedModel,
    inputs: Iterable[tuple[str, NDArray[np.float32]]],
    *,
    threads: int = 1,
) -> Activations:
    """Run the model once on calibration images and collect what any recipe may need.

    The collector is our own: onnxruntime's keep the tensors or extremes of all images in memory,
    accept NaN silently, weight images by order when fed in parts, name nodes at random, and need a
    pass for each method. Ours needs memory for the activations of a few images. The result does not
    depend on the number of threads: counts are the same in any order, and sums are added in order.

    Args:
        prepared: the prepared FP32 model, before equalization.
        inputs: (name, tensor) per image; the name appears in messages. Consumed once, one at a
            time.
        threads: images in flight at the same time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    graph = prepared.proto.graph
    return _observe(prepared, float_tensors(graph), ChannelWatch(graph), inputs, threads)


def observe_equalized(
    equalized: PreparedModel,
    before: Activations,
    channels: ChannelStatistics,
    inputs: Iterable[tuple[str, NDArray[np.float32]]],
    *,
    threads: int = 1,
) -> Activations:
    """Return what `observe_activations` would find on the equalized model, bit for bit.

    Only tensors with scaled channels are observed again. The factors are not known until after the
    first pass. Histograms per channel, which could be added up to those of scaled tensors, would
    take 128 KB for each of 10,000 channels.

    Args:
        equalized: the equalized model.
        before: what was found on the model before equalization.
        channels: the statistics that `equalize_channels` returned with the model.
        inputs: the same images as before.
        threads: images in flight at the same time.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    if not equalized.scaled:
        return replace(before, channels=channels)
    again = _observe(equalized, equalized.scaled, None, inputs, threads)
    histograms, low, high = list(before.histograms), before.mean_low.copy(), before.mean_high.copy()
    for index, name in enumerate(again.names):
        at = before.names.index(name)
        histograms[at] = again.histograms[index]
        low[at], high[at] = again.mean_low[index], again.mean_high[index]
    return replace(
        before, histograms=tuple(histograms), mean_low=low, mean_high=high, channels=channels
    )


def _observe(
    prepared: PreparedModel,
    names: tuple[str, ...],
    watch: ChannelWatch | None,
    inputs: Iterable[tuple[str, NDArray[np.float32]]],
    threads: int,
) -> Activations:
    histograms = {name: Histogram() for name in names}
    others = tuple(name for name in (watch.names if watch else ()) if name not in histograms)

    def look(
        values: Mapping[str, NDArray[np.float32]],
    ) -> tuple[NDArray[np.float64], dict[Key, NDArray[np.float64]]]:
        extremes = np.zeros((len(names), 2))
        for index, (name, histogram) in enumerate(histograms.items()):
            extremes[index] = histogram.add(values[name])
            if not np.isfinite(extremes[index]).all():
                raise NotFiniteError(name)
        for name in others:  # shape inference could not determine their types
            if not np.isfinite(values[name]).all():
                raise NotFiniteError(name)
        return extremes, watch.of_image(values) if watch else {}

    images, means = 0, np.zeros((len(names), 2))
    channels: dict[Key, NDArray[np.float64]] = {}
    observed = (*names, *others)
    for extremes, figures in observe(prepared, observed, inputs, look, threads=threads):
        images += 1
        means += extremes
        channels = {key: channels.get(key, 0.0) + array for key, array in figures.items()}
    if not images:
        raise DataError(
            prepared.path, "there are no calibration images", "give 100 to 500 images in KycModel"
        )
    means /= images
    statistics = {key: array / images for key, array in channels.items()}
    return Activations(
        names=names,
        histograms=tuple(histograms.values()),
        mean_low=means[:, 0],
        mean_high=means[:, 1],
        channels=ChannelStatistics.from_keys(statistics, images),
        images=images,
    )


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
