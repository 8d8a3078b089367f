"""Run a model on calibration images and look at its activations, one image at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, QuantizationError
from ..runtime import open_session
from .graph import one_line, producers, serialize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from .preparation import PreparedModel


def observe(
    prepared: PreparedModel,
    names: Sequence[str],
    inputs: Iterable[tuple[str, NDArray[np.float32]]],
    take: Callable[[Mapping[str, NDArray[np.float32]]], str | None],
) -> int:
    """Give the named activations of each image to a function; return the number of images.

    Memory is one image's activations.

    Args:
        prepared: the prepared FP32 model.
        names: float32 activations, the input of the model among them or not.
        inputs: (name, tensor) per image; the name is for messages. Consumed once, one at a time.
        take: is given name -> activation and returns the name of one that is NaN or Inf, or None.

    Raises:
        DataError: there are no images, or one contains NaN or Inf or does not fit the model.
        QuantizationError: an activation is NaN or Inf.
    """
    session = _observing_session(prepared, names)
    watched = [name for name in names if name != prepared.input_name]
    count = 0
    for image, array in inputs:
        values = {prepared.input_name: array}
        if not np.isfinite(array).all():
            raise DataError(image, "contains NaN or Inf", "remove it from the calibration images")
        try:
            if watched:  # no names would mean all outputs
                values.update(zip(watched, session.run(watched, values), strict=True))
        except Exception as error:
            raise DataError(
                image,
                f"cannot be fed to {prepared.path.name} ({one_line(error)})",
                "correct Preprocess or remove the image",
            ) from error
        if (broken := take(values)) is not None:
            raise QuantizationError(
                prepared.path,
                f"tensor {broken!r}{_origin(prepared, broken)} is NaN or Inf for image {image}",
                "the FP32 model itself fails on this image: correct Preprocess or the model",
            )
        count += 1
        del image, array, values  # before the next image is made
    if not count:
        raise DataError(
            prepared.path, "there are no calibration images", "give 100 to 500 in KycModel"
        )
    return count


def _observing_session(prepared: PreparedModel, names: Sequence[str]) -> InferenceSession:
    """Open the model with activations as outputs, unoptimized: no tensor is fused away."""
    from onnx import TensorProto, helper

    proto = type(prepared.proto)()
    proto.CopyFrom(prepared.proto)
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in known and name != prepared.input_name
    )
    return open_session(serialize(proto), optimize=False)


def _origin(prepared: PreparedModel, name: str) -> str:
    node = producers(prepared.proto.graph).get(name)
    return "" if node is None else f" of {node.op_type} {node.name!r}"
