"""Runtimes, which open and run model files, and the facts about this machine.

`RUNTIMES` names every runtime. All judging uses this table: outputs, latency, the stages of a
pipeline and the memory of a model. The quantizer opens its own onnxruntime sessions, because it
works on ONNX graphs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..spec import coerce
from ..spec.recipe import ONNXRUNTIME

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNTIMES: dict[str, str] = {ONNXRUNTIME: "pytest_kycquant.runtimes.ort:RUNTIME"}
"""All runtimes by name: where each is, as ``module:attribute``. The module is imported when used.

Variants run on the runtime that the line of their precision in `RECIPES` names.
"""


class OpenModel(Protocol):
    """A model file that has been opened and can be run from several threads at once."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of the file."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the file."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once.

        Args:
            inputs: one array of shape (1, ...) for each input, by name.

        Returns:
            One array for each output, in the order of `outputs`.
        """


class Runtime(Protocol):
    """Opens model files as verdicts are measured: on the CPU, one operator at a time."""

    def describe(self) -> str:
        """Return its name in `RUNTIMES` and its version in one line, without importing the library.

        It is part of cache keys and of reports: another version is judged anew.
        """

    def load(self) -> None:
        """Import the library, so that its cost is not attributed to a model."""

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> OpenModel:
        """Open a model.

        Args:
            model: path of the file, or the content of a file that needs no other file.
            threads: number of threads within an operator.
            exact: whether INT8 is computed without saturation.

        Raises:
            ModelError: the runtime cannot load the model.
        """


def runtime(name: str = ONNXRUNTIME) -> Runtime:
    """Return the runtime of that name.

    Raises:
        SpecError: it is not one of `RUNTIMES`.
    """
    coerce.choice("runtime", name, tuple(RUNTIMES))
    module, _, attribute = RUNTIMES[name].partition(":")
    return cast("Runtime", getattr(importlib.import_module(module), attribute))
