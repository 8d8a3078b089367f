"""A time limit for runs of models: a graph may contain a loop that never ends.

One thread watches all runs of this process. A run costs it two assignments, not a thread of its
own.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator

RUN_SECONDS = 60.0
"""Most wall-clock time for one image, in s; models of identity verification take milliseconds."""
OPEN_SECONDS = 300.0
"""Most wall-clock time to open a model, in s, where onnxruntime can be stopped (1.22 and later)."""


class Limit:
    """Stops one piece of work at a time if it takes too long.

    Args:
        stop: a function that ends the work from another thread.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._deadline = math.inf
        self.expired = False
        _WATCH.add(self)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Do a piece of work; once the limit has expired, it is of no further use."""
        self._deadline = time.monotonic() + seconds
        _WATCH.start()
        try:
            yield
        finally:
            with self._lock:
                self._deadline = math.inf

    def look(self, now: float) -> None:
        """Stop the work if its time is over."""
        with self._lock:
            if now > self._deadline and not self.expired:
                self.expired = True
                self._stop()


class _Watch:
    """The thread that looks at all limits, several times per second."""

    _PERIOD = 0.25  # s

    def __init__(self) -> None:
        self._limits: weakref.WeakSet[Limit] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, limit: Limit) -> None:
        with self._lock:
            self._limits.add(limit)

    def start(self) -> None:
        """Start the thread unless it lives; after a fork it does not."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="kycquant", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while True:
            time.sleep(self._PERIOD)
            with self._lock:
                limits = list(self._limits)
            now = time.monotonic()
            for limit in limits:
                limit.look(now)


_WATCH = _Watch()
