"""`kycquant list` and `kycquant status`: what an export wrote, and whether it still fits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.main import WIDTH
from pytest_kycquant.context.cache import digest_of
from tests.cli.conftest import Kycquant
from tests.cli.test_history_command import write as write_report
from tests.report.test_history import report
from tests.worlds.ci import environment_outside_ci
from tests.worlds.population import embedder, write_project
from tests.worlds.processes import PYTEST

GATE = "test_gate.py::TestFace"
COMMAND = f"pytest {GATE} --kycquant-export=ship"
AGAIN = f"run the gate again: {COMMAND}"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project and what it exported; do not write there."""
    root = tmp_path_factory.mktemp("shipped")
    write_project(root, precisions='Recipe("int8-weights", name="w", bias_correction=False)',
                  fallback=None)  # fmt: skip
    (root / "pytest.ini").write_text("[pytest]\n")
    for more in (["--kycquant-update-golden"], ["--kycquant-export=ship"]):
        done = subprocess.run(
            [*PYTEST, "-q", *more], cwd=root, env=environment_outside_ci(), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    assert (root / "ship" / "face.onnx").is_file()
    return root


@pytest.fixture
def root(kycquant: Kycquant, shipped: Path, tmp_path: Path) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(shipped, tmp_path, dirs_exist_ok=True)
    return tmp_path


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit evidence, with a digest made anew."""
    values = json.loads(path.read_text())
    del values["digest"]
    edit(values)
    path.write_text(json.dumps(values | {"digest": digest_of(values)}))


def lines(shown: str) -> list[str]:
    """Points, each on one line."""
    joined = shown.replace("\n    ", " ")
    return [line.strip() for line in joined.splitlines()]


def test_list(kycquant: Kycquant, root: Path) -> None:
    code, shown, error = kycquant("list", "ship")
    assert (code, error) == (exits.DONE, "")
    headers, _, row, *loose = shown.splitlines()
    assert headers.split() == [
        "model", "ships", "size", "gate", "verdict", "date", "commit"
    ]  # fmt: skip
    assert row.split()[:2] == ["face", "w"]
    assert row.split()[4] == "PASS"
    assert loose[0] == "  - face: ship/face.onnx"
    assert loose[1].startswith(
        "  - face: limits looser than the defaults: latency_ratio 1000 (1.05)"
    )
    code, shown, _ = kycquant("list", "ship", "--json")
    (one,) = json.loads(shown)["models"]
    assert one["files"] == {"ship/face.onnx": "fits"}
    assert (one["gate"], one["variant"], one["verdict"]) == (GATE, "w", "PASS")
    assert (one["gate_verdict"], one["changed"]) == ("PASS", False)


def test_what_is_missing_changed_or_no_evidence(kycquant: Kycquant, root: Path) -> None:
    ship = root / "ship"
    (ship / "face.onnx").write_bytes(b"other")
    (ship / "package.json").write_text("{}")
    (ship / "old.json").write_text('{"schema": 7, "found": {}}')
    edited = json.loads((ship / "face.json").read_text()) | {"model": "another"}
    (ship / "edited.json").write_text(json.dumps(edited))
    shutil.copy(ship / "face.json", ship / "twice.json")
    for command in ("list", "status"):
        code, shown, _ = kycquant(command, "ship")
        assert code == exits.NEGATIVE
        found = lines(shown)
        for text in (
            "! ship/edited.json: was edited: its digest is that of other values; export the",
            "! ship/old.json: has schema 7, and this version reads 8; use the version of",
            "! ship/package.json: is not evidence of an export; move it away, or export the",
            "! ship/twice.json: is evidence for face.onnx, and so is face.json; remove",
        ):
            assert len([line for line in found if line.startswith(text)]) == 1, text
    assert "! ship/face.onnx is not the file that was judged" in lines(kycquant("list", "ship")[1])
    (ship / "face.onnx").unlink()
    assert "! ship/face.onnx is gone" in lines(kycquant("list", "ship")[1])


def _failed(values: dict[str, Any]) -> None:
    """What an export writes if its one precision fails: FP32 ships, and is not copied."""
    values["found"]["ship"] = "fp32"
    values["files"] = {}
    for row in values["found"]["variants"]:
        row["verdict"] = "PASS" if row["variant"] == "fp32" else "FAIL"
    values["provenance"]["commit"] = {"sha": "a6ad95bb" * 5, "changed": True}
    values["model"] = "minifasnet_fp32"


def test_a_gate_that_failed_although_fp32_ships(kycquant: Kycquant, root: Path) -> None:
    change(root / "ship" / "face.json", _failed)
    code, shown, error = kycquant("list", "ship")
    assert (code, error) == (exits.DONE, "")
    first = shown.splitlines()[2]
    assert first.split()[:2] == ["minifasnet_fp32", "fp32"]
    assert first.split()[4] == "FAIL"
    assert "a6ad95bb+" in first
    assert "\n+ after a commit: tracked files differed from it.\n" in shown
    assert "- minifasnet_fp32: FP32 stays where it is, nothing is copied" in lines(shown)
    assert max(map(len, shown.splitlines())) <= WIDTH


@pytest.mark.parametrize("words", [2, 9])
def test_long_names_fit(kycquant: Kycquant, root: Path, words: int) -> None:
    """Headers and cells are broken between words; else rows are paragraphs."""
    model, label = "-".join(["minifasnet"] * words)[:40], "int8-weights"

    def rename(values: dict[str, Any]) -> None:
        values["model"] = model
        values["found"]["ship"] = label
        for row in values["found"]["variants"]:
            row["variant"] = {"w": label}.get(row["variant"], row["variant"])
        for one in values["found"]["decisions"]:
            one["judged"] = label

    change(root / "ship" / "face.json", rename)
    code, shown, error = kycquant("list", "ship")
    assert (code, error) == (exits.DONE, "")
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert all(word in shown for word in (model, label, "PASS"))
    assert shown.startswith(f"  - {model}, ships {label}, size ") == (words == 9)


def test_a_test_that_failed_makes_the_gate_fail(kycquant: Kycquant, root: Path) -> None:
    def fail(values: dict[str, Any]) -> None:
        values["found"]["tests"][0]["outcome"] = "failed"

    change(root / "ship" / "face.json", fail)
    (one,) = json.loads(kycquant("list", "ship", "--json")[1])["models"]
    assert (one["gate_verdict"], one["verdict"]) == ("FAIL", "PASS")


@pytest.mark.parametrize("command", ["list", "status"])
def test_the_folder_of_the_project_instead(kycquant: Kycquant, root: Path, command: str) -> None:
    write_report(root / "report.json", report())
    (root / "tsconfig.json").write_text("{}")
    code, _, error = kycquant(command)
    assert code == exits.NEGATIVE
    assert "but the report of a run, which kycquant history and html show" in error
    assert error.endswith("give a folder that does: ship\n")
    shutil.move(root / "report.json", root / "ship" / "report.json")
    code, shown, _ = kycquant(command, "ship")
    assert code == exits.DONE
    assert "- ship/report.json is the report of a run, which kycquant history and" in shown


def test_the_command_is_quoted_and_stays_whole(
    kycquant: Kycquant, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "to ship" / "here").mkdir(parents=True)
    shutil.move(root / "ship", root / "to ship" / "models")
    (root / "to ship" / "models" / "face.onnx").unlink()
    told = f"    pytest {GATE} '--kycquant-export=to ship/models'"
    assert told in kycquant("status", "to ship/models")[1].splitlines()
    monkeypatch.chdir(root / "to ship" / "here")
    told = f"    pytest ../../{GATE} --kycquant-export=../models"
    assert told in kycquant("status", "../models")[1].splitlines()


FLAWS: dict[str, Callable[[dict[str, Any]], None]] = {
    "names '../faces.npz', which is not a file beside it": lambda one: one.update(
        files={"../faces.npz": "0" * 64}
    ),
    "says that int3 ships, of which it says nothing else": lambda one: one["found"].update(
        ship="int3"
    ),
    "says that w ships, which failed": lambda one: (
        [row.update(verdict="FAIL") for row in one["found"]["variants"]] and None
    ),
    "says that w ships, and names no file": lambda one: one.update(files={}),
    "holds no golden": lambda one: one["found"].update(golden={}),
}


@pytest.mark.parametrize("command", ["list", "status"])
@pytest.mark.parametrize("flaw", FLAWS)
def test_evidence_that_no_export_writes(
    kycquant: Kycquant, root: Path, command: str, flaw: str
) -> None:
    change(root / "ship" / "face.json", FLAWS[flaw])
    code, shown, error = kycquant(command, "ship")
    assert (code, error) == (exits.NEGATIVE, "")
    (line,) = lines(shown)
    assert line.startswith(f"! ship/face.json: was edited: it {flaw}; export the model again")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_instead_of_a_model(kycquant: Kycquant, root: Path) -> None:
    (root / "ship" / "face.onnx").unlink()
    os.mkfifo(root / "ship" / "face.onnx")
    code, shown, _ = kycquant("list", "ship")
    assert code == exits.NEGATIVE
    assert "! ship/face.onnx is gone" in lines(shown)


def test_a_limit_that_the_evidence_does_not_know(kycquant: Kycquant, root: Path) -> None:
    change(
        root / "ship" / "face.json",
        lambda one: one["found"].update(
            limits=[each for each in one["found"]["limits"] if each["name"] != "far"]
        ),
    )
    code, shown, _ = kycquant("status", "ship")
    assert code == exits.NEGATIVE
    assert f"- limits: changed, far none -> 0.1 %; {AGAIN}" in lines(shown)


@pytest.mark.parametrize("command", ["list", "status"])
def test_nothing_was_exported(kycquant: Kycquant, root: Path, command: str) -> None:
    assert "no such: is not a folder; give the folder" in kycquant(command, "no such")[2]
    (root / "empty").mkdir()
    code, _, error = kycquant(command, "empty")
    assert code == exits.NEGATIVE
    assert "empty: holds no exported model; give the folder of pytest --kycquant-exp" in error


def test_status(kycquant: Kycquant, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path for path in root.rglob("*") if "__pycache__" not in path.parts)
    code, shown, error = kycquant("status", "ship")
    assert (code, error) == (exits.DONE, "")
    assert lines(shown) == [
        f"face, w ships ({GATE})",
        "+ file face.onnx: fits",
        "+ limits: fits",
        "+ golden: fits",
        "+ FP32 model: fits",
        "+ calibration images: fits",
        "+ evaluation images: fits",
        "+ selection images: fits",
        "+ labels and preprocessing: fits",
        "+ machine: fits",
    ]
    after = sorted(path for path in root.rglob("*") if "__pycache__" not in path.parts)
    assert after == before
    monkeypatch.chdir(root / "ship")
    code, shown, _ = kycquant("status", "--json")
    (one,) = json.loads(shown)["models"]
    assert (code, one["fits"]) == (exits.DONE, True)


def _other_images(root: Path) -> None:
    arrays = dict(np.load(root / "faces.npz"))
    arrays["images"][0, 0, 0, 0] ^= 1
    np.savez(root / "faces.npz", **arrays)


def _more_images(root: Path) -> None:
    arrays = dict(np.load(root / "calibration.npz"))
    np.savez(root / "calibration.npz", images=np.concatenate([arrays["images"]] * 2)[:-1])


def _other_model(root: Path) -> None:
    (root / "models" / "face.onnx").write_bytes(embedder(seed=5).SerializeToString())


def _edit_gate(old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        gate = root / "test_gate.py"
        assert old in gate.read_text()
        gate.write_text(gate.read_text().replace(old, new))

    return edit


def _edit_golden(root: Path) -> None:
    path = root / "golden" / "face.json"
    path.write_text(path.read_text().replace('"threshold_source"', '"source"'))


def _evidence(edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    return lambda root: change(root / "ship" / "face.json", edit)


def _machine(values: dict[str, Any]) -> None:
    values["environment"] |= {"onnxruntime": "1.0", "features": ["avx9"], "u8s8_saturates": None}
    values["environment"]["u8s8_saturates"] = not values["environment"]["u8s8_saturates"]


def _waive(values: dict[str, Any]) -> None:
    (row,) = [row for row in values["found"]["variants"] if row["variant"] == "w"]
    row["gates"]["frr"]["verdict"] = "WAIVED"
    row["gates"]["frr"]["waiver"] = {
        "gate": GATE, "variant": "w", "check": "frr", "reason": "known", "ticket": "K-1",
        "expires": "2020-01-01", "ship": True, "source": "waivers.toml: 1", "expired": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda root: (root / "ship" / "face.onnx").unlink(),
         f"- file face.onnx: gone; export it again: {COMMAND}"),
        (lambda root: (root / "ship" / "face.onnx").write_bytes(b""),
         "- file face.onnx: changed, it is not the file that was judged; export it again: "
         f"{COMMAND}"),
        (_other_images, f"- evaluation images: changed, 660 as then, but not the same; {AGAIN}"),
        (_more_images, f"- calibration images: changed, 120 then, 239 here; {AGAIN}"),
        (lambda root: (root / "faces.npz").unlink(), "- images: gone, "),
        (_other_model, f"- FP32 model: changed, model sha256 changed; {AGAIN}"),
        (lambda root: (root / "models" / "face.onnx").unlink(), "- FP32 model: gone, "),
        (lambda root: (root / "models" / "face.onnx").write_bytes(b"x"), "- FP32 model: changed, "),
        (lambda root: (root / "golden" / "face.json").unlink(),
         "- golden: gone, golden/face.json; check it out, or say with --golden where"),
        (_edit_golden, "- golden: changed, "),
        (_edit_gate("mean=127.5", "mean=127.0"),
         "- labels and preprocessing: changed, preprocess changed: preprocess.mean 127.5 -> 127.0"),
        (_edit_gate("size_ratio=10.0", "size_ratio=20.0"),
         f"- limits: changed, size_ratio 10 -> 20; {AGAIN}"),
        (_edit_gate("class TestFace", "class TestOther"),
         f"? gate: unknown, test_gate.py has no class TestFace at its top level; {AGAIN}"),
        (_edit_gate("from pytest_kycquant", "from no_such_module"), "? gate: unknown, cannot be"),
        (lambda root: (root / "test_gate.py").unlink(),
         "- gate: gone, test_gate.py is neither here nor above ship; say with --root where"),
        (_evidence(_machine), "- machine: changed, onnxruntime 1.0 -> "),
        (_evidence(_waive), "- waiver for frr: changed, K-1, until 2020-01-01; mend the variant,"),
        (_evidence(lambda values: values["found"].update(ship=None)),
         f"? verdict: unknown, no variant passes, not even FP32; {AGAIN}"),
    ],
)  # fmt: skip
def test_what_no_longer_fits(
    kycquant: Kycquant, root: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(root)
    code, shown, error = kycquant("status", "ship")
    assert (code, error) == (exits.NEGATIVE, "")
    assert len([line for line in lines(shown) if line.startswith(told)]) == 1, shown


def test_another_cpu_with_the_same_features_fits(kycquant: Kycquant, root: Path) -> None:
    change(root / "ship" / "face.json", lambda values: values["environment"].update(cpu="another"))
    code, shown, _ = kycquant("status", "ship")
    assert code == exits.DONE
    assert "+ machine: fits, latency was measured on another" in lines(shown)


def test_the_place_of_the_project(
    kycquant: Kycquant, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(root / "golden", elsewhere / "goldens")
    assert kycquant("status", "ship")[0] == exits.NEGATIVE
    assert kycquant("status", "ship", "--golden", elsewhere / "goldens")[0] == exits.DONE
    wrong = kycquant("status", "ship", "--root", elsewhere)
    assert "gate: gone" in wrong[1]
