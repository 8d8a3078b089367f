"""What comes out: a variant in memory, and a model file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .recipe_kind import Scalar
from .saturation import Exposure


@dataclass(frozen=True)
class Built:
    """A model derived from the FP32 model.

    Args:
        content: the serialized model; the same recipe gives the same bytes.
        resolved: every option as it was finally used, and the "reason" of what was decided here.
        quantized: operator type -> number of operators that were changed.
        kept: names of the operators that the recipe keeps in FP32.
        notes: what a reader of a report should know.
        exposure: of its integer operators to saturation on CPUs without VNNI.
    """

    content: bytes
    resolved: dict[str, Scalar]
    quantized: dict[str, int]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def sha256(self) -> str:
        """Digest of the content, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class ModelFile:
    """A file derived from an FP32 file; or that file itself, of which nothing is resolved.

    Args:
        path: the ONNX file.
        sha256: digest of the file, in hexadecimal digits.
        size: in bytes.
        resolved: every option as finally used, with reasons.
        quantized: number of operators changed, by type.
        notes: caveats worth reading.
        exposure: of its integer operators to saturation.
    """

    path: Path
    sha256: str
    size: int
    resolved: dict[str, Any]
    quantized: dict[str, int]
    notes: tuple[str, ...] = ()
    exposure: Exposure = field(default_factory=Exposure)
