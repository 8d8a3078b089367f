"""The user's modules under their names in a new process, whoever found them in this one.

pytest imports test files in ways of its own: with ``--import-mode=importlib`` their folder is not
in `sys.path`, and their name may be that of a module of somebody else, such as ``tests``.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

Places = Mapping[str, tuple[str | None, Sequence[str] | None]]
"""By name of a module, its file, and its folders if it is a package."""

_INSTALLED = {"site-packages", "dist-packages"}


def places() -> Places:
    """Return where the user's modules are that this process has imported, with their packages."""
    found: dict[str, tuple[str | None, Sequence[str] | None]] = {}
    for name, module in list(sys.modules.items()):
        file = _file(name, module)
        if file is not None and _is_users(file):
            found[name] = str(file), _folders(module)
    for name in list(found):
        while name := name.rpartition(".")[0]:
            # Without a file, it is a namespace, or what pytest put in the place of a package.
            found.setdefault(name, (None, _folders(sys.modules.get(name)) or ()))
    return found


def install(given: Places) -> None:
    """Import modules from these places in this process.

    Args:
        given: the result of `places` in another process, possibly read from JSON.
    """
    sys.meta_path.insert(0, _Finder(given))


class _Finder(MetaPathFinder):
    def __init__(self, given: Places) -> None:
        self._given = given

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._given:
            return None
        file, folders = self._given[fullname]
        known = None if folders is None else list(folders)
        if file is not None:
            return spec_from_file_location(fullname, file, submodule_search_locations=known)
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = known
        return spec


def _file(name: str, module: object) -> Path | None:
    """The Python file of a module that has its own name; None if it has none."""
    spec = vars(module).get("__spec__") if isinstance(module, ModuleType) else None
    if not isinstance(spec, ModuleSpec) or spec.name != name or not spec.origin:
        return None
    return Path(spec.origin) if spec.origin.endswith(".py") else None


def _folders(module: object) -> list[str] | None:
    folders = vars(module).get("__path__") if isinstance(module, ModuleType) else None
    return None if folders is None else [str(folder) for folder in folders]


def _is_users(file: Path) -> bool:
    if _INSTALLED & {*file.parts} or file.is_relative_to(Path(__file__).parents[1]):
        return False
    return not file.is_relative_to(Path(sysconfig.get_path("stdlib")))
