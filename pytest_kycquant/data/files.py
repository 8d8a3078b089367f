"""Files on disk: the images below a folder, the bytes of a file, the arrays of an ``.npz``."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import DataError, printable
from ..files import NO_WAIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# Files that people and operating systems leave next to images and that are certainly not images.
_SIDECAR_SUFFIXES = frozenset({".csv", ".json", ".md", ".txt"})
_SIDECAR_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_SHOWN = 120  # letters of a name or value in a message
_LONGEST_NAME = 200
_LARGEST = 1 << 30  # bytes of a file
_SMALL_ARRAY, _COMPRESSION = 1 << 26, 200  # bytes; the factor that no photograph reaches
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def listed(items: Sequence[str], limit: int = 5) -> str:
    """Join the first `limit` items for a one-line message and count the others."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(map(short, items[:limit])) + more


def short(text: str) -> str:
    """Return a text from a file as a part of a message: one printable line of bounded length."""
    shown = printable(text[: _SHOWN + 1])
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def check_text(text: str, where: object, what: str) -> str:
    """Return `text` in Unicode form NFC, so that names compare equal on every filesystem.

    Args:
        text: a name that will appear in messages and digests.
        where: the file or folder that the name comes from.
        what: what the name is, such as "the file name", for the message.

    Raises:
        DataError: the name contains control characters, line breaks or undecodable bytes.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise DataError(
            where,
            f"{what} {text[:_SHOWN]!a} contains control characters or undecodable bytes",
            "rename it",
        )
    return unicodedata.normalize("NFC", text)


def check_name(text: str, where: object, what: str) -> str:
    """Return the name of a person, group, species or class as `check_text` does.

    Raises:
        DataError: see `check_text`; or the name is longer than reports and messages can show.
    """
    if len(text) > _LONGEST_NAME:
        raise DataError(
            where,
            f"{what} {text[:_SHOWN]!a}... has {len(text):,} letters",
            f"give it a name of at most {_LONGEST_NAME}",
        )
    return check_text(text, where, what)


def relative_name(path: Path, root: Path) -> str:
    """Return `path` relative to `root`, with posix separators and in Unicode form NFC.

    Raises:
        DataError: the name cannot be shown on one line.
    """
    return check_text(path.relative_to(root).as_posix(), path, "the file name")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; anything else, such as a FIFO, would make the reader wait for ever.

    Raises:
        DataError: the path cannot be opened, or is not a file of at most a gigabyte.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_WAIT)
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        raise unreadable(path, error) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
            raise DataError(path, f"is {kind}", "give a file")
        if facts.st_size > _LARGEST:
            size = facts.st_size / 2**30
            raise DataError(path, f"is {size:.1f} GiB large", "give a file of at most 1 GiB")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def unreadable(path: Path, error: Exception) -> DataError:
    """Make the error for a path that the system refuses."""
    if isinstance(error, FileNotFoundError):
        return DataError(path, "does not exist", "check the path")
    reason = getattr(error, "strerror", None) or short(str(error)) or type(error).__name__
    return DataError(path, f"cannot be read ({reason})", "check the path and its permissions")


def is_file(path: Path) -> bool:
    """Whether a path that somebody wrote is a file; False for what no path can be."""
    return os.path.isfile(path)  # noqa: PTH113 - the method raises errors for some names


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: the file cannot be read, or it is a Git LFS pointer in place of the real file.
    """
    with opened(path) as file:
        try:
            # Asked for more than that, Python would reserve it for every small file.
            content = file.read(os.fstat(file.fileno()).st_size + 1)
        except OSError as error:
            raise unreadable(path, error) from error
        except MemoryError as error:
            raise DataError(path, "does not fit into memory", "give a smaller file") from error
    if content.startswith(_LFS_POINTER):
        raise DataError(path, "is a Git LFS pointer, not the file itself", "run `git lfs pull`")
    return content


def find_images(folder: Path) -> list[Path]:
    """Find the image files below `folder`, at any depth.

    Hidden files and folders (leading dot) and well-known companions of images (text, CSV, JSON,
    Markdown, thumbnail caches) are skipped. Symbolic links are followed.

    Returns:
        Paths that start with `folder`, sorted by their posix path below it; possibly none.

    Raises:
        DataError: the folder cannot be listed, contains a broken or circular link, or contains
            files that are neither images nor known companions, which would otherwise be dropped
            silently.
    """
    found = sorted((relative_name(path, folder), path) for path in files_below(folder))
    images = []
    strangers = []
    for name, path in found:
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif suffix not in _SIDECAR_SUFFIXES and path.name.lower() not in _SIDECAR_NAMES:
            strangers.append(name)
    if strangers:
        raise DataError(
            folder,
            f"contains files of an unknown kind: {listed(strangers)}",
            "convert images to JPEG or PNG and move other files away",
        )
    return images


