"""A plugin of pytest that shows this package the `os` and `time` that Windows has.

There, some modules and names are missing, the clocks of CPU time advance every 15.6 ms, folders
cannot be opened, only files open for writing can be synced, and nothing can be renamed or deleted
that somebody has open. Other packages see the true modules: they have their own code for Windows.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "pytest_kycquant"
ABSENT = ("fcntl", "resource", "pwd", "grp", "termios")
NAMES = ("O_NONBLOCK", "getuid", "sched_getaffinity", "sched_setaffinity", "sysconf")
TICK = 15_625_000  # ns
_OURS = (".kycquant", "kycquant-", "partial-")


def _open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
    if Path(path).is_dir():
        raise PermissionError(13, "Permission denied", path)
    return os.open(path, flags, *arguments, **options)


def _fsync(descriptor: int) -> None:
    facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").split()
    if int(facts[facts.index("flags:") + 1], 8) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor")
    os.fsync(descriptor)


def _coarse(clock: Callable[[], int]) -> Callable[[], int]:
    return lambda: clock() // TICK * TICK


def _other(module: ModuleType, changed: Mapping[str, object], absent: tuple[str, ...]) -> Any:
    other = ModuleType(module.__name__, "as Windows has it")
    other.__dict__.update(module.__dict__ | changed)
    for name in absent:
        del other.__dict__[name]
    return other


OTHERS = {
    "os": _other(os, {"open": _open, "fsync": _fsync}, NAMES),
    "time": _other(
        time,
        {name: _coarse(getattr(time, name)) for name in ("thread_time_ns", "process_time_ns")},
        (),
    ),
}
_imported = builtins.__import__


def _importing(name: str, globals: Any = None, *arguments: Any, **options: Any) -> Any:  # noqa: A002
    if globals is not None and str(globals.get("__name__")).startswith(PACKAGE):
        if name in ABSENT:
            raise ImportError(f"No module named {name!r}")
        if name in OTHERS:
            return OTHERS[name]
    return _imported(name, globals, *arguments, **options)


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to rename or delete what this process has open, as far as it is this package's."""

    def call(*arguments: Any, **options: Any) -> Any:
        for path in arguments[:2]:
            text = os.fsdecode(path)
            if any(part in text for part in _OURS) and _is_open(Path(text).absolute()):
                raise PermissionError(13, "The file is used by another process", text)
        return function(*arguments, **options)

    return call


def _is_open(path: Path) -> bool:
    targets = []
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            targets.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH115
        except OSError:  # the listing itself
            continue
    return any(target.is_file() and path in (target, *target.parents) for target in targets)


assert not [name for name in sys.modules if name.startswith(f"{PACKAGE}.")], "too late"
builtins.__import__ = _importing
for _name in ("rename", "replace", "unlink", "remove"):
    setattr(os, _name, _refusing(getattr(os, _name)))

import pytest_kycquant.files  # noqa: E402

pytest_kycquant.files.WINDOWS = True
