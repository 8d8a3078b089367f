"""Which reader reads a path: it depends on whether a folder lies there or what kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ..errors import DataError

T = TypeVar("T")


def read_as(
    path: Path,
    folder: Callable[[Path], T],
    files: Mapping[str, Callable[[Path], T]],
    remedy: str,
) -> T:
    """Read a path with the reader for what lies there.

    Args:
        path: a folder or a file.
        folder: reads a folder.
        files: what reads a file, by its suffix in lower case, such as ".npz".
        remedy: what to give where the path is something else.

    Returns:
        What the reader returns.

    Raises:
        DataError: the path does not exist, or no reader is for what lies there.
    """
    reader = folder if path.is_dir() else files.get(path.suffix.lower())
    if not path.exists():
        raise DataError(path, "does not exist", "check the path")
    if reader is None:
        known = f"neither a folder nor a file ending in {' or '.join(files)}"
        raise DataError(path, f"is {known if files else 'not a folder'}", remedy)
    return reader(path)
