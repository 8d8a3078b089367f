"""Runtimes, which open and run model files, and the facts about this machine.

`RUNTIMES` (`spec/runtime.py`) names every runtime. All judging uses this table: outputs, latency,
the stages of a pipeline and the memory of a model. The quantizer opens its own onnxruntime
sessions, because it works on ONNX graphs.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import RuntimeUnavailableError
from ..spec.runtime import REFERENCE, RUNTIMES, Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NAMELESS", "RUNTIMES", "Deployment", "Library", "OpenModel", "Port", "library"]

NAMELESS = "generated model"
"""What errors call a model that is opened from its content, whose path only the caller knows."""


@dataclass(frozen=True)
class Port:
    """An input or an output of an open model, as callers see it.

    Args:
        name: its name.
        shape: its dimensions; None for one that is not fixed. None alone if even their number is
            unknown.
        dtype: numpy name of the type, such as "float32". An integer port that the file quantizes
            is "float32" here: `OpenModel.run` quantizes and dequantizes with the file's parameters.
        stored: numpy name of its type in the file, if that is another one.
        scale: what one step of its integers means; 0 if the file does not quantize it.
        zero: the integer that means zero.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    stored: str = ""
    scale: float = 0.0
    zero: int = 0


class OpenModel(Protocol):
    """A model file that has been opened and can be run from several threads at once."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of the file."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the file."""

    @property
    def input_ports(self) -> tuple[Port, ...]:
        """The inputs with their shapes and types, in the same order."""

    @property
    def output_ports(self) -> tuple[Port, ...]:
        """The outputs with their shapes and types, in the same order."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once.

        Args:
            inputs: one array of shape (1, ...) for each input, by name.

        Returns:
            One array for each output, in the order of `outputs`.
        """

    def runner(self, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        """A function that runs the model once on these inputs, for a measurement of time.

        It returns when the outputs are there: work that is still to be done would not be timed.

        What an application would do beforehand, such as giving pixels in the order of the file's
        input, is already done when this returns.
        """


class Library(Protocol):
    """A runtime's library, set up as a `Runtime` says: one operator at a time, one thread.

    Attributes:
        clock: what its time is measured with: "thread", CPU time of the calling thread; "process",
            CPU time of all threads, for a library with threads of its own; or "wall", for work that
            is not done by the CPU.
        stops: whether it ends a run that takes too long. Otherwise, a file of somebody else's is
            tried in another process first; see `trial`.
    """

    clock: str
    stops: bool

    def describe(self) -> str:
        """Return name, version and settings in one line, without importing the library.

        It is part of cache keys and of reports: another version is judged anew.
        """

    def settings(self) -> Mapping[str, str]:
        """Return what production must set to run files as they were judged, by name."""

    def load(self) -> None:
        """Import the library, so that its cost is not attributed to a model.

        Raises:
            RuntimeUnavailableError: the library cannot do here what the `Runtime` asks for.
        """

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> OpenModel:
        """Open a model.

        Args:
            model: path of the file, or the content of a file that needs no other file.
            threads: number of threads within an operator.
            exact: whether INT8 is computed without saturation, where the runtime can.

        Raises:
            ModelError: the runtime cannot load the model.
        """

    def in_float(self, model: bytes) -> int | None:
        """Number of convolutions and products that it computes in float; None if it does not say.

        Args:
            model: the content of a model whose operators are quantized.
        """


@dataclass(frozen=True)
class Deployment:
    """What production needs to run a file as it was judged.

    Args:
        runtime: name of the runtime.
        description: its name, version and settings in one line.
        packages: version of the distribution that ran the file, by its name.
        extra: extra of this package that installs them; "" if they always are.
        settings: what to set, by name.
        is_reference: whether FP32 runs alike.
    """

    runtime: str
    description: str
    packages: Mapping[str, str]
    extra: str
    settings: Mapping[str, str]
    is_reference: bool

    @classmethod
    def of(cls, runtime: Runtime) -> Deployment:
        """What a runtime of this process needs."""
        opener, line = library(runtime), runtime.line
        # The others only make files for it.
        packages = {each: importlib.metadata.version(each) for each in list(line.packages)[:1]}
        settings = dict(opener.settings())
        same = runtime.is_reference
        return cls(runtime.name, opener.describe(), packages, line.extra, settings, same)


def library(runtime: Runtime = REFERENCE) -> Library:
    """Return the library of a runtime.

    Raises:
        RuntimeUnavailableError: it is not installed, or too old.
    """
    line = runtime.line
    for package, oldest in line.packages.items():
        _require(package, oldest, runtime)
    module, _, attribute = line.library.partition(":")
    make: Callable[[Runtime], Library] = getattr(importlib.import_module(module), attribute)
    return make(runtime)


def _require(package: str, oldest: str, runtime: Runtime) -> None:
    """Refuse a runtime whose package is missing or too old."""
    from packaging.version import Version

    extra = runtime.line.extra
    wanted = f"pytest-kycquant[{extra}]" if extra else f"{package}>={oldest}"
    where, remedy = f"runtime {runtime.name!r}", f'run: pip install --upgrade "{wanted}"'
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeUnavailableError(where, f"{package} is not installed", remedy) from None
    if Version(found) < Version(oldest):
        problem = f"{package} {found} is too old: {oldest} is the oldest that is supported"
        raise RuntimeUnavailableError(where, problem, remedy)