def load_npz(path: Path, *keys: str, optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Load arrays from an ``.npz`` file without ever unpickling anything.

    Args:
        path: the file.
        keys: names of the arrays that must be present.
        optional: names of arrays that are read if present; no others are read.

    Returns:
        The arrays by name.

    Raises:
        DataError: the file is missing, damaged or not a zip archive, lacks an array of `keys`, or
            an array contains Python objects.
    """
    return _of_archive(path, lambda file: _arrays(file, path, keys, optional))


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an ``.npz`` file, in their order.

    Raises:
        DataError: the file is missing, damaged or not a zip archive.
    """

    def read(file: IO[bytes]) -> tuple[str, ...]:
        with np.load(file, allow_pickle=False) as archive:
            return tuple(archive.files)

    return _of_archive(path, read)


def _of_archive(path: Path, read: Callable[[IO[bytes]], T]) -> T:
    """Read something from an ``.npz`` file; whatever is wrong with it is a DataError."""
    with opened(path) as file:
        try:
            if not zipfile.is_zipfile(file):
                read_file(path)  # a Git LFS pointer has an error of its own
                raise DataError(path, "is not an .npz file", "write it with numpy.savez_compressed")
            file.seek(0)
            _refuse_encrypted(file, path)
            return read(file)
        except DataError:
            raise
        except MemoryError as error:
            raise DataError(path, "does not fit into memory", "save fewer images") from error
        except Exception as error:  # zlib, zipfile and numpy each raise their own errors on damage
            raise DataError(
                path, f"is damaged ({type(error).__name__})", "write or download it again"
            ) from error


def _refuse_encrypted(file: IO[bytes], path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        if any(entry.flag_bits & 1 for entry in archive.infolist()):
            raise DataError(path, "is encrypted", "save it without a password")
    file.seek(0)


def _arrays(
    file: IO[bytes], path: Path, keys: Sequence[str], optional: Sequence[str]
) -> dict[str, NDArray[Any]]:
    with np.load(file, allow_pickle=False) as archive:
        missing = [key for key in keys if key not in archive.files]
        if missing:
            raise DataError(
                path,
                f"lacks {_quoted(missing)}; it contains: {_quoted(archive.files) or 'nothing'}",
                f"save it with {_quoted(keys)}",
            )
        chosen = (*keys, *(key for key in optional if key in archive.files))
        for info in archive.zip.infolist():
            if info.filename.removesuffix(".npy") in chosen and _is_bomb(info):
                raise DataError(
                    path,
                    f"{info.filename!r} is {info.file_size / 2**30:.1f} GiB of nearly the same "
                    "bytes, which may be a decompression bomb",
                    "save real images with numpy.savez",
                )
        return {key: _member(archive, key, path) for key in chosen}


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    """Whether an array is large and compressed as photographs never are."""
    return info.file_size > max(_SMALL_ARRAY, _COMPRESSION * info.compress_size)


def _member(archive: Any, key: str, path: Path) -> NDArray[Any]:
    """Read one array of an open archive; numpy reports pickles only as a ValueError."""
    try:
        array = archive[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            path,
            f"array {key!r} contains pickled Python objects, which are never loaded",
            "save it as a plain numeric or string array",
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(path, f"{key!r} is not an array", "write it with numpy.savez_compressed")
    if array.dtype.kind == "V":
        raise DataError(
            path, f"{key!r} is a structured array", "save each field as an array of its own"
        )
    if array.dtype.kind == "U" and _highest(array) > sys.maxunicode:
        # Python reads it and raises SystemError whenever it looks at the text.
        raise DataError(
            path, f"{key!r} holds numbers that stand for no letter", "write or download it again"
        )
    return array


def _highest(texts: NDArray[Any]) -> int:
    """Return the highest code point of an array of texts."""
    native = np.ascontiguousarray(texts.astype(texts.dtype.newbyteorder("=")))
    return max(memoryview(native.tobytes()).cast("I"), default=0)


def _quoted(names: Iterable[str]) -> str:
    return listed([repr(name) for name in names])


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, in no particular order, following links.

    Hidden files and folders (leading dot) are skipped.

    Raises:
        DataError: the folder cannot be listed, or contains a broken or circular link or anything
            else that is neither a file nor a folder.
    """
    files: list[Path] = []
    waiting = [
        (folder, frozenset[tuple[int, int]]())
    ]  # not recursive: folders may be deeper than the stack
    while waiting:
        current, parents = waiting.pop()
        try:
            facts = current.stat()
            identity = facts.st_dev, facts.st_ino
            entries = [
                (entry, entry.is_dir(), entry.is_file())
                for entry in current.iterdir()
                if not entry.name.startswith(".")
            ]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise DataError(
                current, f"cannot be listed ({reason})", "check the path and its permissions"
            ) from error
        if identity in parents:
            raise DataError(current, "is a link to a folder that contains it", "remove the link")
        for entry, is_folder, is_regular in entries:
            if is_folder:
                waiting.append((entry, parents | {identity}))
            elif is_regular:
                files.append(entry)
            else:
                raise DataError(
                    entry,
                    "is a broken link or not a regular file",
                    "restore its target or remove it",
                )
    return files
