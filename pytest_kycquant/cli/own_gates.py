"""Gate files of a project that name a model, found by reading them: none of them is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ..files import from_here
from ..report.searched import files_below

_IMPORTED = b"pytest_kycquant"
_MOST = 5_000  # Python files to look at; a larger folder is not one of a project


def gates_of(model: Path, folder: Path) -> list[str]:
    """Gates below a folder whose file names a model, as pytest selects them, such as a class.

    Args:
        model: the model file.
        folder: the root of the project.
    """
    found: list[str] = []
    for number, path in enumerate(files_below(folder, ".py")):
        if number >= _MOST:
            break
        try:
            content = path.read_bytes()
            if _IMPORTED not in content or model.name.encode() not in content:
                continue
            tree = ast.parse(content)
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        found += _gates(tree, path, folder, model.absolute())
    return found


def _gates(tree: ast.Module, path: Path, folder: Path, model: Path) -> Iterator[str]:
    """The classes with a `model` that name the file, or else the file if it names it anywhere."""
    places = (folder, path.parent)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    named = [node.name for node in classes if _sets_model(node) and _names(node, model, places)]
    if named:
        yield from (f"{from_here(path)}::{name}" for name in named)
    elif _is_test(tree) and _names(tree, model, places):
        yield from_here(path)


def _sets_model(node: ast.ClassDef) -> bool:
    targets = [each for one in node.body if isinstance(one, ast.Assign) for each in one.targets]
    return any(isinstance(each, ast.Name) and each.id == "model" for each in targets)


def _is_test(tree: ast.Module) -> bool:
    """Whether pytest would find something in a file, such as a class whose model stands above."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return any(isinstance(one, kinds) and one.name.lower().startswith("test") for one in tree.body)


def _names(tree: ast.AST, model: Path, places: tuple[Path, ...]) -> bool:
    texts = (one.value for one in ast.walk(tree) if isinstance(one, ast.Constant))
    return any(isinstance(text, str) and _is_path_of(text, model, places) for text in texts)


def _is_path_of(text: str, model: Path, places: tuple[Path, ...]) -> bool:
    """Whether a text is a path of a file, or the end of it, and not that of another one."""
    if not text.endswith(model.name):
        return False
    try:
        there = [place / text for place in places if (place / text).is_file()]
        if there:
            return there[0].samefile(model)  # as gates look for it: the root comes first
    except (OSError, ValueError):
        return False
    parts = Path(text).parts
    return model.parts[-len(parts) :] == parts
