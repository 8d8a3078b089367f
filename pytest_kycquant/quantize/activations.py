"""Run a model on calibration images and observe its activations, a few images at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..context.parallel import ordered_map
from ..errors import DataError, QuantizationError, one_line
from ..runtimes.ort import Session, open_session
from .graph import producers, serialize
from .rewrites import fast_prelu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ..runtimes.feeding import Sample
    from .preparation import PreparedModel

T = TypeVar("T")


class NotFiniteError(Exception):
    """An activation is NaN or Inf; its argument is the name of the tensor."""


def no_images(prepared: PreparedModel) -> DataError:
    """The error if there is nothing to observe."""
    remedy = "give 100 to 500 images in KycModel"
    return DataError(prepared.path, "there are no calibration images", remedy)


def observe(
    prepared: PreparedModel,
    names: Sequence[str],
    inputs: Iterable[tuple[str, Sample]],
    look: Callable[[Mapping[str, NDArray[np.float32]]], T],
    *,
    threads: int,
) -> Iterator[T]:
    """Pass the named activations of each image to a function and yield its results in order.

    Each thread holds the activations of one image in memory.

    Args:
        prepared: the prepared FP32 model.
        names: names of float32 activations, optionally including the model's input.
        inputs: (name, sample) per image; the name appears in messages. Consumed once, in this
            thread, one at a time (with more threads, a few ahead).
        look: function from {name: activation} to a result, called in any thread; it raises
            NotFiniteError for an activation that is not finite.
        threads: number of images in flight at the same time.

    Raises:
        DataError: an image contains NaN or Inf, or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    session = _observing_session(prepared, names)
    watched = [name for name in names if name not in prepared.inputs]

    def one(given: tuple[str, Sample]) -> T:
        image, sample = given
        values = prepared.feed(sample)
        if not all(np.isfinite(array).all() for array in values.values()):
            raise DataError(image, "contains NaN or Inf", "remove it from the calibration images")
        try:
            if watched:  # to onnxruntime, no names means all outputs
                values.update(zip(watched, session.run(watched, values), strict=True))
        except Exception as error:
            raise DataError(
                image,
                f"cannot be fed to {prepared.path.name} ({one_line(error)})",
                "correct Preprocess or remove the image",
            ) from error
        try:
            return look(values)
        except NotFiniteError as error:
            (name,) = error.args
            raise QuantizationError(
                prepared.path,
                f"tensor {name!r}{_origin(prepared, name)} is NaN or Inf for image {image}",
                "the FP32 model itself fails on this image: correct Preprocess or the model",
            ) from None

    return ordered_map(one, inputs, threads=threads, window=2)


def _observing_session(prepared: PreparedModel, names: Sequence[str]) -> Session:
    """Open the model with activations as outputs, unoptimized, so that no tensor is fused away.

    With all activations as outputs there is little to optimize. onnxruntime's exact levels are not
    faster, and its layout for convolutions (NCHWc) rounds differently.
    """
    from onnx import TensorProto, helper

    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    fast_prelu(proto.graph)
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in known and name not in prepared.inputs
    )
    return open_session(serialize(proto), optimize=False)


def _origin(prepared: PreparedModel, name: str) -> str:
    node = producers(prepared.proto.graph).get(name)
    return "" if node is None else f" of {node.op_type} {node.name!r}"
