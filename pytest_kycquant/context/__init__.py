"""The context of all work: where to keep results, and how to use the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .progress import Progress

if TYPE_CHECKING:
    from ..runtimes.environment import Environment

__all__ = ["Context", "Store"]
T = TypeVar("T")


class Store(Protocol):
    """Keeps artefacts, and coordinates the use of the machine.

    `Cache` shares them between processes and runs, `Scratch` forgets them with the process.
    """

    def load(
        self,
        kind: str,
        depends_on: object,
        build: Callable[[Path], None],
        read: Callable[[Path], T],
        check: Callable[[T], str] | None = None,
    ) -> T:
        """Return what is read from an artefact; `build` writes its files if it does not exist.

        `check` says what is wrong with an artefact that another process made, or "".
        """

    def once(self, name: str, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """Return what is read from the plain values that the first `make` in this run returned."""

    def machine(self, *, exclusive: bool) -> contextlib.AbstractContextManager[None]:
        """Share the machine with other processes, or reserve it for a measurement."""


@dataclass(frozen=True, eq=False)
class Context:
    """The context that all code that makes or measures something receives.

    Args:
        store: the store that keeps artefacts.
        environment: the facts about this machine that verdicts depend on.
        threads: number of images processed at the same time. The results do not depend on it.
        exact: whether INT8 runs without saturation (`runtimes.ort.EXACT_ENTRY`).
        progress: receives messages about the current work.
    """

    store: Store
    environment: Environment
    threads: int = 1
    exact: bool = False
    progress: Progress = field(default_factory=Progress)

    @contextlib.contextmanager
    def stage(
        self, title: str, total: int = 0, *, exclusive: bool = False
    ) -> Iterator[Callable[[], None]]:
        """Announce a piece of work, and meanwhile share the machine or reserve it.

        Args:
            title: name of the work.
            total: number of steps, if they are counted.
            exclusive: whether the work measures something and must have the machine to itself.

        Yields:
            A function to call after each step.
        """
        machine = self.store.machine(exclusive=exclusive)
        with self.progress.stage(title, total, machine) as advance:
            yield advance
