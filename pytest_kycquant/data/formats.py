"""The choice of a reader for a path: by the suffix of a file, or because it is a folder."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ..errors import DataError
from .files import unreadable

T = TypeVar("T")


def read_as(
    path: Path,
    folder: Callable[[Path], T],
    files: Mapping[str, Callable[[Path], T]],
    remedy: str,
) -> T:
    """Read a path with the reader for its kind.

    Args:
        path: a folder or a file.
        folder: the reader of folders.
        files: the reader of files by their suffix in lower case, such as ".npz".
        remedy: what to give instead of a path that no reader accepts.

    Returns:
        The result of the reader.

    Raises:
        DataError: the path does not exist, or no reader accepts it.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    reader = folder if is_folder else files.get(path.suffix.lower())
    if reader is None:
        known = f"neither a folder nor a file ending in {' or '.join(files)}"
        raise DataError(path, f"is {known if files else 'not a folder'}", remedy)
    return reader(path)
