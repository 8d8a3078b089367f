"""How a file that names, orders or types its inputs and outputs otherwise stands in for FP32.

An `Interface` is plain data, so that it can be part of keys and cross to other processes.
`Adapted` presents a file as FP32 is: whoever runs it needs to know nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
        if kind.kind not in "iu" or array.dtype.kind not in "fiu":
            return array.astype(kind)
        rounded = np.rint(array)
        limits = np.iinfo(kind)
        wrong = (np.abs(array - rounded) > _WHOLE) | (rounded < limits.min) | (rounded > limits.max)
        if wrong.any():
            raise ModelError(
                f"input {shown(self.name)}",
                f"is {self.dtype}, and {float(array[wrong][0]):.6g} is not one of its values",
                "say how pixels become this input: Prequantized(preprocess=Preprocess(...))"
                if array.dtype.kind == "f"
                else "give a file whose input holds all values of FP32's",
            )
        return rounded.astype(kind)


@dataclass(frozen=True)
class OutputFit:
    """One output of a file.

    Args:
        at: its place among the outputs of the file.
        of: name of the output of FP32 that it stands for.
        axes: order of the file's dimensions in FP32's output; empty if it is the same.
        dtype: numpy name of FP32's type, if both are floats of another width; empty otherwise.
    """

    at: int
    of: str
    axes: tuple[int, ...] = ()
    dtype: str = ""

    def convert(self, outputs: Sequence[Array]) -> Array:
        """The output as FP32 gives it."""
        found = outputs[self.at]
        if self.dtype:
            found = found.astype(self.dtype)
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

    def feed(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the file is fed, by the names of its inputs, instead of what FP32 is fed."""
        if not self.inputs:
            return dict(inputs)
        return {fit.name: fit.convert(inputs[fit.of]) for fit in self.inputs}


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
            Port(fit.of, _shape(port.shape, fit.axes), fit.dtype or port.dtype)
            for fit in interface.outputs
            for port in [model.output_ports[fit.at]]
        )
        self.inputs = tuple(fit.of for fit in interface.inputs)
        self.outputs = tuple(fit.of for fit in interface.outputs)

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the model once; see `OpenModel.run`."""
        outputs = self._model.run(self._interface.feed(inputs))
        return [fit.convert(outputs) for fit in self._interface.outputs]

    def runner(self, inputs: Mapping[str, Array]) -> Callable[[], object]:
        """A function that runs the model once; see `OpenModel.runner`."""
        return self._model.runner(self._interface.feed(inputs))


def _shape(
    shape: tuple[int | None, ...] | None, axes: Sequence[int]
) -> tuple[int | None, ...] | None:
    return tuple(shape[axis] for axis in axes) if shape is not None and axes else shape


def fit(
    where: object,
    model: OpenModel,
    sample: Mapping[str, Array],
    expected: Mapping[str, Array],
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Interface:
    """Work out how an open file stands in for FP32.

    What has the same name belongs together, then what has the same shape, perhaps with its
    dimensions in another order: that of channels last or first, or the only one that fits.

    Args:
        where: the file, for messages.
        model: the file.
        sample: what one run of FP32 is fed, by the names of its inputs.
        expected: what it returns, by the names of its outputs, in their order.
        inputs: name of the input in the file, by that in FP32, where neither name nor shape tells.
        outputs: names of the outputs in the file, in FP32's order; None finds them like inputs.

    Raises:
        ModelError: inputs or outputs cannot be matched. Both sides are listed.
    """
    known = dict(inputs or {})
    fed = _matched(where, "input", model.input_ports, sample, known)
    if len(fed) != len(model.input_ports):
        raise _unmatched(where, "input", model.input_ports, sample)
    given = {} if outputs is None else dict(zip(expected, outputs, strict=False))
    if outputs is not None and len(outputs) != len(expected):
        raise ModelError(
            where,
            f"{len(outputs)} of its outputs are named, and {len(expected)} of FP32's are read: "
            f"{', '.join(map(shown, expected))}",
            "name the outputs that stand for these, in their order",
        )
    read = _matched(where, "output", model.output_ports, expected, given)
    if len(read) != len(expected):
        raise _unmatched(where, "output", model.output_ports, expected)
    places = {name: at for at, name in enumerate(model.outputs)}
    kinds = {port.name: port.dtype for port in (*model.output_ports, *model.input_ports)}
    found = Interface(
        tuple(InputFit(name, of, kinds[name], axes) for of, (name, axes) in fed.items()),
        tuple(
            OutputFit(places[name], of, _inverse(axes), _widened(kinds[name], expected[of]))
            for of, (name, axes) in read.items()
        ),
    )
    found = _settled(model, found, sample, expected)
    same = (
        all(fit.name == fit.of and not fit.axes for fit in found.inputs)
        and all(str(sample[fit.of].dtype) == fit.dtype for fit in found.inputs)
        and tuple(fit.of for fit in found.outputs) == model.outputs
        and all(model.outputs[fit.at] == fit.of for fit in found.outputs)
        and not any(fit.axes or fit.dtype for fit in found.outputs)
    )
    return Interface() if same else found


def _settled(
    model: OpenModel, found: Interface, sample: Mapping[str, Array], expected: Mapping[str, Array]
) -> Interface:
    """Where several orders of an output's dimensions fit its shape, take the one with its values.

    A head of 80 channels on a map of 80 x 80 has the same shape with its channels first or last.
    """
    orders = {
        each.of: [_inverse(axes) for axes in _orders(expected[each.of].shape, port.shape)]
        for each in found.outputs
        for port in [model.output_ports[each.at]]
    }
    if all(len(each) < 2 for each in orders.values()):
        return found
    try:
        outputs = model.run(found.feed(sample))
    except ModelError:  # the input takes other values than FP32's
        return found

    def apart(each: OutputFit) -> float:
        array = each.convert(outputs)
        if array.shape != expected[each.of].shape:
            return np.inf
        return float(np.abs(array.astype(np.float64) - expected[each.of]).mean())

    settled = [
        min((replace(each, axes=axes) for axes in orders[each.of]), key=apart)
        if len(orders[each.of]) > 1
        else each
        for each in found.outputs
    ]
    return replace(found, outputs=tuple(settled))


_Fits = dict[str, tuple[str, tuple[int, ...]]]


def _matched(
    where: object,
    side: str,
    ports: Sequence[Port],
    arrays: Mapping[str, Array],
    known: Mapping[str, str],
) -> _Fits:
    """Name in the file and order of dimensions of what could be matched, by the name in FP32."""
    there = {port.name: port for port in ports}
    by_name = {name: name for name in arrays if name in there and name not in known.values()}
    found: _Fits = {}
    for of, name in {**by_name, **known}.items():
        if of not in arrays or name not in there:
            raise _unmatched(where, side, ports, arrays, f"{shown(name)} for {shown(of)}")
        axes = _axes(arrays[of].shape, there[name].shape)
        if axes is None:
            raise _unmatched(where, side, ports, arrays)
        found[of] = name, axes
    while True:
        taken = {name for name, _ in found.values()}
        left = [port for port in ports if port.name not in taken]
        # The file may lack an input, which is then a constant in it, or have further outputs.
        fits: dict[str, _Fits] = {of: {} for of in arrays if of not in found}
        for of, port in itertools.product(fits, left):
            axes = _axes(arrays[of].shape, port.shape)
            if axes is not None:
                fits[of][port.name] = port.name, axes
        claims = [name for options in fits.values() for name in options]
        sure = {
            of: next(iter(options.values()))
            for of, options in fits.items()
            if len(options) == 1 and claims.count(next(iter(options))) == 1
        }
        if not sure:
            return {of: found[of] for of in arrays if of in found}
        found.update(sure)


def _axes(shape: Sequence[int], there: Sequence[int | None] | None) -> tuple[int, ...] | None:
    """Order of dimensions that makes one shape the other: () for the same, None for none."""
    return next(iter(_orders(shape, there)), None)


def _orders(shape: Sequence[int], there: Sequence[int | None] | None) -> list[tuple[int, ...]]:
    """The orders of dimensions that fit, the likeliest first."""
    if there is None:
        return [()]
    count = len(shape)
    if len(there) != count:
        return []

    def fits(axes: Iterable[int]) -> bool:
        return all(size in (None, shape[at]) for size, at in zip(there, axes, strict=True))

    usual: list[tuple[int, ...]] = [()] if fits(range(count)) else []
    if count < 3:  # what looks like a transposed matrix is another model
        return usual
    last, first = (0, *range(2, count), 1), (0, count - 1, *range(1, count - 1))
    usual += [axes for axes in dict.fromkeys((last, first)) if fits(axes)]
    if usual:
        return usual
    others = [axes for axes in itertools.permutations(range(count)) if fits(axes)]
    return others if len(others) == 1 and None not in there else []


def takes(
    there: Sequence[int | None] | None, shape: Sequence[int], axes: Sequence[int] = ()
) -> bool:
    """Whether a shape takes an array of another one whose dimensions are put in this order."""
    found = [shape[axis] for axis in axes or range(len(shape))]
    return there is None or (
        len(there) == len(found)
        and all(size in (None, given) for size, given in zip(there, found, strict=True))
    )


def _widened(dtype: str, expected: Array) -> str:
    """The type of FP32's output, if the file gives a float of another width; else ""."""
    other = expected.dtype.kind == "f" and dtype in ("float16", "float64", "float32")
    return str(expected.dtype) if other and dtype != str(expected.dtype) else ""


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(np.argsort(axes).tolist()) if axes else ()


def _unmatched(
    where: object,
    side: str,
    ports: Sequence[Port],
    arrays: Mapping[str, Array],
    named: str = "",
) -> ModelError:
    listed = [f"{shown(port.name)} {_spelt(port.shape)}" for port in ports]
    wanted = [f"{shown(name)} {_spelt(array.shape)}" for name, array in arrays.items()]
    remedy = f"give the file of this model, or one whose {side}s have FP32's names or shapes"
    if named:
        remedy = f"correct the names of its {side}s: {named} is not possible"
    return ModelError(
        where,
        f"its {side}s cannot be matched with those of FP32: it has {', '.join(listed)}; FP32 has "
        f"{', '.join(wanted)}",
        remedy,
    )


def _spelt(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "of any shape"
    return "x".join("?" if size is None else str(size) for size in shape) or "()"
