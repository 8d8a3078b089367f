"""How a file that names, orders or types its inputs and outputs otherwise stands in for FP32.

An `Interface` is plain data, so that it can be part of keys and cross to other processes.
`Adapted` presents a file as FP32 is: whoever runs it needs to know nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..spec.coerce import shown
from . import OpenModel, Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_WHOLE = 0.02  # how far from a whole number a pixel may be after it was normalized and back


@dataclass(frozen=True)
class InputFit:
    """One input of a file.

    Args:
        name: its name in the file.
        of: name of the input of FP32 that it stands for.
        dtype: numpy name of its type.
        axes: order of FP32's dimensions in the file, as for `numpy.transpose`; empty if it is the
            same.
        gain: factor for each channel of FP32's array, applied first; empty for none.
        shift: value for each channel that is added afterwards; empty for none.
        channel: dimension of FP32's array that the channels are in.
        reverse: whether the channels are in the reverse order in the file.
    """

    name: str
    of: str
    dtype: str
    axes: tuple[int, ...] = ()
    gain: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    channel: int = 1
    reverse: bool = False

    def convert(self, array: Array) -> Array:
        """What the file takes instead of an array of FP32.

        Raises:
            ModelError: the type of the input does not hold the values.
        """
        found = array
        if self.gain:
            beside = [1] * array.ndim
            beside[self.channel] = len(self.gain)
            gain = np.asarray(self.gain, np.float64).reshape(beside)
            found = found * gain + np.asarray(self.shift, np.float64).reshape(beside)
        if self.reverse:
            found = np.flip(found, self.channel)
        if self.axes:
            found = found.transpose(self.axes)
        return np.ascontiguousarray(self._typed(found))

    def _typed(self, array: Array) -> Array:
        kind = np.dtype(self.dtype)
        if array.dtype == kind:
            return array
        if kind.kind not in "iu" or array.dtype.kind not in "f":
            return array.astype(kind)
        rounded = np.rint(array)
        limits = np.iinfo(kind)
        wrong = (np.abs(array - rounded) > _WHOLE) | (rounded < limits.min) | (rounded > limits.max)
        if wrong.any():
            raise ModelError(
                f"input {shown(self.name)}",
                f"is {self.dtype}, and {float(array[wrong][0]):.6g} is not one of its values",
                "say how pixels become this input: Prequantized(preprocess=Preprocess(...))",
            )
        return rounded.astype(kind)


@dataclass(frozen=True)
class OutputFit:
    """One output of a file.

    Args:
        at: its place among the outputs of the file.
        of: name of the output of FP32 that it stands for.
        axes: order of the file's dimensions in FP32's output; empty if it is the same.
    """

    at: int
    of: str
    axes: tuple[int, ...] = ()

    def convert(self, outputs: Sequence[Array]) -> Array:
        """The output as FP32 gives it."""
        found = outputs[self.at]
        return found.transpose(self.axes) if self.axes else found


@dataclass(frozen=True)
class Interface:
    """How a file stands in for FP32; empty if nothing differs.

    Args:
        inputs: the inputs of the file.
        outputs: its outputs, in the order of FP32's.
    """

    inputs: tuple[InputFit, ...] = ()
    outputs: tuple[OutputFit, ...] = ()

    def present(self, model: OpenModel) -> OpenModel:
        """Present an open file as FP32 is."""
        return Adapted(model, self) if self.inputs else model


class Adapted:
    """An open file that is fed as FP32 is, and gives outputs as FP32 does.

    Args:
        model: the file.
        interface: how it stands in for FP32.
    """

    def __init__(self, model: OpenModel, interface: Interface) -> None:
        self._model, self._interface = model, interface
        inner = {port.name: port for port in model.input_ports}
        self.input_ports = tuple(
            Port(fit.of, _shape(inner[fit.name].shape, np.argsort(fit.axes).tolist()), "float32")
            for fit in interface.inputs
        )
        self.output_ports = tuple(
            Port(fit.of, _shape(port.shape, fit.axes), port.dtype)
            for fit in interface.outputs
            for port in [model.output_ports[fit.at]]
        )
        self.inputs = tuple(fit.of for fit in interface.inputs)
        self.outputs = tuple(fit.of for fit in interface.outputs)

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the model once; see `OpenModel.run`."""
        outputs = self._model.run(self._converted(inputs))
        return [fit.convert(outputs) for fit in self._interface.outputs]

    def runner(self, inputs: Mapping[str, Array]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        return self._model.runner(self._converted(inputs))

    def _converted(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {fit.name: fit.convert(inputs[fit.of]) for fit in self._interface.inputs}


def _shape(
    shape: tuple[int | None, ...] | None, axes: Sequence[int]
) -> tuple[int | None, ...] | None:
    return tuple(shape[axis] for axis in axes) if shape is not None and axes else shape
