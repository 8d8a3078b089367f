"""How much an error of an activation affects the outputs; ranges are chosen by this weight.

A small error e of one activation changes an output by its gradient g times e, so uncorrelated
errors add `E[g^2] e^2` to the squared error of the output. This is the diagonal of the Gauss-Newton
matrix, by which Dong et al., "HAWQ" (arXiv 1905.03696), choose bits and Li et al., "BRECQ" (arXiv
2102.05426), reconstruct layers. g^2 is estimated in the way that Hutchinson estimates a trace ("A
stochastic estimator of the trace of the influence matrix", 1990): from the gradient of a sum of the
outputs with random signs.

The weight shows what one tensor alone cannot. Values that a later PReLU scales down or a Relu cuts
off weigh little, and quiet channels that matter weigh more than loud ones that do not.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.sampling import spread
from ..errors import DataError
from ..runtimes.ort import Session, open_session
from .activations import observe
from .archive import open_archive
from .gradient import Backward, backward
from .graph import float_tensors, has_subgraphs, serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from ..runtimes.feeding import Sample
    from .preparation import PreparedModel

_IMAGES = 32  # enough: only the weights come from them; values are counted on all images

_SIDE = 16  # bins on each side of zero
_MANY = 4  # times as many anchors as numbers of each
_PROBABILITY = 0.01  # an error far below this does not matter in an output between 0 and 1
_SAMPLE = 1 << 14  # about how many values of a tensor are used per image


class Weights(NamedTuple):
    """Mean squared gradient of a tensor's values, by value.

    Args:
        squares: mean in each of equal bins between -2**exponent and 2**exponent, float64. An empty
            bin has the mean of the nearest bin with values.
        exponent: exponent of the range that the bins cover.
    """

    squares: NDArray[np.float64]
    exponent: int

    def at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of an error at each value; beyond the bins, that of the last bin."""
        index = np.floor(values * (_SIDE * 2.0**-self.exponent)).astype(np.int64) + _SIDE
        return self.squares[np.clip(index, 0, 2 * _SIDE - 1)]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The weights of a model's activations.

    Args:
        weights: weights by tensor. A tensor that no gradient reaches is missing, and so are all
            tensors of a model with subgraphs.
    """

    weights: dict[str, Weights]

    def to_npz(self, path: Path) -> None:
        """Write to an ``.npz`` file without pickled objects; equal weights give equal bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            names=np.array(json.dumps(list(self.weights))),
            squares=np.array([w.squares for w in self.weights.values()]).reshape(-1, 2 * _SIDE),
            exponents=np.array([w.exponent for w in self.weights.values()], np.int64),
        )
        path.write_bytes(buffer.getvalue())

    @classmethod
    def from_npz(cls, path: Path) -> Sensitivity:
        """Read what `to_npz` wrote.

        Raises:
            QuantizationError: the file is missing, damaged or of another kind.
        """
        with open_archive(path, "sensitivity") as file:
            names = json.loads(file["names"].item())
            squares, exponents = file["squares"], file["exponents"]
            if squares.shape != (len(names), 2 * _SIDE) or exponents.shape != (len(names),):
                raise ValueError("arrays do not match their names")
        rows = zip(names, squares, exponents, strict=True)
        return cls({name: Weights(row, int(exponent)) for name, row, exponent in rows})


def sensitivity_images(count: int) -> list[int]:
    """Indices of the calibration images to measure sensitivity on, spread evenly."""
    return spread(count, _IMAGES)


def measure_sensitivity(
    prepared: PreparedModel, inputs: Iterable[tuple[str, Sample]]
) -> Sensitivity:
    """Measure on some calibration images how much each activation matters.

    Outputs count relative to their size. In outputs with more axes than channels (boxes and
    scores), each channel counts relative to its own size, and probabilities relative to 0.01 at
    least: a class that no image shows matters no more than others. The cost is about three runs of
    the model per image, and memory for the activations and gradients of one image.

    Args:
        prepared: the prepared FP32 model, equalized or not.
        inputs: (name, tensor) per image; those that `sensitivity_images` selects suffice. Consumed
            once, in order.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
    """
    stream = iter(inputs)
    first = next(stream, None)
    if first is None:
        raise DataError(
            prepared.path, "there are no calibration images", "give 100 to 500 images in KycModel"
        )
    if has_subgraphs(prepared.proto.graph):
        return Sensitivity({})  # subgraphs may read any activation by its name
    model = _with_shape(prepared, first[1])
    found = backward(model)
    names = [n for n in float_tensors(model.graph) if n in found.gradients]
    session = _gradient_session(found, names, prepared.inputs)
    outputs = [n for n in names if n not in prepared.inputs]
    outputs += [found.gradients[n] for n in names]
    seeds = {name: _Seed(index) for index, name in enumerate(found.seeds)}
    tallies = {name: _Tally() for name in names}

    def look(values: Mapping[str, NDArray[np.float32]]) -> None:
        image = {name: values[name] for name in prepared.inputs}
        fed = {found.seeds[name]: seed.draw(values[name]) for name, seed in seeds.items()}
        results = dict(zip(outputs, session.run(outputs, image | fed), strict=True)) | image
        for name, tally in tallies.items():
            tally.add(results[name], results[found.gradients[name]])

    for _ in observe(prepared, tuple(seeds), itertools.chain([first], stream), look, threads=1):
        pass
    weights = {name: tally.weights() for name, tally in tallies.items()}
    return Sensitivity({name: each for name, each in weights.items() if each is not None})


