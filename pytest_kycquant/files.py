"""Files that are written completely or not at all, even if the writing process is killed.

`from_here` names a file as a command that is typed in the current folder has to.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not POSIX: leftovers of killed processes stay
    fcntl = None  # type: ignore[assignment]

WINDOWS = os.name == "nt"
_TRIES, _PAUSE = 20, 0.05  # in seconds, for `patiently`
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a FIFO would wait for a writer
_PARTIAL = re.compile(r"\.kycquant-[0-9a-f]{16}\.partial")
_TEMPORARY, _MARK = "kycquant-", ".kycquant-temporary"


def write_whole(path: Path, content: bytes | str, *, private: bool = False) -> None:
    """Write a file completely, or leave the old one: readers never see a partial file.

    The content goes to a temporary file in the same folder, which then takes the name of `path`.
    Each call uses its own temporary file, so if two processes write the same file at the same
    time, one of them wins. A process that is killed meanwhile leaves its ``.kycquant-*.partial``
    file behind, which the next call for this folder removes.

    Args:
        path: the file; its folder must exist.
        content: the content to write; text is encoded as UTF-8.
        private: whether nobody but the owner may read the file.

    Raises:
        OSError: the folder is not writable, or there is no space left.
    """
    data = content.encode() if isinstance(content, str) else content
    remove_partials(path.parent)
    while not _replaced(path, data, 0o600 if private else 0o666):
        pass


def from_here(path: Path | str, here: Path | None = None) -> str:
    """Return a path as it is typed in the current folder, where that is shorter.

    It has slashes on all systems, as pytest names its tests.

    Args:
        path: the file or folder.
        here: the folder in which commands are typed; None for that of this process.
    """
    whole = os.path.abspath(path)  # noqa: PTH100  # links stay as they are
    try:
        short = os.path.relpath(whole, here)
    except (ValueError, OSError):  # another drive, or a folder that is gone
        short = whole
    return Path(short if len(short) < len(whole) else whole).as_posix()


def shown_command(words: Sequence[str]) -> str:
    """A command as it is typed in this system's shell."""
    if not WINDOWS:
        return shlex.join(words)
    import subprocess

    return subprocess.list2cmdline(words)


def _replaced(path: Path, data: bytes, mode: int) -> bool:
    """Write a file; False if another process removed the temporary file before it was held."""
    partial = path.with_name(f".kycquant-{os.urandom(8).hex()}.partial")
    try:
        with _open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode) as file:
            _hold(file)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name without content
            _hold(file)  # `remove_partials` may have come first: now it is done
            if not partial.exists() and path.parent.exists():
                return False
            if fcntl is None:  # nothing holds it, and Windows renames no open file
                file.close()
            patiently(lambda: partial.replace(path))
    except BaseException:
        with contextlib.suppress(OSError):  # it may not even have been created
            partial.unlink()
        raise
    return True


def patiently(rename: Callable[[], object]) -> None:
    """Rename something; on Windows, wait a second for whoever else has it open.

    There, a virus scanner or a reader makes a rename fail that would succeed a moment later.

    Raises:
        OSError: it cannot be renamed.
    """
    for left in reversed(range(_TRIES)):
        try:
            rename()
        except PermissionError:
            if not (WINDOWS and left):
                raise
            time.sleep(_PAUSE)
        else:
            return


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk now, as far as it can.

    Windows syncs only files that are open for writing, and no folders: after a power cut an entry
    may be missing there, but it is never incomplete.

    Raises:
        OSError: it cannot be written.
    """
    folder = path.is_dir()
    if folder and WINDOWS:
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left of `write_whole` in a folder, and nothing else.

    The kernel releases a killed process's hold on its file, so the file of a running one stays.
    """
    with contextlib.suppress(OSError):
        for name in filter(_PARTIAL.fullmatch, os.listdir(folder)):  # noqa: PTH208
            left = folder / name
            with contextlib.suppress(OSError), _open(left, os.O_RDONLY | NO_WAIT) as file:
                if _hold(file):
                    left.unlink()


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is removed in the end.

    If the process is killed, the next call of any process removes it: the kernel has then released
    the file that marks it.

    Raises:
        OSError: there is no folder for temporary files, or no space left.
    """
    above = Path(tempfile.gettempdir())
    for left in above.glob(f"{_TEMPORARY}*/{_MARK}"):
        with contextlib.suppress(OSError), _open(left, os.O_RDONLY | NO_WAIT) as mark:
            if not left.parent.is_symlink() and _hold(mark):
                shutil.rmtree(left.parent, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
        with _open(folder / _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as mark:
            _hold(mark, wait=True)
            if fcntl is None:  # nothing is held, and Windows deletes no open file
                mark.close()
            try:
                if (folder / _MARK).exists():  # else another process has taken it for a leftover
                    yield folder
                    return
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def read_regular(path: Path, most: int) -> bytes:
    """Read a file that should be small, without waiting for a FIFO or a device.

    Args:
        path: the file, or a link to it.
        most: largest size in bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, or is larger.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    with _open(path, os.O_RDONLY | NO_WAIT) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it may have been replaced
            raise ValueError("it is not a regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def _open(path: Path, flags: int, mode: int = 0o666) -> IO[bytes]:
    descriptor = os.open(path, flags, mode)
    try:
        return os.fdopen(descriptor, "wb" if flags & os.O_WRONLY else "rb")
    except OSError:  # a folder
        os.close(descriptor)
        raise


def _hold(file: IO[bytes], *, wait: bool = False) -> bool:
    """Hold an open file until it is closed or the process ends; False if that is impossible."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or not supported by the file system
        return False
    return True
