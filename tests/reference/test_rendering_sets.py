"""Rendered sets are published whole, once, and discarded when the renderer changes."""

from pathlib import Path

import pytest

from models.rendering.sets import SETS, ensure, renderer_digest

RENDERER = """
import os

def write(folder):
    (folder / "image.txt").write_text(str(os.times().elapsed))

def fail(folder):
    (folder / "half.txt").write_text("half")
    raise RuntimeError("out of paint")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A renderer that can be imported."""
    name = f"renderer_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RENDERER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_rendered_once(module: str, tmp_path: Path) -> None:
    root, sets = tmp_path / "data", {"one": (module, "write"), "two": (module, "write")}
    ensure(root, sets, "a")
    before = {p: p.read_text() for p in root.glob("*/*")}
    assert {p.parent.name for p in before} == {"one", "two"}
    ensure(root, sets, "a")
    assert {p: p.read_text() for p in root.glob("*/*")} == before


def test_another_renderer_makes_it_stale(module: str, tmp_path: Path) -> None:
    root, sets = tmp_path / "data", {"one": (module, "write")}
    ensure(root, sets, "a")
    (root / "one" / "left over.txt").touch()
    ensure(root, sets, "b")
    assert [p.name for p in (root / "one").iterdir()] == ["image.txt"]


def test_a_deleted_folder_is_rendered_again(module: str, tmp_path: Path) -> None:
    root, sets = tmp_path / "data", {"one": (module, "write")}
    ensure(root, sets, "a")
    (root / "one" / "image.txt").unlink()
    (root / "one").rmdir()
    ensure(root, sets, "a")
    assert (root / "one" / "image.txt").is_file()


def test_what_fails_leaves_nothing_behind_and_keeps_what_was(module: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    ensure(root, {"one": (module, "write")}, "a")
    before = (root / "one" / "image.txt").read_text()
    with pytest.raises(RuntimeError, match="out of paint"):
        ensure(root, {"one": (module, "fail"), "two": (module, "fail")}, "b")
    assert not (root / "two").exists()
    assert (root / "one" / "image.txt").read_text() == before


def test_every_set_has_its_renderer() -> None:
    assert len(SETS) == 7
    for module, function in SETS.values():
        assert callable(getattr(__import__(module, fromlist=[function]), function))
    assert len(renderer_digest()) == 64
