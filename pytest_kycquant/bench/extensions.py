"""The code of lines in the tables that were added from outside the package, for cache keys.

The package's own code is part of every key (`context/code.py`). A precision, rewrite, runtime or
task of somebody else's can change an artefact, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from ..context.code import meaning
from ..runtimes import RUNTIMES
from ..spec.precision import LADDERS
from ..spec.recipe import RECIPES, REWRITES
from ..tasks.registry import TASKS

_PACKAGE = __name__.partition(".")[0]


def extensions() -> dict[str, str]:
    """Return the SHA-256 of each module outside the package that a table names, by module."""
    modules = {name.partition(":")[0] for name in _named()}
    outside = sorted(name for name in modules if name.partition(".")[0] != _PACKAGE)
    return {name: _digest(name) for name in outside}


def _named() -> Iterator[str]:
    for table in (RECIPES, *LADDERS.values()):
        yield from (line.kind for line in table.values())
    yield from (line.apply for line in REWRITES.values())
    yield from (line.library for line in RUNTIMES.values())
    for judged in TASKS.values():
        yield from filter(None, judged)


def _digest(module: str) -> str:
    """Digest of what a module does; of its name if it has no source."""
    spec = importlib.util.find_spec(module)
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    if origin is None or not origin.is_file():
        return hashlib.sha256(module.encode()).hexdigest()
    content = origin.read_bytes()
    if origin.suffix == ".py":
        content = meaning(content)
    return hashlib.sha256(content).hexdigest()
