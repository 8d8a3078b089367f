"""What production must know of a file's inputs and outputs where they are not as FP32's."""

from __future__ import annotations

from collections.abc import Iterator
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
        of: name of the input or output of FP32 that it stands for.
        dtype: numpy name of its type in the file.
        shape: its dimensions; None for one that is free, or alone if even their number is unknown.
        axes: of an input, the order of FP32's dimensions in the file; of an output, the order of
            the file's dimensions in FP32's; as for `numpy.transpose`, and empty if it is the same.
        scale: what one step of its integers means; 0 if they are not quantized.
        zero: the integer that means zero.
    """

    name: str
    of: str
    dtype: str
    shape: tuple[int | None, ...] | None
    axes: tuple[int, ...] = ()
    scale: float = 0.0
    zero: int = 0

    @property
    def is_as_fp32(self) -> bool:
        """Whether it is filled as the input of FP32 is."""
        return self.name == self.of and self.dtype == "float32" and not self.axes

    def describe(self) -> str:
        """How to fill it, on one line."""
        sizes = "x".join("?" if size is None else str(size) for size in self.shape or ())
        parts = [f"{self.name} takes {self.dtype} {sizes}".rstrip()]
        if self.axes:
            parts.append(f"FP32's dimensions in the order {', '.join(map(str, self.axes))}")
        if self.scale:
            parts.append(f"round(value / {self.scale:.7g}) {self.zero:+d}")
        return ", ".join(parts)


@dataclass(frozen=True)
class FilePorts:
    """All inputs and outputs of a file."""

    inputs: tuple[FilePort, ...]
    outputs: tuple[FilePort, ...]


def differs(file: ModelFile) -> bool:
    """Whether a file may have other inputs and outputs than FP32's."""
    return bool(file.interface.inputs) or not file.runtime.is_reference


def ports_of(file: ModelFile) -> FilePorts:
    """The inputs and outputs of a file, which is opened for that.

    Raises:
        ModelError: the file has changed, or cannot be opened.
    """
    opened, fits = file.open_as_it_is(), file.interface
    ins = {fit.name: (fit.of, fit.axes) for fit in fits.inputs}
    outs = {opened.outputs[fit.at]: (fit.of, fit.axes) for fit in fits.outputs}
    return FilePorts(
        tuple(_ports(opened.input_ports, ins)), tuple(_ports(opened.output_ports, outs))
    )


def _ports(
    ports: tuple[Port, ...], known: dict[str, tuple[str, tuple[int, ...]]]
) -> Iterator[FilePort]:
    for port in ports:
        of, axes = known.get(port.name, (port.name, ()))
        kind = port.stored or port.dtype
        yield FilePort(port.name, of, kind, port.shape, axes, port.scale, port.zero)
