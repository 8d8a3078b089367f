"""`--kycquant-cache` and `--cache-clear`: nothing of the user's is deleted or written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

SUITE = "def test_nothing():\n    pass\n"
Names = dict[str, str | None]


def content(root: Path) -> Names:
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if ".pytest_cache" not in path.parts
        and path.suffix != ".pyc"
        and path.name != "__pycache__"
    }


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a suite, models, goldens and a home."""
    root = pytester.path / "project"
    for name in ("models/face.onnx", "golden/face.json", "src/app.py", "home/.bashrc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("precious")
    (root / "test_suite.py").write_text(SUITE)
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "empty").mkdir()
    (root / "link").symlink_to("models")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.chdir(root)
    return root


PLACES = [
    ".", "..", "./", "models", "models/../models", "golden", "src", "/", "~", "link", "home",
    "{here}", "test_suite.py", "fifo", "test_suite.py/cache", "dangling", "/dev/null",
    "~nobody-of-this-name/x", "x" * 5000, "a/" * 2500, "with\0nul", " ",
]  # fmt: skip


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ascii(place)[:20])
def test_no_such_cache(pytester: pytest.Pytester, project: Path, place: str, clear: bool) -> None:
    (project / ".pytest_cache").mkdir()
    before = {path: path.lstat().st_mode for path in sorted(project.rglob("*"))}
    texts = {path: path.read_text() for path in before if path.is_file()}
    arguments = ["--cache-clear"] if clear else []
    given = place.format(here=project)
    result = pytester.runpytest_inprocess(*arguments, f"--kycquant-cache={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.stderr.lines if line.startswith("ERROR")]
    assert len(errors) == 1
    assert errors[0].startswith("ERROR: --kycquant-cache: ")
    assert len(errors[0]) < 400 + len(str(project))
    assert "Traceback" not in result.stderr.str()
    after = {path: path.lstat().st_mode for path in before if os.path.lexists(path)}
    assert after == before
    assert {path: path.read_text() for path in texts} == texts


@pytest.mark.parametrize("option", ["golden", "report", "export"])
@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "x" * 5000, "a/" * 2500, "nul\0", " "])
def test_no_such_path(pytester: pytest.Pytester, project: Path, option: str, place: str) -> None:
    result = pytester.runpytest_inprocess(f"--kycquant-{option}={place}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [line for line in result.stderr.lines if line]
    assert error.startswith(f"ERROR: --kycquant-{option}: ")
    assert len(error) < 200


def test_ini_is_held_to_the_same(pytester: pytest.Pytester, project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nkycquant_cache = .\n")
    result = pytester.runpytest_inprocess("--cache-clear")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kycquant-cache: * contains pytest's rootdir (*"])


@pytest.mark.parametrize("place", ["empty", "new", "new/deeper", ".cache/kycquant", "golden/cache"])
def test_a_cache(pytester: pytest.Pytester, project: Path, place: str) -> None:
    before = content(project)
    for arguments in ([], ["--cache-clear"]):
        result = pytester.runpytest_inprocess(f"--kycquant-cache={place}", *arguments)
        result.assert_outcomes(passed=1)
    assert content(project) == before  # it is made when a gate needs it


def test_clear_takes_what_gates_made(
    project: Path, pytester: pytest.Pytester, make_cache: Callable[[Path], None]
) -> None:
    cache = project / ".pytest_cache" / "kycquant"
    make_cache(cache)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert list(cache.glob("variant/*/x"))
    pytester.runpytest_inprocess("--cache-clear").assert_outcomes(passed=1)
    assert not list(cache.glob("variant/*/x"))
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_clear_leaves_a_foreign_folder_in_the_default_place(
    project: Path, pytester: pytest.Pytester
) -> None:
    foreign = project / ".pytest_cache" / "kycquant" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)  # no gate needs a cache
    result = pytester.runpytest_inprocess("--cache-clear")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kycquant-cache: * is a folder of something else *"])
    assert foreign.read_text() == "mine"


@pytest.fixture
def make_cache() -> Callable[[Path], None]:
    from pytest_kycquant.context.cache import Cache

    def make(root: Path) -> None:
        Cache(root, {}).entry("variant", [1], lambda folder: (folder / "x").touch())

    return make
