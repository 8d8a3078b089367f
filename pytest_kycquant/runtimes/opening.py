"""Opening the files of a model as a job for another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.runtime import REFERENCE, Runtime
from . import library
from .feeding import named
from .interface import Interface
from .verified import check_unchanged

if TYPE_CHECKING:
    from .feeding import Sample


@dataclass(frozen=True)
class Opening:
    """Opens files and runs each once: a job for `measure.memory`.

    Args:
        paths: the files of a model, which are all held in memory at once.
        inputs: what one run of each file is fed, by the names of its inputs, and perhaps by others;
            an array alone is the only input's.
        runtime: the runtime that opens the files.
        digests: SHA-256 of each file; the job fails if a file has changed. Empty checks nothing.
        interfaces: how each file stands in for FP32; empty if all do as they are.
    """

    paths: tuple[Path, ...]
    inputs: tuple[Sample, ...]
    runtime: Runtime = REFERENCE
    digests: tuple[str, ...] = ()
    interfaces: tuple[Interface, ...] = ()

    def __call__(self) -> Callable[[], Callable[[], object]]:
        """Prepare; the returned function opens the files, and the one it returns runs them."""
        opener = library(self.runtime)
        opener.load()
        for path in self.paths:
            path.read_bytes()  # fills the page cache: disk time must not count
        self._check()

        def open_all() -> Callable[[], object]:
            interfaces = self.interfaces or (Interface(),) * len(self.paths)
            opened = [
                interface.present(opener.open(path))
                for path, interface in zip(self.paths, interfaces, strict=True)
            ]
            feeds = [
                {name: a for name, a in named(sample, model.inputs).items() if name in model.inputs}
                for model, sample in zip(opened, self.inputs, strict=True)
            ]

            def run_all() -> None:
                for model, feed in zip(opened, feeds, strict=True):
                    model.run(feed)
                self._check()

            return run_all

        return open_all

    def _check(self) -> None:
        """Opened by their paths, as in production, the files must be the same before and after."""
        for path, digest in zip(self.paths, self.digests, strict=False):
            check_unchanged(path, digest)
