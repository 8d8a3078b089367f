"""Opening the files of a model, as a job for another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import ONNXRUNTIME, runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Opening:
    """Opens files and runs each once: a job of `measure.memory`.

    Args:
        paths: the files of a model, all of which are held at once.
        inputs: one for each file, which has one input; shape (1, ...).
        runtime: name of what opens them.
    """

    paths: tuple[Path, ...]
    inputs: tuple[NDArray[np.float32], ...]
    runtime: str = ONNXRUNTIME

    def __call__(self) -> Callable[[], Callable[[], object]]:
        """Get ready; then open, then run."""
        opener = runtime(self.runtime)
        opener.load()
        for path in self.paths:
            path.read_bytes()  # whoever is first would pay for the disk

        def open_all() -> Callable[[], object]:
            opened = [opener.open(path) for path in self.paths]
            pairs = list(zip(opened, self.inputs, strict=True))
            return lambda: [model.run({model.inputs[0]: tensor}) for model, tensor in pairs]

        return open_all
