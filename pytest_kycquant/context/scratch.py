"""A store for one process that needs no folder from the user."""

from __future__ import annotations

import contextlib
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..files import temporary_folder
from ..runtimes.environment import environment
from . import Context
from .cache import digest_of
from .progress import Progress

T = TypeVar("T")


class Scratch:
    """Artefacts in a temporary folder that is removed with this object, or with the process.

    There are no locks, because no other process knows the folder.
    """

    def __init__(self) -> None:
        self._root: Path | None = None
        self._answers: dict[str, Any] = {}

    def load(
        self,
        kind: str,
        depends_on: object,
        build: Callable[[Path], None],
        read: Callable[[Path], T],
        check: Callable[[T], str] | None = None,
    ) -> T:
        """Return what is read from an artefact; nobody else can have written it."""
        return read(self.entry(kind, depends_on, build))

    def entry(self, kind: str, depends_on: object, build: Callable[[Path], None]) -> Path:
        """Return the folder of an artefact; `build` writes its files if it does not exist.

        Args:
            kind: kind of the artefact, such as "activations".
            depends_on: plain values that determine the content.
            build: writes files into the folder that it receives.
        """
        path = self._folder() / kind / digest_of(depends_on)[:32]
        if not path.exists():
            partial = path.with_name(f"partial-{path.name}")
            shutil.rmtree(partial, ignore_errors=True)  # of a build that failed
            partial.mkdir(parents=True)
            build(partial)
            partial.rename(path)
        return path

    def once(self, name: str, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """Return what is read from the result of the first call of `make`."""
        if name not in self._answers:
            self._answers[name] = make()
        return read(self._answers[name])

    def machine(self, *, exclusive: bool) -> contextlib.AbstractContextManager[None]:
        """Do nothing: there is no other process to share the machine with."""
        return contextlib.nullcontext()

    def _folder(self) -> Path:
        if self._root is None:
            held = contextlib.ExitStack()
            self._root = held.enter_context(temporary_folder())
            weakref.finalize(self, held.close)
        return self._root


def scratch_context(
    *, threads: int = 1, exact: bool = False, progress: Progress | None = None
) -> Context:
    """Return the context for work outside a run: a `Scratch` on this machine.

    Args:
        threads: number of images processed at the same time.
        exact: whether INT8 will be run without saturation.
        progress: receives messages about the current work; None reports nothing.
    """
    return Context(Scratch(), environment(), threads, exact, progress or Progress())
