"""What everything that makes or measures is given: where to keep results, and how to work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .progress import Progress

if TYPE_CHECKING:
    from ..runtimes.environment import Environment

__all__ = ["Context", "Store"]


class Store(Protocol):
    """Where artefacts are kept, and who may use the machine meanwhile.

    `Cache` shares them between processes and runs, `Scratch` forgets them with the process.
    """

    def entry(self, kind: str, depends_on: object, build: Callable[[Path], None]) -> Path:
        """Return the folder of an artefact; `build` writes its files if it is not there."""

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` returned (plain values for JSON) when it was first asked in a run."""

    def machine(self, *, exclusive: bool) -> contextlib.AbstractContextManager[None]:
        """Share the machine with others, or have it alone to measure."""


@dataclass(frozen=True, eq=False)
class Context:
    """What everything that makes or measures is given.

    Args:
        store: keeps artefacts.
        environment: the facts about this machine that verdicts depend on.
        threads: number of images in flight at the same time. The results do not depend on it.
        exact: whether INT8 runs without saturation (`runtimes.ort.EXACT`).
        progress: receives what is going on.
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
        """Announce a piece of work, and share the machine while it lasts or have it alone.

        Args:
            title: what is going on.
            total: number of steps, if they are counted.
            exclusive: whether it measures, which needs the machine alone.

        Yields:
            A function to call after each step.
        """
        machine = self.store.machine(exclusive=exclusive)
        with self.progress.stage(title, total, machine) as advance:
            yield advance
