"""What production must know of a file's inputs and outputs where they are not as FP32's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..quantize.built import ModelFile
    from ..runtimes import Port


@dataclass(frozen=True)
class FilePort:
    """An input or output of a file, as whoever runs it without this package sees it.

    Args:
        name: its name in the file.
        of: name of the input or output of FP32 that it stands for; "" for an output that stands for
            none.
        dtype: numpy name of its type in the file.
        fp32: numpy name of the type of that input or output of FP32.
        shape: its dimensions; None for one that is free, or alone if even their number is unknown.
        axes: of an input, the order of FP32's dimensions in the file; of an output, the order of
            the file's dimensions in FP32's; as for `numpy.transpose`, and empty if it is the same.
        scale: what one step of its integers means; 0 if they are not quantized.
        zero: the integer that means zero: integers stand for ``(integer - zero) * scale``.
    """

    name: str
    of: str
    dtype: str
    fp32: str
    shape: tuple[int | None, ...] | None
    axes: tuple[int, ...] = ()
    scale: float = 0.0
    zero: int = 0

    @property
    def is_as_fp32(self) -> bool:
        """Whether it is filled or read as the input or output of FP32 is."""
        return self.name == self.of and self.dtype == self.fp32 and not self.axes

    def as_input(self) -> str:
        """How to fill it, on one line."""
        parts = [f"{self.name} takes {self._typed}"]
        if self.axes:
            parts.append(f"FP32's dimensions in the order {', '.join(map(str, self.axes))}")
        if self.scale:
            import numpy as np  # reports are read where nothing is judged

            limits = np.iinfo(self.dtype)
            parts.append(
                f"round(x / {self.scale:.7g}) {self.zero:+d}, clipped to {limits.min}..{limits.max}"
                ", where FP32 takes x"
            )
        return ", ".join(parts)

    def as_output(self) -> str:
        """How to read it, on one line."""
        parts = [f"{self.name} gives {self.of} in {self._typed}"]
        if self.axes:
            parts.append(f"its dimensions in the order {', '.join(map(str, self.axes))}")
        if self.scale:
            parts.append(f"(q {-self.zero:+d}) * {self.scale:.7g}")
        return ", ".join(parts)

    @property
    def _typed(self) -> str:
        sizes = "x".join("?" if size is None else str(size) for size in self.shape or ())
        return f"{self.dtype} {sizes}".rstrip()


@dataclass(frozen=True)
class FilePorts:
    """All inputs and outputs of a file.

    Args:
        inputs: the inputs, in their order.
        outputs: the outputs, in their order.
    """

    inputs: tuple[FilePort, ...]
    outputs: tuple[FilePort, ...]

    def lines(self, model: str) -> list[str]:
        """How to feed the file and read it where that is not as for FP32, a line each.

        Args:
            model: names the file.
        """
        fed = [port.as_input() for port in self.inputs if not port.is_as_fp32]
        read = [port.as_output() for port in self.outputs if port.of and not port.is_as_fp32]
        return [*(f"feed {model}: {one}" for one in fed), *(f"read {model}: {one}" for one in read)]


def differs(file: ModelFile) -> bool:
    """Whether a file may have other inputs and outputs than FP32's."""
    return bool(file.interface.inputs) or not file.runtime.is_reference


def ports_of(file: ModelFile, types: Mapping[str, str]) -> FilePorts:
    """The inputs and outputs of a file, which is opened for that.

    Args:
        file: the file.
        types: numpy names of the types of FP32's inputs and outputs that are not float32.

    Raises:
        ModelError: the file has changed, or cannot be opened.
    """
    opened, fits = file.open_as_it_is(), file.interface
    ins = {fit.name: (fit.of, fit.axes) for fit in fits.inputs}
    outs = {opened.outputs[fit.at]: (fit.of, fit.axes) for fit in fits.outputs}
    return FilePorts(
        tuple(_ports(opened.input_ports, ins, types)),
        tuple(_ports(opened.output_ports, outs, types)),
    )


def _ports(
    ports: tuple[Port, ...],
    known: dict[str, tuple[str, tuple[int, ...]]],
    types: Mapping[str, str],
) -> Iterator[FilePort]:
    for port in ports:
        # An empty interface says that all is as in FP32, any other lists what stands for something.
        of, axes = known.get(port.name, ("" if known else port.name, ()))
        kind, fp32 = port.stored or port.dtype, types.get(of, "float32")
        yield FilePort(port.name, of, kind, fp32, port.shape, axes, port.scale, port.zero)
