"""How the input of FP32 becomes that of a file which expects pixels prepared otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..spec.coerce import shown
from ..spec.model import Layout, Preprocess
from . import OpenModel
from .interface import InputFit, Interface, OutputFit, takes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHERE = "Prequantized.preprocess"
_TURNED: dict[tuple[Layout, Layout], tuple[int, ...]] = {
    ("NCHW", "NHWC"): (0, 2, 3, 1),
    ("NHWC", "NCHW"): (0, 3, 1, 2),
}
"""Order of FP32's dimensions in a file, by the layouts of both."""
_DEFAULT: Layout = "NCHW"
_SAME = ("size", "resize", "fit", "pad", "function", "standardize")


def with_preprocess(
    interface: Interface,
    model: OpenModel,
    sample: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
    of: str,
    fp32: Preprocess,
    own: Preprocess,
) -> Interface:
    """Make the input of a file from that of FP32, by undoing what prepared it.

    FP32 sees ``x = (pixel - mean) * scale``. The file is given ``(pixel - own.mean) * own.scale``.
    The order of dimensions is the one that was declared, or the one that the shape asks for.

    Args:
        interface: how the file stands in for FP32 by names and shapes.
        model: the file.
        sample: what one run of FP32 is fed, by the names of its inputs: one image.
        expected: what it returns, by the names of its outputs.
        of: name of the input of FP32 that takes the image.
        fp32: how FP32's input is prepared.
        own: how the file's input is prepared.

    Raises:
        SpecError: the input cannot be made from FP32's.
    """
    for name in _SAME:
        if getattr(own, name) != getattr(fp32, name):
            raise SpecError(
                _WHERE,
                f"{name} differs from FP32's, so the file sees other pixels",
                f"give the same {name}, or gate the file as a model of its own",
            )
    if fp32.function is not None or fp32.standardize:
        raise SpecError(
            _WHERE,
            "cannot be used, because FP32's input does not tell the pixels that it was made from",
            "give a file with the same input",
        )
    if own.depth != fp32.depth:
        raise SpecError(
            _WHERE,
            f"has {own.channels} channels, and FP32 has {fp32.channels}",
            "give a file for images of the same kind",
        )
    fits = interface.inputs or tuple(InputFit(p.name, p.name, p.dtype) for p in model.input_ports)
    (place,) = (at for at, each in enumerate(fits) if each.of == of)
    port = next(port for port in model.input_ports if port.name == fits[place].name)
    depth = fp32.depth
    reverse = own.channels != fp32.channels
    order = range(depth - 1, -1, -1) if reverse else range(depth)
    gain, shift = [], []
    for here, other in enumerate(order):
        mean, scale = _of(fp32.mean, here), _of(fp32.scale, here)
        own_mean, own_scale = _of(own.mean, other), _of(own.scale, other)
        gain.append(own_scale / scale)
        shift.append((mean - own_mean) * own_scale)
    alike = not any(shift) and set(gain) == {1.0}
    declared = _TURNED.get((fp32.layout, own.layout), ())
    fitting = takes(port.shape, sample[of].shape, declared)
    if not fitting and own.layout != _DEFAULT:  # what nobody wrote may be otherwise in the file
        raise SpecError(
            _WHERE,
            f"says that layout is {own.layout!r}, and the input {shown(port.name)} of the file has "
            f"the shape {'x'.join('?' if s is None else str(s) for s in port.shape or ())}",
            "leave layout out: the file tells it",
        )
    found = InputFit(
        port.name,
        of,
        port.dtype,
        declared if fitting else fits[place].axes,
        () if alike else tuple(gain),
        () if alike else tuple(shift),
        1 if fp32.layout == "NCHW" else 3,
        reverse,
    )
    outputs = interface.outputs or tuple(
        OutputFit(model.outputs.index(name), name) for name in expected
    )
    return replace(interface, inputs=(*fits[:place], found, *fits[place + 1 :]), outputs=outputs)


def layout_in(interface: Interface, of: str, fp32: Layout) -> Layout:
    """The order of dimensions that a file takes an image in.

    Args:
        interface: how the file stands in for FP32.
        of: name of the input of FP32 that takes the image.
        fp32: the order of FP32's dimensions.
    """
    axes = next((fit.axes for fit in interface.inputs if fit.of == of), ())
    turned = [to for (start, to), known in _TURNED.items() if (start, known) == (fp32, axes)]
    return turned[0] if turned else fp32


def _of(value: float | tuple[float, ...], channel: int) -> float:
    return value[channel] if isinstance(value, tuple) else value
