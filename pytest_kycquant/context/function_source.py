"""The source of a function or class as a tree: the same in all versions of Python.

A function is found by the positions in its code, not only by its line: several lambdas may stand on
one line, and the body of one may go on below. Comments, line breaks and docstrings do not count.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import types
from collections.abc import Iterator
from typing import Any

from ..spec import coerce

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# Not in all versions of Python, or only other spellings of the same.
_NO_MEANING = ("ctx", "kind", "type_comment", "lineno", "end_lineno", "col_offset")


class NoSourceError(Exception):
    """The source of a function cannot be read; the text says why and what to do about it."""


def function_source(function: types.FunctionType) -> str:
    """Write down the definition of a function.

    Raises:
        NoSourceError: it was made from a text, or its file has changed since.
    """
    code = function.__code__
    text = _text_of(code.co_filename, function.__globals__)
    near = _functions_of(text).get((code.co_firstlineno, code.co_name), [])
    if not near:
        raise NoSourceError(
            "has no readable source code", "define it in the gate file or in a module beside it"
        )
    if code.co_name == "<lambda>":
        near = _lambda_of(code, near)
    return written(near[0], docstrings=_reads_docstrings(text))


def class_source(kind: type) -> str:
    """Write down the definition of a class; "" if it was not made by a class statement.

    All definitions are returned that it may be, such as those in both branches of an ``if``.
    """
    codes = [
        each.__code__
        for each in vars(kind).values()
        if isinstance(each, types.FunctionType)
        and each.__qualname__.rpartition(".")[0] == kind.__qualname__
        and each.__module__ == kind.__module__
    ]
    files = [code.co_filename for code in codes if not code.co_filename.startswith("<")]
    file = files[0] if files else coerce.guarded(lambda: inspect.getfile(kind))
    text = "" if file is None else coerce.guarded(lambda: _text_of(file, {}), "")
    near = [node for name, node in _classes_of(text) if name == kind.__qualname__]
    exact = [
        node
        for node in near
        if any(
            code.co_filename == file
            and node.lineno <= code.co_firstlineno <= (node.end_lineno or node.lineno)
            for code in codes
        )
    ]
    docstrings = _reads_docstrings(text)
    return "\n".join(written(node, docstrings=docstrings) for node in exact or near)


def assigned(name: str, variables: dict[str, Any]) -> str:
    """Write down the statements of a module that give a variable its value."""
    file = variables.get("__file__")
    text = coerce.guarded(lambda: _text_of(str(file), variables), "") if file else ""
    return "\n".join(
        written(node, docstrings=True)
        for node in ast.walk(_tree(text))
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(target))
    )


def written(node: ast.AST, *, docstrings: bool) -> str:
    """Write down a tree without positions, in a form that no version of Python changes.

    It needs no recursion: a long sum is a deep tree.
    """
    found: list[str] = []
    todo: list[Any] = [node]
    while todo:
        value = todo.pop()
        if isinstance(value, ast.AST):
            found.append(f"({type(value).__name__}")
            todo.append(_Close(")"))
            for name, each in reversed(list(_fields(value, docstrings=docstrings))):
                todo += [each, _Close(f".{name}")]
        elif isinstance(value, list):
            found.append("[")
            todo += [_Close("]"), *reversed(value)]
        else:
            found.append(value if isinstance(value, _Close) else repr(value))
    return " ".join(found)


class _Close(str):
    """A word of `written` itself, as opposed to a text of the tree."""


def _fields(node: ast.AST, *, docstrings: bool) -> Iterator[tuple[str, Any]]:
    for name, value in ast.iter_fields(node):
        if name in _NO_MEANING or value is None or value == []:
            continue
        if isinstance(node, ast.Constant) and isinstance(value, frozenset):  # of an optimized tree
            value = sorted(map(repr, value))
        if name == "body" and isinstance(node, _Definition) and not docstrings:
            value = value[ast.get_docstring(node, clean=False) is not None :]
        if name == "values" and isinstance(node, ast.JoinedStr):
            value = _joined(value)
        yield name, value


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string; versions of Python cut the texts between them differently."""
    found: list[ast.expr] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(f"{last.value}{part.value}")  # type: ignore[str-bytes-safe]
        else:
            found.append(part)
    return found


def _text_of(file: str, variables: dict[str, Any]) -> str:
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file, variables))
    if not text:
        raise NoSourceError(
            "has no readable source code", "define it in the gate file or in a module beside it"
        )
    return text


@functools.lru_cache(maxsize=64)
def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


@functools.lru_cache(maxsize=64)
def _functions_of(text: str) -> dict[tuple[int, str], list[_Function]]:
    """Functions by the line on which their code begins, and by name."""
    found: dict[tuple[int, str], list[_Function]] = {}
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found.setdefault((line, node.name), []).append(node)
    return found


@functools.lru_cache(maxsize=64)
def _classes_of(text: str) -> list[tuple[str, ast.ClassDef]]:
    """Classes and their qualified names."""
    found: list[tuple[str, ast.ClassDef]] = []
    todo: list[tuple[str, ast.AST]] = [("", _tree(text))]
    while todo:
        prefix, node = todo.pop()
        if isinstance(node, ast.ClassDef):
            found.append((prefix + node.name, node))
            prefix = f"{prefix}{node.name}."
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            prefix = f"{prefix}{node.name}.<locals>."
        elif isinstance(node, ast.Lambda):
            prefix = f"{prefix}<lambda>.<locals>."
        todo += [(prefix, child) for child in reversed(list(ast.iter_child_nodes(node)))]
    return found


def _lambda_of(code: types.CodeType, near: list[_Function]) -> list[_Function]:
    """The lambda of some code, among those that begin on the same line."""
    places = [
        ((line, column), (end, last))
        for line, end, column, last in code.co_positions()
        if line is not None and end is not None and column is not None and last is not None
        if (line, column) != (end, last)  # not of an instruction that stands for nothing
    ]
    if not places:
        if len(near) == 1:
            return near
        problem = "is one of several lambdas on a line, and columns are switched off"
        raise NoSourceError(problem, "write it on a line of its own, or give it a name with def")
    start, end = min(p[0] for p in places), max(p[1] for p in places)
    inside = [
        (_start(node.body), node)
        for node in near
        if isinstance(node, ast.Lambda)
        if _start(node.body) <= start
        and end <= (node.body.end_lineno or 0, node.body.end_col_offset or 0)
    ]
    if not inside:
        raise NoSourceError(
            "is no longer where it was in its file", "run again, without editing it"
        )
    return [max(inside, key=lambda each: each[0])[1]]  # the others lie around it


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _reads_docstrings(text: str) -> bool:
    return "__doc__" in text or "getdoc" in text
