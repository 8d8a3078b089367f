"""Content-addressed artefacts, complete or absent, built once for any number of processes.

An entry is a folder ``<kind>/<key>`` that appears by a single rename, so a run killed at any moment
leaves at most a temporary folder. The key is the SHA-256 of everything that the artefact
depends on, including this package's own code. The digest of each file is recorded and checked on
reading: a damaged entry is built again and never used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import CacheError
from ..files import write_whole
from .code import code_digest

_MANIFEST = "manifest.json"
_PATIENCE = 5.0  # seconds to wait for another process before reporting it
# https://bford.info/cachedir/
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Embeddings of images: keep them private.\n"
_STORAGE_FAULTS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EIO,
)


def digest_of(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of plain values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """A folder of artefacts shared by runs and by the workers of a run.

    Args:
        root: the folder, which is created when it is first needed.
        environment: plain values that every key depends on (versions of the libraries, CPU).
        run_id: identifies this run and is the same in all its processes.
        on_wait: receives a line of text when this process waits for another.

    `reused` and `built` hold the entries that this process found and those that it built.
    """

    def __init__(
        self,
        root: Path,
        environment: Mapping[str, object],
        run_id: str = "run",
        on_wait: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.root = root
        self._run_id = run_id
        self._on_wait = on_wait
        self._environment = dict(environment)
        self.reused: set[Path] = set()
        self.built: set[Path] = set()

    def entry(self, kind: str, depends_on: object, build: Callable[[Path], None]) -> Path:
        """Return the folder of an artefact, building it under a lock if it does not exist.

        Args:
            kind: kind of the artefact, such as "variant" or "outputs".
            depends_on: plain values that determine the content.
            build: writes files into the folder that it receives.

        Raises:
            CacheError: the cache folder cannot be written.
        """
        key = digest_of([code_digest(self.root / "code"), self._environment, kind, depends_on])
        path = self.root / kind / key[:32]
        if self._known(path):
            return path
        if self._whole(path):
            self.reused.add(path)
            return path
        with self._writable(), self.lock(f"{kind}-{key[:32]}"):
            if self._whole(path):  # another process built it while this one waited
                self.reused.add(path)
                return path
            self._build(path, build)
            self.built.add(path)
            self.reused.discard(path)
        return path

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, which only the first process of the run to ask calls.

        Figures that change from moment to moment, such as a latency, are thus measured once for all
        workers of a run.

        Args:
            name: name of the file that holds the result during the run.
            make: returns plain values for JSON; other processes wait for it.
        """
        with self.lock(name):
            file = self._run_folder() / f"{name}.json"
            if not file.exists():
                write_whole(file, json.dumps(make(), allow_nan=False))
            return json.loads(file.read_text(encoding="utf-8"))

    def _run_folder(self) -> Path:
        """Create the folder of this run, and remove those of runs older than a day."""
        runs = self.root / "runs"
        folder = runs / self._run_id
        if not folder.exists():
            yesterday = time.time() - 86_400
            for old in runs.iterdir() if runs.exists() else ():
                # Another worker may remove them at the same time.
                with contextlib.suppress(OSError):
                    if old.stat().st_mtime < yesterday:
                        shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock between processes; the kernel releases it if its holder is killed."""
        from filelock import FileLock, Timeout

        with self._writable():
            folder = self._made() / "locks"
            folder.mkdir(exist_ok=True)
            lock = FileLock(folder / f"{name}.lock")
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout:
                self._on_wait(f"waiting for another process ({lock.lock_file})")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def machine(self, *, exclusive: bool) -> Iterator[None]:
        """Share the machine with other workers, or reserve it to measure latency."""
        from filelock import ReadWriteLock, Timeout

        with self._writable():
            lock = ReadWriteLock(self._made() / "machine.db")
            acquire = lock.acquire_write if exclusive else lock.acquire_read
            try:
                acquire(_PATIENCE)
            except Timeout:
                self._on_wait(f"waiting for another process ({lock.lock_file})")
                acquire(-1)
        try:
            yield
        finally:
            lock.release()

    def _made(self) -> Path:
        """Create the folder, marked as a cache: it holds biometric templates."""
        if not (self.root / ".gitignore").exists():
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / "CACHEDIR.TAG").write_text(_TAG, encoding="utf-8")
            (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        return self.root

    def _build(self, path: Path, build: Callable[[Path], None]) -> None:
        # No process looks for an entry under this name, and the lock reserves it for this one.
        # The leftovers of a killed run are removed here.
        partial = path.with_name(f"partial-{path.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            build(partial)
            files = {p.name: _file_digest(p) for p in sorted(partial.iterdir())}
            (partial / _MANIFEST).write_text(json.dumps(files), encoding="utf-8")
            for file in (*partial.iterdir(), partial):
                _sync(file)
            if path.exists():  # damaged: otherwise it would have been found
                shutil.rmtree(path)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _known(self, path: Path) -> bool:
        """Whether this process has checked the digests of a (perhaps large) entry before."""
        return path in self.reused | self.built and (path / _MANIFEST).exists()

    @staticmethod
    def _whole(path: Path) -> bool:
        try:
            files = json.loads((path / _MANIFEST).read_bytes())
            return all(_file_digest(path / name) == digest for name, digest in files.items())
        except (OSError, ValueError, AttributeError):
            return False

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _STORAGE_FAULTS:
                raise
            raise CacheError(
                self.root,
                f"the cache cannot be written ({error.strerror or error})",
                "free some space or name another folder with --kycquant-cache DIR",
            ) from error


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
