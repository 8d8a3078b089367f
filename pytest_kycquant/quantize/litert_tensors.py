"""Values of all tensors of a ``.tflite`` file while it runs, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import QuantizationError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Feed = Mapping[str, Array]


class Observer:
    """A ``.tflite`` file whose tensors can be read after each run.

    Args:
        content: the file.
        where: the file, for messages.
    """

    def __init__(self, content: bytes, where: object) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        from ..runtimes.litert import input_names

        self._where = where
        # XNNPACK would compute several operators as one, and their tensors would not exist.
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter: Any = Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=True,
        )  # fmt: skip
        self._interpreter.allocate_tensors()
        self._names = input_names(self._interpreter, where)
        self._details = {d["index"]: d for d in self._interpreter.get_input_details()}
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        self._tensors = [d for d in self._interpreter.get_tensor_details() if d["name"]]

    def run(self, feed: Feed) -> None:
        """Run the file on one sample: float arrays by the names of its inputs."""
        try:
            resized = False
            for index, name in self._names.items():
                if list(feed[name].shape) != self._details[index]["shape"].tolist():
                    self._interpreter.resize_tensor_input(index, feed[name].shape)
                    resized = True
            if resized:
                self._interpreter.allocate_tensors()
            for index, name in self._names.items():
                self._interpreter.set_tensor(index, _stored(feed[name], self._details[index]))
            self._interpreter.invoke()
        except Exception as error:
            raise QuantizationError(
                self._where, f"LiteRT cannot run it ({one_line(error)})", "check its operators"
            ) from error

    def floats(self) -> Iterator[tuple[str, Array]]:
        """Names and values of all float32 tensors after a run."""
        for details in self._tensors:
            if details["dtype"] is not np.float32:
                continue
            array = self._read(details["index"])
            if array is not None and array.size:
                yield details["name"], array

    def values(self, names: Mapping[str, object]) -> Iterator[tuple[str, Array]]:
        """Names and dequantized values of some tensors after a run."""
        for details in self._tensors:
            if details["name"] in names:
                array = self._read(details["index"])
                if array is not None:
                    yield details["name"], _shown(array, details)

    def outputs(self) -> list[Array]:
        """Dequantized outputs after a run."""
        details = {d["index"]: d for d in self._interpreter.get_output_details()}
        read = self._interpreter.get_tensor
        return [_shown(read(index), details[index]) for index in self._outputs]

    def _read(self, index: int) -> Array | None:
        try:
            found: Array = self._interpreter.get_tensor(index)
        except ValueError:  # a tensor without data, such as that of an unused branch
            return None
        return found


def _stored(array: Array, details: Mapping[str, Any]) -> Array:
    kind = np.dtype(details["dtype"])
    scale, zero = details["quantization"]
    if kind.kind not in "iu" or not scale:
        return np.ascontiguousarray(array.astype(kind))
    limits = np.iinfo(kind)
    steps = np.clip(np.rint(array / scale) + zero, limits.min, limits.max)
    return np.ascontiguousarray(steps.astype(kind))


def _shown(array: Array, details: Mapping[str, Any]) -> Array:
    scale, zero = details["quantization"]
    if array.dtype.kind not in "iu" or not scale:
        return array.astype(np.float32)
    found: Array = ((array.astype(np.float64) - zero) * scale).astype(np.float32)
    return found
