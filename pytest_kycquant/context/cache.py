"""Content-addressed artefacts, complete or absent, built once for any number of processes.

An entry is a folder ``<kind>/<key>`` that appears by a single rename, so a run killed at any moment
leaves at most a temporary folder, which the next run removes. The key is the SHA-256 of everything
that the artefact depends on, including this package's own code. The digest of each file is recorded
and checked on reading: a damaged entry is built again and never used. Digests do not show who wrote
an entry, so the caller can have what was found checked.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import CacheError, KycquantError
from ..files import patiently, read_regular, sync, write_whole
from ..plain import parse
from .code import code_digest
from .folder import KEY, MANIFEST, CacheFolder, deleted, discard, fault, storage
from .locks import Locks

T = TypeVar("T")
_LARGEST = 1 << 20  # bytes of a manifest
_LARGEST_RESULT = 1 << 26  # bytes of a result of `once`
_STORAGE_FAULTS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EIO,
}


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
        self._folder = CacheFolder(root)
        self._locks = Locks(self._folder, on_wait)
        self.lock, self.machine = self._locks.hold, self._locks.machine
        self._run_id = run_id
        self._environment = dict(environment)
        self._swept = False
        self._checked: set[Path] = set()
        self._identity: dict[Path, tuple[int, int] | None] = {}
        self.reused: set[Path] = set()
        self.built: set[Path] = set()

    def load(
        self,
        kind: str,
        depends_on: object,
        build: Callable[[Path], None],
        read: Callable[[Path], T],
        check: Callable[[T], str] | None = None,
    ) -> T:
        """Return what is read from an artefact, building it if it does not exist.

        An entry that cannot be read is built again.

        Args:
            kind: kind of the artefact, such as "variant" or "outputs".
            depends_on: plain values that determine the content.
            build: writes files into the folder that it receives.
            read: reads that folder, and raises any exception if it cannot.
            check: says what is wrong with an entry that this process found, or ""; called once.

        Raises:
            CacheError: the cache cannot be written, or what was found in it is wrong.
        """
        path = self.entry(kind, depends_on, build)
        try:
            found = read(path)
        except Exception:  # whatever a damaged file causes
            self._drop(kind, path)
            path = self.entry(kind, depends_on, build)
            try:
                found = read(path)
            except Exception as error:
                raise deleted(path) from error
        if check is not None and path in self.reused and path not in self._checked:
            if problem := check(found):
                raise CacheError(
                    path,
                    problem,
                    "delete the cache (--cache-clear), and restore none that others can write",
                )
            self._checked.add(path)
        return found

    def entry(self, kind: str, depends_on: object, build: Callable[[Path], None]) -> Path:
        """Return the folder of an artefact, building it under a lock if it does not exist.

        Args:
            kind: kind of the artefact, such as "variant" or "outputs".
            depends_on: plain values that determine the content.
            build: writes files into the folder that it receives.

        Raises:
            CacheError: the cache folder cannot be written.
        """
        root = self._folder.made()
        self._sweep()
        key = digest_of([code_digest(root / "code"), self._environment, kind, depends_on])
        path = root / kind / key[:32]
        if self._known(path):
            return path
        if not _whole(path):
            with self.lock(f"{kind}-{path.name}"):
                # Another process may have built it while this one waited.
                if not _whole(path) and self._build(kind, path, build):
                    self.built.add(path)
                    self.reused.discard(path)
                    self._identity[path] = _identity(path)
                    return path
        self.reused.add(path)
        self.built.discard(path)
        self._checked.discard(path)
        self._identity[path] = _identity(path)
        return path

    def once(self, name: str, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """Return the result of `make`, which only the first process of the run to ask calls.

        Figures that change from moment to moment, such as a latency, are thus measured once for all
        workers of a run.

        Args:
            name: name of the file that holds the result during the run.
            make: returns plain values for JSON; other processes wait for it.
            read: reads these values, and raises any exception if they are damaged: they are then
                made again.
        """
        with self.lock(name):
            file = self._run_folder() / f"{name}.json"
            if file.exists():
                with contextlib.suppress(Exception):
                    return read(parse(read_regular(file, _LARGEST_RESULT)))
            text = json.dumps(make(), allow_nan=False)
            with storage(self.root):
                write_whole(self._run_folder() / file.name, text, private=True)
            return read(json.loads(text))

    def lost(self) -> Path | None:
        """Return an entry that this process used and that was deleted or replaced since."""
        used = (path for path, identity in self._identity.items() if _identity(path) != identity)
        return next(used, None)

    def _run_folder(self) -> Path:
        """Create the folder of this run, and remove those of runs older than a day."""
        runs = self._folder.inside("runs")
        folder = runs / self._run_id
        if not folder.exists():
            yesterday = time.time() - 86_400
            for old in list(runs.iterdir()):
                # Another worker may remove them at the same time.
                with contextlib.suppress(OSError):
                    if KEY.fullmatch(old.name) and old.stat().st_mtime < yesterday:
                        discard(old)
            with storage(self.root):
                folder.mkdir(exist_ok=True, parents=True, mode=0o700)
        return folder

    def _sweep(self) -> None:
        """Remove, once in a process, what killed processes have left unfinished."""
        if self._swept:
            return
        self._swept = True
        for partial, lock in self._folder.partials():
            with self.lock(lock, wait=False) as held:
                if held:  # or else its builder is alive
                    shutil.rmtree(partial, ignore_errors=True)

    def _build(self, kind: str, path: Path, build: Callable[[Path], None]) -> bool:
        """Build an entry; False if another process has built it after its lock was deleted."""
        # No process looks for an entry under this name.
        partial = self._folder.inside(kind) / f"partial-{path.name}-{os.urandom(4).hex()}"
        try:
            with storage(self.root):
                partial.mkdir(mode=0o700)
            try:
                build(partial)
            except Exception as error:
                if (storage_fault := self._fault(error, partial)) is not None:
                    raise storage_fault from error
                raise
            with storage(self.root):
                files = {p.name: _file_digest(p) for p in sorted(partial.iterdir())}
                (partial / MANIFEST).write_text(json.dumps(files), encoding="utf-8")
                for file in (*partial.iterdir(), partial):
                    file.chmod(0o700 if file == partial else 0o600)
                    sync(file)
                if os.path.lexists(path):
                    if _whole(path):
                        shutil.rmtree(partial)
                        return False
                    discard(path)  # damaged
                patiently(lambda: partial.rename(path))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return True

    def _fault(self, error: Exception, partial: Path) -> CacheError | None:
        """The error of the cache, if its storage is why a build failed."""
        if isinstance(error, KycquantError):  # which says what is wrong
            return None
        if not partial.exists():
            return deleted(self.root)
        cause: BaseException | None = error
        while cause is not None:  # an archive that cannot be closed hides why
            if isinstance(cause, OSError) and cause.errno in _STORAGE_FAULTS:
                return fault(self.root, cause)
            cause = cause.__context__
        return None

    def _drop(self, kind: str, path: Path) -> None:
        """Delete an entry that cannot be read, unless another process has replaced it."""
        identity = self._identity.pop(path, None)
        self.reused.discard(path)
        self.built.discard(path)
        with self.lock(f"{kind}-{path.name}"), storage(self.root):
            if identity is not None and _identity(path) == identity:
                discard(path)

    def _known(self, path: Path) -> bool:
        """Whether this process has checked the digests of a (perhaps large) entry before."""
        identity = self._identity.get(path)
        return identity is not None and _identity(path) == identity


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells an entry from another of the same name; None if it is incomplete."""
    try:
        found = path.stat()
        (path / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _whole(path: Path) -> bool:
    """Whether an entry has exactly the files of its manifest, with their digests."""
    try:
        files = parse(read_regular(path / MANIFEST, _LARGEST))
        names = {each.name for each in path.iterdir()} - {MANIFEST}
        return (
            isinstance(files, dict)
            and bool(names)
            and files.keys() == names
            and all(_is_file(path / name) for name in names)
            and all(_file_digest(path / name) == digest for name, digest in files.items())
        )
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    """Whether this is a file; reading a FIFO would wait, and a link leads elsewhere."""
    return path.is_file() and not path.is_symlink()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