def _with_shape(prepared: PreparedModel, sample: Sample) -> ModelProto:
    """Copy of the model with the tensor shapes inferred for inputs like a sample."""
    from onnx import shape_inference

    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    given = prepared.feed(sample)
    for info in proto.graph.input:
        for dimension, size in zip(
            info.type.tensor_type.shape.dim, given[info.name].shape, strict=False
        ):
            dimension.dim_value = size
    for info in proto.graph.output:
        info.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    return shape_inference.infer_shapes(proto)


def _gradient_session(found: Backward, names: list[str], inputs: Sequence[str]) -> Session:
    """Open a model with activations and gradients as outputs, unoptimized as in `observe`."""
    from onnx import TensorProto, helper

    known = {info.name for info in found.proto.graph.output} | set(inputs)
    wanted = dict.fromkeys((*names, *(found.gradients[name] for name in names)))
    found.proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in wanted
        if name not in known
    )
    return open_session(serialize(found.proto), optimize=False)


class _Seed:
    """Random signs for one output, divided by the size of the output so far."""

    def __init__(self, index: int) -> None:
        self._rng = np.random.default_rng([0, index])
        self._squares: NDArray[np.float64] = np.zeros(())
        self._images = 0
        self._ends = 0.0, 0.0

    def draw(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if not values.size:  # rows of what was found, of which there are none
            return np.zeros(values.shape, np.float32)
        channels = _channels(values.shape)
        others = tuple(i for i in range(values.ndim) if i != channels)
        mean = np.square(values, dtype=np.float64).mean(axis=others, keepdims=True)
        if self._images and mean.shape != self._squares.shape:  # another number of rows
            mean, self._squares = mean.mean(keepdims=True), self._squares.mean(keepdims=True)
        self._images += 1
        self._squares = self._squares + mean
        size = np.sqrt(self._squares / self._images)
        least, most = self._ends
        self._ends = float(values.min(initial=least)), float(values.max(initial=most))
        if self._ends[0] >= 0 and self._ends[1] <= 1:
            size = np.maximum(size, _PROBABILITY)
        signs = 2.0 * self._rng.integers(0, 2, values.shape) - 1
        scaled = np.zeros(values.shape)
        np.divide(signs, size, out=scaled, where=size > 0)
        return scaled.astype(np.float32)


def _channels(shape: tuple[int, ...]) -> int | None:
    """Axis of the channels of an output; None if it has none beside the batch.

    Anchors are not channels: those without a face are always near zero, and relative to their own
    size, they would count millions of times more than the one that is 1.
    """
    if len(shape) < 3:
        return None
    if len(shape) == 3:  # anchors are many more than the numbers of each; else it is a map
        short, long = sorted(shape[1:])
        return None if long < _MANY * short else shape.index(short, 1)
    last = len(shape) - 1
    if len(shape) > 4:
        return last  # anchors, height, width, then the numbers of a box
    _, first, height, width = shape
    if height == width:
        return 1
    return last if first == height or 2 * width < min(first, height) else 1  # NHWC


class _Tally:
    """Counts of one tensor's values and sums of their squared gradients, by value."""

    def __init__(self) -> None:
        self._sums = np.zeros((2, 2 * _SIDE))
        self._exponent: int | None = None

    def add(self, values: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        step = values.size // _SAMPLE | 1  # odd, so that it does not align with the image width
        x = values.ravel()[::step].astype(np.float64)
        largest = float(np.abs(x).max(initial=0.0))
        if not largest:
            return  # their errors are zero, whatever the range
        exponent = math.frexp(largest)[1]
        if self._exponent is None:
            self._exponent = exponent
        for _ in range(exponent - self._exponent):  # bins twice as wide
            merged = self._sums.reshape(2, _SIDE, 2).sum(axis=2)
            self._sums = np.zeros_like(self._sums)
            self._sums[:, _SIDE // 2 : _SIDE // 2 + _SIDE] = merged
        self._exponent = max(self._exponent, exponent)
        index = np.floor(x * (_SIDE * 2.0**-self._exponent)).astype(np.int64) + _SIDE
        squares = np.square(gradient.ravel()[::step], dtype=np.float64)
        self._sums += [
            np.bincount(index, minlength=2 * _SIDE),
            np.bincount(index, squares, 2 * _SIDE),
        ]

    def weights(self) -> Weights | None:
        """Mean weights; None if no gradient arrived or the gradient overflowed."""
        counts, sums = self._sums
        if self._exponent is None or not (np.isfinite(sums).all() and sums.any()):
            return None
        filled = np.flatnonzero(counts)
        nearest = np.abs(np.arange(counts.size)[:, None] - filled).argmin(axis=1)
        return Weights((sums[filled] / counts[filled])[nearest], self._exponent)
