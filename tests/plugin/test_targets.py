"""Exports and reports overwrite nothing that an export or a report did not write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.errors import SettingsError
from pytest_kycquant.report.export import export, refuse_foreign
from pytest_kycquant.report.records import Collected, GatedModel
from tests.worlds.population import Run

Project = Callable[..., None]
OWN_RULE = "\n    def test_mine(self, candidate):\n        assert candidate.variant != 'int8'\n"


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the project that the plugin did not make."""
    ours = (".pytest_cache", "__pycache__", "ship")
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {*ours} & set(path.parts)
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("option", "folder", "file"),
    [
        ("export", "models", "models/face.onnx"),
        ("export", "golden", "golden/face.json"),
        ("report", "golden/face.json", "golden/face.json"),
        ("report", "models/face.onnx", "models/face.onnx"),
        ("report", "test_gate.py", "test_gate.py"),
        ("report", "faces.npz", "faces.npz"),
        ("report", "notes.json", "notes.json"),
        ("report", "notes.md", "notes.md"),
        ("export", "mine", "mine/face.onnx"),
        ("export", "yours", "yours/face.json"),
        ("export", "linked", "linked/face.onnx"),
    ],
)
def test_file_of_the_users(
    project: Project, run: Run, pytester: pytest.Pytester, option: str, folder: str, file: str
) -> None:
    project()
    root = pytester.path
    (root / "notes.json").write_text('{"schema": 1, "kycquant": "report"}')
    (root / "notes.md").write_text("# Notes\nabout pytest-kycquant report\n")
    for name in ("mine", "yours", "linked"):
        (root / name).mkdir()
    (root / "mine" / "face.onnx").write_bytes(b"precious")
    (root / "yours" / "face.json").write_text('{"files": 3}')
    (root / "linked" / "face.onnx").symlink_to(root / "models" / "face.onnx")
    before = digests(root)
    result = run(f"--kycquant-{option}={folder}")
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    shown = result.stdout.str() + result.stderr.str()
    assert f"--kycquant-{option}: " in shown
    assert file in shown
    assert digests(root) == before
    assert (root / "linked" / "face.onnx").is_symlink()


DIGEST = hashlib.sha256(b"years of work").hexdigest()
EVIDENCE = {
    "files": {},
    "replaced": {},
    **{key: [] for key in ("environment", "profile", "variants", "decisions")},
    **{"model": "face", "gate": "test_gate.py::TestFace"},
}
FORGED = {
    "another file": {"files": {"thesis.txt": DIGEST}},
    "replaced": {"replaced": {"thesis.txt": DIGEST}},
    "above": {"files": {"../out/thesis.txt": DIGEST}},
    "another model": {"files": {"thesis.onnx": DIGEST}},
    "folder": {"files": {"face-x/../thesis.onnx": DIGEST}},
    "number": {"files": {"face.onnx": 3}},
    "no digest": {"files": {"face.onnx": ""}},
    "long": {"files": {f"face-{'x' * 5000}.onnx": DIGEST}},
    "NUL": {"files": {"face-\0.onnx": DIGEST}},
    "list": {"files": []},
    "model": {"model": 5},
    "lacks": {"gate": None},
}


@pytest.mark.parametrize("how", FORGED)
def test_evidence_that_names_more_than_exports(tmp_path: Path, how: str) -> None:
    """Anybody can have written it, so it cannot say what may be removed."""
    for name in ("thesis.txt", "thesis.onnx"):
        (tmp_path / name).write_bytes(b"years of work")
    forged = json.dumps(EVIDENCE | FORGED[how])
    (tmp_path / "face.json").write_text(forged)
    with pytest.raises(SettingsError, match=r"face\.json was not written by an export") as caught:
        refuse_foreign(tmp_path, "face", [])
    assert len(str(caught.value)) < 2000
    done = export(Collected(by_key={"1": GatedModel("face", "test_gate.py::TestFace")}), tmp_path)
    assert done.failed
    assert (tmp_path / "face.json").read_text() == forged
    assert names(tmp_path) == ["face.json", "thesis.onnx", "thesis.txt"]


