"""The results of quantization: a variant in memory, and a model file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.interface import Interface
from ..runtimes.verified import open_verified, read_verified
from ..spec.runtime import REFERENCE, Runtime
from .recipe_kind import Scalar
from .saturation import Exposure

if TYPE_CHECKING:
    from ..runtimes import OpenModel


@dataclass(frozen=True)
class Built:
    """A model derived from the FP32 model.

    Args:
        content: the serialized model; the same recipe gives the same bytes.
        resolved: every option as finally used, and the "reason" for options that were decided here.
        quantized: operator type -> number of operators that were changed.
        kept: names of the operators that the recipe keeps in FP32.
        notes: remarks for readers of a report.
        exposure: how much of the model can saturate on CPUs without VNNI.
    """

    content: bytes
    resolved: dict[str, Scalar]
    quantized: dict[str, int]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class ModelFile:
    """A file derived from an FP32 file, or the FP32 file itself, without resolved options.

    Args:
        path: the file; of OpenVINO IR, the ``.xml`` file.
        sha256: hexadecimal digest of the file and of all that belongs to it, such as external data.
        size: size of these files in bytes.
        resolved: every option as finally used, with reasons.
        quantized: operator type -> number of operators that were changed.
        notes: remarks for readers of a report.
        exposure: how much of the model can saturate on CPUs without VNNI.
        runtime: the runtime that runs the file.
        interface: how the file stands in for FP32, if its inputs or outputs are others.
        companions: text of files that belong beside it where it is deployed, by their endings, such
            as the list of operators that a reduced build of onnxruntime must have.
        broken: names of weights and scales with NaN or Inf, if they were looked for when the file
            was made; None for an ONNX file, in which they can be looked for.
    """

    path: Path
    sha256: str
    size: int
    resolved: dict[str, Any]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()
    exposure: Exposure = field(default_factory=Exposure)
    runtime: Runtime = REFERENCE
    interface: Interface = field(default_factory=Interface)
    companions: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] | None = None

    def read(self) -> bytes:
        """Content of the file, with its external data inside.

        Raises:
            ModelError: the file has changed since it was hashed.
        """
        return read_verified(self.path, self.sha256)

    def open(self, *, exact: bool = False) -> OpenModel:
        """Open the file on its runtime.

        Args:
            exact: whether INT8 is computed without saturation.

        Raises:
            ModelError: the file has changed since it was hashed, or cannot be opened.
        """
        return self.interface.present(self.open_as_it_is(exact=exact))

    def open_as_it_is(self, *, exact: bool = False) -> OpenModel:
        """Open the file with its own inputs and outputs; see `open`."""
        return open_verified(self.runtime, self.path, self.sha256, exact=exact)
