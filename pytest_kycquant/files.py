"""Files that are written completely or not at all, even if the writing process is killed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file completely, or leave the old one: readers never see a partial file.

    The content goes to a temporary file in the same folder, which then takes the name of `path`.
    Each call uses its own temporary file, so if two processes write the same file at the same
    time, one of them wins. A process that is killed meanwhile leaves its ``*.partial`` file behind.

    Args:
        path: the file; its folder must exist.
        content: the content to write; text is encoded as UTF-8.

    Raises:
        OSError: the folder is not writable, or there is no space left.
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
