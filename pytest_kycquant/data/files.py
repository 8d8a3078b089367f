"""Files on disk: the images below a folder, the bytes of a file, the arrays of an ``.npz``."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# Files that people and operating systems leave next to images and that are certainly not images.
_SIDECAR_SUFFIXES = frozenset({".csv", ".json", ".md", ".txt"})
_SIDECAR_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_SHOWN = 120  # letters of a name or value in a message
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def listed(items: Sequence[str], limit: int = 5) -> str:
    """Join the first `limit` items for a one-line message and count the others."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(map(short, items[:limit])) + more


def short(text: str) -> str:
    """Return a text from a file as a part of a message: one printable line of bounded length."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: _SHOWN + 1])
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
            f"{what} {text!a} contains control characters or undecodable bytes",
            "rename it",
        )
    return unicodedata.normalize("NFC", text)


def relative_name(path: Path, root: Path) -> str:
    """Return `path` relative to `root`, with posix separators and in Unicode form NFC.

    Raises:
        DataError: the name cannot be shown on one line.
    """
    return check_text(path.relative_to(root).as_posix(), root, "the file name")


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: the file cannot be read, or it is a Git LFS pointer in place of the real file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            path, f"cannot be read ({reason})", "check the path and its permissions"
        ) from error
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
    found = sorted((relative_name(path, folder), path) for path in _walk(folder, frozenset()))
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
    if not path.exists():
        raise DataError(path, "does not exist", "check the path")
    if not zipfile.is_zipfile(path):
        read_file(path)  # an unreadable file or a Git LFS pointer has an error of its own
        raise DataError(path, "is not an .npz file", "write it with numpy.savez_compressed")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise DataError(
                    path,
                    f"lacks {_quoted(missing)}; it contains: {_quoted(archive.files) or 'nothing'}",
                    f"save it with {_quoted(keys)}",
                )
            for key in (*keys, *(key for key in optional if key in archive.files)):
                arrays[key] = _member(archive, key, path)
    except DataError:
        raise
    except Exception as error:  # zlib, zipfile and numpy each raise their own errors on damage
        raise DataError(
            path, f"is damaged ({type(error).__name__})", "write or download it again"
        ) from error
    return arrays


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
    return array


def _quoted(names: Iterable[str]) -> str:
    return listed([repr(name) for name in names])


def _walk(folder: Path, parents: frozenset[Path]) -> list[Path]:
    """List files below `folder` that are not hidden, in no particular order."""
    try:
        real = folder.resolve(strict=True)
        entries = [
            (entry, entry.is_dir(), entry.is_file())
            for entry in folder.iterdir()
            if not entry.name.startswith(".")
        ]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            folder, f"cannot be listed ({reason})", "check the path and its permissions"
        ) from error
    if real in parents:
        raise DataError(folder, "is a link to a folder that contains it", "remove the link")
    files = []
    for entry, is_folder, is_file in entries:
        if is_folder:
            files += _walk(entry, parents | {real})
        elif is_file:
            files.append(entry)
        else:
            raise DataError(
                entry, "is a broken link or not a regular file", "restore its target or remove it"
            )
    return files
