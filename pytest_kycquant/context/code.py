"""A digest of this package's own code: which version made an artefact."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..files import write_whole

ROOT = Path(__file__).parents[1]
# Parts that cannot change an artefact. If one that can were listed, stale artefacts would be used.
# What a pipeline makes of images depends on `pipeline`, too: its key has a `room_digest`.
_ONLY_SHOW = ("cli", "pipeline", "plugin", "report")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_PARTS = ("body", "orelse", "finalbody", "handlers", "cases")  # of statements, which hold others


def sources(root: Path = ROOT) -> list[Path]:
    """Return the modules of the package that may change an artefact, sorted."""
    found = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(root / path for path in found if path.parts[0] not in _ONLY_SHOW)


@functools.cache
def code_digest(known: Path, root: Path = ROOT) -> str:
    """Return the SHA-256 of the code: a version that works differently rebuilds its artefacts.

    Comments and docstrings do not count, nor do modules that only show artefacts.

    Args:
        known: folder that caches the digests of sources, because parsing them takes a while.
        root: folder of the package.
    """
    paths = sources(root)
    contents = [path.read_bytes() for path in paths]
    names = [path.relative_to(root).as_posix() for path in paths]
    remembered = known / _digest(names, contents)[:32]
    with contextlib.suppress(OSError):
        if len(digest := remembered.read_text(encoding="ascii")) == 64:
            return digest
    digest = _digest_of_meanings(tuple(names), tuple(contents))
    # This file only saves time, so a failure to write it does not matter.
    with contextlib.suppress(OSError):
        known.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(remembered, digest, private=True)
    return digest


@functools.cache
def room_digest(room: str, root: Path = ROOT) -> str:
    """Return the SHA-256 of the code of a folder of the package that `code_digest` leaves out."""
    paths = sorted((root / room).rglob("*.py"))
    names = tuple(path.relative_to(root).as_posix() for path in paths)
    return _digest_of_meanings(names, tuple(path.read_bytes() for path in paths))


@functools.cache  # for processes that use several caches, such as those of tests
def _digest_of_meanings(names: tuple[str, ...], contents: tuple[bytes, ...]) -> str:
    return _digest(names, map(meaning, contents))


def _digest(names: Iterable[str], contents: Iterable[bytes]) -> str:
    state = hashlib.sha256()
    for name, content in zip(names, contents, strict=True):
        state.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return state.hexdigest()


def meaning(source: bytes) -> bytes:
    """Return the syntax tree of a module without positions and docstrings."""
    tree = ast.parse(source)
    _drop_docstrings([tree])
    return ast.dump(tree, annotate_fields=False).encode()


def _drop_docstrings(nodes: Iterable[ast.AST]) -> None:
    """Drop the docstrings of modules, classes and functions, which only stand among statements."""
    for node in nodes:
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del body[0]
        for part in _PARTS:
            _drop_docstrings(getattr(node, part, ()))
