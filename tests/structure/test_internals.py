"""What `docs/internals.md` points at exists."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.structure.test_layers import LAYERS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
ROOM = re.compile(r"^\| (`.+?`) \| ", re.MULTILINE)
CONVENTIONS = TEXT.split("## Conventions")[1].split("\n## ")[0]


def test_rooms_are_those_of_the_layers_and_stand_in_their_order() -> None:
    rooms = [
        name
        for row in ROOM.findall(TEXT.split("## Conventions")[0])
        for name in re.findall(r"`(\w+)(?:/|\.py)`", row)
    ]
    assert rooms == [name for name in reversed(LAYERS) if name != "__main__"]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)(?:`|::)", TEXT))))
def test_files_exist(path: str) -> None:
    assert any((base / path).is_file() for base in (ROOT, ROOT / "pytest_kycquant"))


@pytest.mark.parametrize("node", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", TEXT))))
def test_named_tests_exist(node: str) -> None:
    path, name = node.split("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert callable(getattr(module, name))


def test_each_convention_names_files_and_a_test_that_exists() -> None:
    rows = [line for line in CONVENTIONS.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 13
    for row in rows:
        _, where, held = row.strip("| ").split(" | ")
        files = re.findall(r"`([\w/]+\.py)`", where)
        assert files, row
        assert all((ROOT / "pytest_kycquant" / file).is_file() for file in files), row
        (node,) = re.findall(r"^`(tests/[\w/]+\.py)::(\w+)`$", held)
        source = ast.parse((ROOT / node[0]).read_text(encoding="utf-8"))
        tests = {each.name for each in source.body if isinstance(each, ast.FunctionDef)}
        assert node[1] in tests, row


def test_each_extension_names_its_test() -> None:
    section = TEXT.split("## Adding something")[1].split("\n## ")[0]
    parts = section.split("\n### ")[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "A recipe", "A rewrite", "A task", "A runtime", "A format of files", "A report",
        "A command", "A layout of detectors' outputs",
    ]  # fmt: skip
    assert all(re.search(r"^`tests/\S+::\w+`$", part, re.MULTILINE) for part in parts)
