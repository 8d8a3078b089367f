"""Locks between the processes of a run, and between runs that share a cache."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import CacheError
from .folder import CacheFolder, fault, storage

if TYPE_CHECKING:
    from filelock import ReadWriteLock

_MACHINE = "machine.db"
_PATIENCE = 5.0  # seconds to wait for another process before reporting it
_ATTEMPTS = 10  # the folder of the locks may be deleted at any time


class Locks:
    """Locks that the kernel releases if their holder is killed.

    Args:
        folder: the folder of the cache.
        on_wait: receives a line of text when this process waits for another.
    """

    def __init__(self, folder: CacheFolder, on_wait: Callable[[str], None]) -> None:
        self._folder = folder
        self._on_wait = on_wait

    @contextlib.contextmanager
    def hold(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock; yields False without waiting, if so wanted, when another process holds it.

        Raises:
            CacheError: the lock cannot be written.
        """
        from filelock import FileLock, Timeout

        for attempt in range(_ATTEMPTS):
            path = self._folder.inside("locks") / f"{name}.lock"
            lock = FileLock(path, mode=0o600)
            try:
                lock.acquire(timeout=_PATIENCE if wait else 0)
            except Timeout:
                if not wait:
                    yield False
                    return
                self._on_wait(f"waiting for another process ({path})")
                with storage(self._folder.root):
                    lock.acquire()
            except OSError as error:
                if not path.parent.exists() and attempt + 1 < _ATTEMPTS:
                    continue
                raise fault(self._folder.root, error) from error
            break
        try:
            yield True
        finally:
            lock.release()

    @contextlib.contextmanager
    def machine(self, *, exclusive: bool) -> Iterator[None]:
        """Share the machine with other workers, or reserve it to measure latency.

        Raises:
            CacheError: the lock cannot be written.
        """
        lock, _ = self._tried(exclusive=exclusive)
        lock = lock or self._mended(exclusive=exclusive)
        try:
            yield
        finally:
            lock.release()

    def _tried(self, *, exclusive: bool) -> tuple[ReadWriteLock | None, str]:
        """The lock, or else what is wrong with its file.

        The exception ends here: it would keep the lock's connection to a damaged file alive.
        """
        from filelock import ReadWriteLock, Timeout

        path = self._folder.made() / _MACHINE
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            if not stat.S_ISREG(path.lstat().st_mode):
                raise CacheError(path, "is not a file, so it cannot be a lock", "delete it")
            lock = ReadWriteLock(path)
            acquire = lock.acquire_write if exclusive else lock.acquire_read
            try:
                acquire(_PATIENCE)
            except Timeout:
                self._on_wait(f"waiting for another process ({path})")
                acquire(-1)
        except (OSError, ValueError, sqlite3.Error) as error:
            return None, str(error)
        return lock, ""

    def _mended(self, *, exclusive: bool) -> ReadWriteLock:
        """Make a damaged file of the lock anew; only one process at a time does so."""
        with self.hold("machine"):
            lock, _ = self._tried(exclusive=exclusive)
            if lock is None:
                with storage(self._folder.root):
                    (self._folder.made() / _MACHINE).unlink(missing_ok=True)
                lock, reason = self._tried(exclusive=exclusive)
            if lock is None:
                raise fault(self._folder.root, OSError(reason))
        return lock
