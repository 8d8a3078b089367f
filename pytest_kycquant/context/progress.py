"""Progress of long work: one line that renews itself on a terminal, a few lines in a log."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from ..errors import printable

_FIRST = {True: 0.5, False: 10.0}  # seconds before a stage is reported
_EVERY = {True: 0.2, False: 30.0}


class Progress:
    """Reports which stage is running and how far it has got.

    Args:
        write: receives a line of text (without line end), or None to say nothing.
        live: whether a line may be overwritten (a terminal) or must stay (a log).
        announce: receives a line that must be seen even where progress is not shown; `write` if it
            is None.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        *,
        live: bool = False,
        announce: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._live = live
        self._announce = announce
        self._clock = clock
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stage(
        self, task: str, total: int = 0, within: AbstractContextManager[None] | None = None
    ) -> Iterator[Callable[[], None]]:
        """Announce a stage, and yield a function to call after each of `total` steps."""
        began = self._clock()
        due = began + _FIRST[self._live]
        done = 0
        if self._live:
            self.say(task)

        def advance() -> None:
            nonlocal due, done
            with self._lock:
                done += 1
                now = self._clock()
                if now < due:
                    return
                due = now + _EVERY[self._live]
                left = (now - began) * (total - done) / done
                self.say(f"{task} {done:,}/{total:,}, about {left:.0f} s left")

        try:
            with within or contextlib.nullcontext():
                yield advance
        finally:
            if self._live:
                self.say("")

    def announce(self, text: str) -> None:
        """Write a line now that stays, also from a worker."""
        if self._announce is not None:
            self._announce(printable(text))
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """Write a line now."""
        if self._write is not None:
            self._write(printable(text))
