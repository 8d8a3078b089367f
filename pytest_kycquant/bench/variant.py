"""A model in one of its variants: a file for each file of the FP32 model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..errors import SpecError
from ..quantize import Exposure, ModelFile
from ..spec.prequantized import Asked
from ..spec.recipe import Recipe
from ..spec.runtime import ORT, Runtime
from .variant_files import find_broken


@dataclass(frozen=True)
class Variant:
    """A model as a recipe makes it, or FP32 itself: one file for each file of the model.

    Args:
        recipe: the recipe that made it, or what the gate file says of a file made elsewhere.
        files: the files, in the order of `KycModel.path`.
    """

    recipe: Asked
    files: tuple[ModelFile, ...]

    @property
    def path(self) -> Path:
        """The ONNX file; for a model with several files, see `paths`.

        Raises:
            SpecError: the model has several files.
        """
        if len(self.files) != 1:
            raise SpecError(
                "variant.path", f"this model has {len(self.files)} files", "use variant.paths"
            )
        return self.files[0].path

    @property
    def paths(self) -> tuple[Path, ...]:
        """The ONNX files."""
        return tuple(file.path for file in self.files)

    @property
    def runtime(self) -> Runtime:
        """The runtime that runs the files."""
        return self.files[0].runtime

    @property
    def is_ort(self) -> bool:
        """Whether its files are in ORT format, whose graphs no session option changes."""
        return any(file.path.suffix == f".{ORT}" for file in self.files)

    @property
    def size(self) -> int:
        """Size of all files together, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """Digest of the file; for several files, the digest of their digests."""
        digests = [file.sha256 for file in self.files]
        return digests[0] if len(digests) == 1 else digest_of(digests)

    @property
    def resolved(self) -> dict[str, Any]:
        """Every option as finally used, with reasons; if files differ, the values are listed."""
        if len(self.files) == 1:
            return self.files[0].resolved
        merged: dict[str, Any] = {}
        for name in dict.fromkeys(name for file in self.files for name in file.resolved):
            values = [file.resolved[name] for file in self.files if name in file.resolved]
            same = all(value == values[0] for value in values)
            merged[name] = values[0] if same else ", ".join(map(str, values))
        whole = {"precision": self.recipe.precision}
        if isinstance(self.recipe, Recipe):
            whole["keep_fp32"] = ", ".join(self.recipe.keep_fp32)
        return {name: whole.get(name, value) for name, value in merged.items()}

    @property
    def quantized(self) -> dict[str, int]:
        """Number of operators changed, by type."""
        counts: Counter[str] = Counter()
        for file in self.files:
            counts.update(file.quantized)
        return dict(sorted(counts.items()))

    @property
    def exposure(self) -> Exposure:
        """Exposure of its integer operators to saturation."""
        return sum((file.exposure for file in self.files), Exposure())

    def find_broken(self) -> tuple[str, ...]:
        """Read the files and return the names of weights and scales with NaN or Inf."""
        return tuple(name for file in self.files for name in find_broken(file))

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats worth reading."""
        return tuple(dict.fromkeys(note for file in self.files for note in file.notes))
