"""What `docs/internals.md` points at exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.structure.test_layers import LAYERS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
ROOM = re.compile(r"^\| (`.+?`) \| ", re.MULTILINE)


def test_rooms_are_those_of_the_layers_and_stand_in_their_order() -> None:
    rooms = [name for row in ROOM.findall(TEXT) for name in re.findall(r"`(\w+)(?:/|\.py)`", row)]
    assert rooms == [name for name in reversed(LAYERS) if name != "__main__"]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)(?:`|::)", TEXT))))
def test_files_exist(path: str) -> None:
    assert any((base / path).is_file() for base in (ROOT, ROOT / "pytest_kycquant"))


@pytest.mark.parametrize("node", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", TEXT))))
def test_named_tests_exist(node: str) -> None:
    path, name = node.split("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert callable(getattr(module, name))


def test_each_extension_names_its_test() -> None:
    section = TEXT.split("## Adding something")[1].split("\n## ")[0]
    parts = section.split("\n### ")[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "A recipe", "A rewrite", "A task", "A runtime", "A format of files", "A report",
        "A command", "A layout of detectors' outputs",
    ]  # fmt: skip
    assert all(re.search(r"^`tests/\S+::\w+`$", part, re.MULTILINE) for part in parts)