def test_a_list_of_files_of_the_users_is_no_evidence(tmp_path: Path) -> None:
    mine = '{"files": {}, "replaced": {}, "mine": "years of work"}'
    (tmp_path / "face.json").write_text(mine)
    with pytest.raises(SettingsError, match=r"face\.json was not written by an export"):
        refuse_foreign(tmp_path, "face", [])


def test_what_an_export_wrote_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_bytes(b"years of work")
    (tmp_path / "face.json").write_text(json.dumps(EVIDENCE | {"files": {"face.onnx": DIGEST}}))
    refuse_foreign(tmp_path, "face", [])


@pytest.mark.parametrize("option", ["report", "export"])
@pytest.mark.parametrize("place", ["file/x", "file/deep/x", "queue", "loop", "gone", "/dev/null"])
def test_place_where_nothing_can_be_written(
    pytester: pytest.Pytester, option: str, place: str
) -> None:
    """Said at once, not after minutes of work; also a device or a queue must not block."""
    root = pytester.path
    (root / "file").write_text("precious")
    os.mkfifo(root / "queue")
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("nowhere")
    result = pytester.runpytest_inprocess(f"--kycquant-{option}={place}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --kycquant-{option}: *"])
    assert len(result.stderr.str()) < 1000
    assert (root / "file").read_text() == "precious"


def test_earlier_report_and_export_are_replaced(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    for _ in range(2):
        result = run("--kycquant-report=report.json", "--kycquant-export=ship")
        assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    (pytester.path / "report.json").write_text("")  # as tempfile makes one
    assert run("--kycquant-report=report.json", "-k", "size").ret == pytest.ExitCode.OK


def test_exported_file_that_was_changed_since(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    run("--kycquant-export=ship")
    model = pytester.path / "ship" / "face.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    before = model.read_bytes()
    result = run("--kycquant-export=ship")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*ship/face.onnx was not written by an export; move it away, *"])
    assert model.read_bytes() == before


def test_export_that_no_longer_passes_is_removed(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Yesterday's model must not stay as if it had been cleared today."""
    project(fallback=None)
    run("--kycquant-export=ship")
    ship = pytester.path / "ship"
    assert names(ship) == ["face.json", "face.onnx"]
    (ship / "README").write_text("ours")
    gate = pytester.path / "test_gate.py"
    whole = gate.read_text()
    gate.write_text(whole + OWN_RULE)
    part = run("--kycquant-export=ship", "-k", "mine")
    part.stdout.fnmatch_lines(["exported: nothing for face: *; face.onnx is of an earlier run"])
    assert (ship / "face.onnx").exists()
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(
        [
            "exported: nothing for face, keep FP32 (*models/face.onnx)",
            "removed: *ship/face.onnx, which an earlier run exported",
        ]
    )
    assert names(ship) == ["README", "face.json"]
    evidence = json.loads((ship / "face.json").read_text())
    assert (evidence["found"]["ship"], evidence["files"]) == ("fp32", {})
    gate.write_text(whole)
    assert run("--kycquant-export=ship").ret == pytest.ExitCode.OK
    evidence = json.loads((ship / "face.json").read_text())
    content = (ship / "face.onnx").read_bytes()
    assert evidence["files"] == {"face.onnx": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    "name",
    [
        ".",
        "..",
        "a/b",
        "../face",
        "a\\\\b",
        "face\\0",
        "face\\n",
        "\\x1b[2J",
        " face",
        ".face",
        "x" * 200,
    ],
)
def test_name_that_is_not_a_file_name(
    project: Project, run: Run, pytester: pytest.Pytester, name: str
) -> None:
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    gate.write_text(
        gate.read_text().replace("        task=", f'        name="{name}",\n        task=')
    )
    before = digests(pytester.path)
    result = run("--kycquant-export=ship", "--kycquant-update-golden")
    assert result.ret == pytest.ExitCode.INTERRUPTED  # an error of collection
    result.stdout.fnmatch_lines(["*KycModel.name: * is not a file name; use letters*"])
    assert digests(pytester.path) == before
    assert not (pytester.path / "ship").exists()
