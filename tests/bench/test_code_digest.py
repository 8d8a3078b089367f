"""A change of the package's own code rebuilds artefacts if it can change them, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kycquant.context.code import ROOT, code_digest, sources

MODULE = '"""Says something."""\n\ndef double(x):\n    """Twice as much."""\n    return 2 * x\n'


def digest(tmp_path: Path, files: dict[str, str]) -> str:
    """The digest of a package of these files."""
    number = len(list(tmp_path.iterdir()))
    root = tmp_path / f"package{number}"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return code_digest(tmp_path / "known", root)


@pytest.mark.parametrize(
    "change",
    [
        {"quantize/a.py": MODULE.replace("Twice", "Two times")},
        {"quantize/a.py": MODULE.replace("Says something.", "Says more.\n\nIn two lines.\n")},
        {"quantize/a.py": MODULE.replace("2 * x", "2 * x  # a shift would be faster")},
        {"quantize/a.py": MODULE.replace('    """Twice as much."""\n', "")},
        {"report/b.py": "shown = 2"},
        {"plugin/b.py": "hook = 2"},
    ],
)
def test_words_and_what_only_shows_leave_artefacts_alone(
    tmp_path: Path, change: dict[str, str]
) -> None:
    before = {"quantize/a.py": MODULE, "report/b.py": "shown = 1", "plugin/b.py": "hook = 1"}
    assert digest(tmp_path, before) == digest(tmp_path, before | change)


@pytest.mark.parametrize(
    "change",
    [
        {"quantize/a.py": MODULE.replace("2 * x", "3 * x")},
        {"quantize/a.py": MODULE.replace("return 2", "return 'a string'; 2")},
        {"statistics.py": "level = 0.9"},
        {"quantize/new.py": ""},
        {"brand_new/c.py": "x = 1"},
    ],
)
def test_anything_else_makes_them_anew(tmp_path: Path, change: dict[str, str]) -> None:
    before = {"quantize/a.py": MODULE, "statistics.py": "level = 0.95"}
    assert digest(tmp_path, before) != digest(tmp_path, before | change)


def test_it_is_remembered_and_a_damaged_memory_is_not_believed(tmp_path: Path) -> None:
    found = digest(tmp_path, {"a.py": MODULE})
    (remembered,) = (tmp_path / "known").iterdir()
    assert remembered.read_text() == found
    remembered.write_text("damaged")
    assert digest(tmp_path, {"a.py": MODULE}) == found
    remembered.write_text("f" * 64)  # shows that it is read
    assert digest(tmp_path, {"a.py": MODULE}) == "f" * 64


def test_all_that_may_change_an_artefact_counts() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in sources()}
    assert names >= {"bench", "context", "data", "quantize", "runtimes", "spec", "tasks"}
    assert not names & {"plugin", "report", "pipeline"}
