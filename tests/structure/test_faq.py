"""`docs/faq.md` quotes messages word for word: each still stands in the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
QUOTES = [line.removeprefix("> ") for line in TEXT.splitlines() if line.startswith("> ")]


@cache
def strings() -> str:
    """Every string of the package that is not a docstring; a value in an f-string is a NUL."""
    found = []
    for path in sorted((ROOT / "pytest_kycquant").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in documents:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = node.values
                found.append("".join(_plain(part) if _plain(part) else "\0" for part in parts))
            elif text := _plain(node):
                found.append(text)
    return "\n".join(found)


def _plain(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def fragments(quote: str) -> list[str]:
    """What is quoted, without verdicts, without what differs, in the parts of an error."""
    message = re.sub(r"^`(INCONCLUSIVE|FAIL)`(: )?", "", quote).strip()
    message = message.strip("`")
    parts = [part.strip(" :;,()") for half in message.split("...") for part in half.split("; ")]
    return [part for part in parts if len(part) > 2]


def test_there_are_enough() -> None:
    assert len(QUOTES) >= 25
    assert len(set(QUOTES)) == len(QUOTES)


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_stands_in_the_code(quote: str) -> None:
    parts = fragments(quote)
    assert parts
    assert max(map(len, parts)) > 11
    assert not [part for part in parts if part not in strings()]


def test_what_nobody_says_is_noticed() -> None:
    assert [part for part in fragments("> `is a golden of ... cheese`") if part not in strings()]
