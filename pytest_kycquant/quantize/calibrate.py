"""Ranges of the activations, collected once per model from a stream of calibration images."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from .graph import float_tensors, one_line
from .histogram import Histogram
from .observe import observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ..recipe import CalibrationMethod
    from .preparation import PreparedModel

DEFAULT_PERCENTILE = 99.99
"""The best of 99.9, 99.99 and 99.999 on the embedder and the liveness model we measured."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """The range of each float32 activation.

    Args:
        names: tensors, in graph order.
        low: lower ends, float32, one per name.
        high: upper ends, float32, one per name.
        method: how they were estimated.
        percentile: share of values inside, in percent, if the method is "percentile".
        images: number of images they were estimated from.
    """

    names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    method: CalibrationMethod
    percentile: float | None
    images: int

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal ranges give equal bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            names=np.array(self.names, np.str_),
            low=self.low,
            high=self.high,
            method=np.array(self.method),
            percentile=np.float64(np.nan if self.percentile is None else self.percentile),
            images=np.int64(self.images),
        )
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> Ranges:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        try:
            # From memory: numpy leaves the file open when it is damaged.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                percentile = float(file["percentile"])
                ranges = cls(
                    names=tuple(file["names"].tolist()),
                    low=np.asarray(file["low"], np.float32),
                    high=np.asarray(file["high"], np.float32),
                    method=file["method"].item(),
                    percentile=None if np.isnan(percentile) else percentile,
                    images=int(file["images"]),
                )
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise QuantizationError(
                path,
                f"holds no calibration ranges ({one_line(error)})",
                "delete it; it is made again from the calibration images",
            ) from error
        if not len(ranges.names) == ranges.low.size == ranges.high.size:
            raise QuantizationError(path, "holds ranges that do not match their names", "delete it")
        return ranges


def collect_ranges(
    prepared: PreparedModel,
    inputs: Iterable[tuple[str, NDArray[np.float32]]],
    method: CalibrationMethod,
    percentile: float | None = None,
) -> Ranges:
    """Run the model on calibration images and estimate the range of each activation.

    The collector is our own: onnxruntime's keep the tensors or extremes of all images in memory,
    accept NaN silently, weigh images by order when fed in parts, and name nodes at random. The
    min-max ranges are bit for bit onnxruntime's. Memory is one image's activations.

    Args:
        prepared: the prepared FP32 model.
        inputs: (name, tensor) per image; the name is for messages. Consumed once, one at a time.
        method: "minmax"; "moving-average": mean over the images of each image's extremes;
            "percentile"; "entropy" (256 levels in 512 bins a side: onnxruntime's defaults, 128 in
            128, always return the min-max ranges). Entropy weighs rare large values little: on
            face embedders it was the least accurate. "mse": the least squared error of 8 bits.
        percentile: share of values inside the range in percent, for "percentile" (99.99).

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    names = float_tensors(prepared.proto.graph)
    collector = _COLLECTORS[method](len(names))

    def take(values: Mapping[str, NDArray[np.float32]]) -> str | None:
        for index, name in enumerate(names):
            if not collector.add(index, values[name]):
                return name
        return None

    count = observe(prepared, names, inputs, take)
    if method == "percentile" and percentile is None:
        percentile = DEFAULT_PERCENTILE
    low, high = collector.ranges(count, percentile)
    return Ranges(
        names=names,
        low=low.astype(np.float32),
        high=high.astype(np.float32),
        method=method,
        percentile=percentile,
        images=count,
    )


class _Extremes:
    """Smallest and largest value over all images."""

    def __init__(self, tensors: int) -> None:
        self.low = np.full(tensors, np.inf)
        self.high = np.full(tensors, -np.inf)

    def add(self, index: int, values: NDArray[np.float32]) -> bool:
        """Take in one tensor of one image; False if it is not finite."""
        if not values.size:
            low = high = np.float32(0)
        else:
            low, high = values.min(), values.max()  # NaN, unlike in onnxruntime, wins
        if not (np.isfinite(low) and np.isfinite(high)):
            return False
        self.take(index, float(low), float(high), values)
        return True

    def take(self, index: int, low: float, high: float, values: NDArray[np.float32]) -> None:
        self.low[index] = min(self.low[index], low)
        self.high[index] = max(self.high[index], high)

    def ranges(
        self, images: int, percentile: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.low, self.high


class _MeanExtremes(_Extremes):
    """Mean over the images of their smallest and of their largest values."""

    def __init__(self, tensors: int) -> None:
        self.low = np.zeros(tensors)
        self.high = np.zeros(tensors)

    def take(self, index: int, low: float, high: float, values: NDArray[np.float32]) -> None:
        self.low[index] += low
        self.high[index] += high

    def ranges(
        self, images: int, percentile: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.low / images, self.high / images


class _Histograms(_Extremes):
    """Histograms over all images, for the methods that cut the tails."""

    def __init__(self, tensors: int) -> None:
        self.histograms = [Histogram() for _ in range(tensors)]

    def take(self, index: int, low: float, high: float, values: NDArray[np.float32]) -> None:
        self.histograms[index].add(values)

    def ranges(
        self, images: int, percentile: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = zip(*(self.range_of(h, percentile) for h in self.histograms), strict=True)
        return np.array(low), np.array(high)

    def range_of(self, histogram: Histogram, percentile: float | None) -> tuple[float, float]:
        assert percentile is not None
        return histogram.percentile_range(percentile)


class _Entropy(_Histograms):
    def range_of(self, histogram: Histogram, percentile: float | None) -> tuple[float, float]:
        return histogram.entropy_range()


class _SquaredError(_Histograms):
    def range_of(self, histogram: Histogram, percentile: float | None) -> tuple[float, float]:
        return histogram.mse_range()


_COLLECTORS: dict[str, type[_Extremes]] = {
    "minmax": _Extremes,
    "moving-average": _MeanExtremes,
    "percentile": _Histograms,
    "entropy": _Entropy,
    "mse": _SquaredError,
}
