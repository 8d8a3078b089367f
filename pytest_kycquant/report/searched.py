"""The JSON files of a folder, without those of tools: caches, environments, checkouts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Folders of tools that are not hidden; nobody keeps reports there.
_OF_TOOLS = frozenset({"node_modules", "__pycache__", "__pypackages__", "site-packages", "venv"})
_ENVIRONMENT = "pyvenv.cfg"  # marks a virtual environment, whatever its name is


def files_below(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, in the order of their paths.

    Hidden folders below it, such as .git and .pytest_cache, and those of tools are passed over. The
    folder itself was named by somebody, so it is searched whatever its name is.

    Args:
        folder: where to look.
        suffix: what the names of the files end with, such as ".json".
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_of_tools(Path(place) / name)]
        found += [Path(place) / name for name in names if name.endswith(suffix)]
    yield from sorted(found)


def _is_of_tools(folder: Path) -> bool:
    name = folder.name
    return name.startswith(".") or name in _OF_TOOLS or (folder / _ENVIRONMENT).is_file()
