"""Files that are there whole or not at all, whatever happens to the process that writes them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, or leave what was there: readers never see a part of it.

    The content goes to a temporary file in the same folder, which then takes the name of `path`.
    Each call has a temporary file of its own, so of two processes that write the same file at the
    same time, one wins. A process that is killed meanwhile leaves its ``*.partial`` behind.

    Args:
        path: the file; its folder exists.
        content: what to write; text is encoded as UTF-8.

    Raises:
        OSError: the folder cannot be written, or there is no space left.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name without content
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # it may not even have been created
            partial.unlink()
        raise
