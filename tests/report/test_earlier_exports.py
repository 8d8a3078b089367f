"""What an earlier run exported is replaced, removed or named, and nothing else is touched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.report.export import export
from pytest_kycquant.report.found import Present
from pytest_kycquant.report.records import Collected, GatedModel
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import ENVIRONMENT
from tests.worlds.limits import below

ONE, TWO = "test_gate.py::TestOne", "test_gate.py::TestTwo"
LONG = {ONE: "face-test_gate.py-TestOne", TWO: "face-test_gate.py-TestTwo"}


def gated(
    folder: Path, name: str, verdict: Verdict = Verdict.PASS, model: str = "face"
) -> GatedModel:
    """A gate whose only variant has a verdict."""
    source = folder / "int8.onnx"
    source.write_bytes(b"int8")
    files = {model: hashlib.sha256(b"int8").hexdigest()}
    gates = {"size": GateResult("size", (Check("size", verdict, below(0.75), 0.3),))}
    record = VariantRecord(model, "int8", "ab", 4, 0.3, {}, gates, files=files)
    paths = {"int8": (str(source),), "fp32": ("fp32.onnx",)}
    return GatedModel(model, name, variants={"int8": record}, paths=paths)


def run(
    folder: Path, *gates: GatedModel, others: tuple[str, ...] = (), whole: bool = True
) -> list[str]:
    """Export; `others` are gates of the model that were collected and not judged."""
    present = {name: ("face", name) for name in (*(gate.name for gate in gates), *others)}
    collected = Collected(
        ENVIRONMENT,
        by_key={gate.name: gate for gate in gates},
        present=Present(present, whole),
    )
    done = export(collected, folder / "out")
    assert not done.failed, done.lines
    return done.lines


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
@pytest.mark.parametrize("old", [ONE, "test_gate.py::TestRenamed"])
def test_second_gate_changes_the_names(tmp_path: Path, verdict: Verdict, old: str) -> None:
    """Also if the gate that wrote the file has another name by now."""
    run(tmp_path, gated(tmp_path, old))
    assert files(tmp_path) == ["face.json", "face.onnx"]
    lines = run(tmp_path, gated(tmp_path, ONE, verdict), gated(tmp_path, TWO, verdict))
    ships = verdict is Verdict.PASS
    ends = (".json", ".onnx") if ships else (".json",)
    assert files(tmp_path) == [stem + end for stem in LONG.values() for end in ends]
    removed = f"removed: {tmp_path / 'out' / 'face.onnx'}, which an earlier run exported"
    assert removed in lines


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_gate_of_a_file_that_was_not_collected_keeps_its_export(
    tmp_path: Path, verdict: Verdict
) -> None:
    """It may be a gate of another project that exports to the same folder."""
    old = "elsewhere/test_gate.py::TestOne"
    run(tmp_path, gated(tmp_path, old))
    lines = run(tmp_path, gated(tmp_path, ONE, verdict), gated(tmp_path, TWO, verdict))
    assert {"face.json", "face.onnx"} <= set(files(tmp_path))
    assert f"exported earlier: face.onnx is of {old}, which this run did not decide" in lines


def test_back_to_one_gate(tmp_path: Path) -> None:
    run(tmp_path, gated(tmp_path, ONE), gated(tmp_path, TWO))
    lines = run(tmp_path, gated(tmp_path, ONE, Verdict.FAIL))
    assert files(tmp_path) == ["face.json"]
    assert sum(line.startswith("removed: ") for line in lines) == 4


def test_gate_that_was_not_collected_keeps_its_export(tmp_path: Path) -> None:
    """`pytest test_gate.py::TestOne` says nothing about another class."""
    run(tmp_path, gated(tmp_path, ONE), gated(tmp_path, TWO))
    lines = run(tmp_path, gated(tmp_path, ONE), whole=False)
    stem = LONG[TWO]
    assert files(tmp_path) == [f"{stem}.json", f"{stem}.onnx", "face.json", "face.onnx"]
    named = f"exported earlier: {stem}.onnx is of {TWO}, which this run did not decide"
    assert named in lines


def test_incomplete_run_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, gated(tmp_path, ONE))
    gates = [gated(tmp_path, name, Verdict.FAIL) for name in (ONE, TWO)]
    for gate in gates:
        gate.tests = {"test_gate.py::test_other": ""}
    lines = run(tmp_path, *gates)
    assert files(tmp_path) == ["face.json", "face.onnx"]
    assert f"exported earlier: face.onnx is of {ONE}, which this run did not decide" in lines


def test_gate_that_was_not_judged_keeps_its_name_and_says_so(tmp_path: Path) -> None:
    run(tmp_path, gated(tmp_path, ONE), gated(tmp_path, TWO))
    before = files(tmp_path)
    lines = run(tmp_path, gated(tmp_path, ONE), others=(TWO,))
    assert files(tmp_path) == before
    kept = f"{LONG[TWO]}.onnx is of an earlier run"
    assert f"exported: nothing for face: nothing of {TWO} was judged; {kept}" in lines


@pytest.mark.parametrize("judged", [True, False])
def test_only_files_that_are_there_are_named(tmp_path: Path, judged: bool) -> None:
    """Evidence also names what an export removed, and what somebody else may have put there."""

    def lines() -> list[str]:
        gate = gated(tmp_path, ONE)
        gate.tests = {"test_gate.py::test_other": ""}
        return run(tmp_path, gate) if judged else run(tmp_path, others=(ONE,))

    run(tmp_path, gated(tmp_path, ONE))
    assert "; face.onnx is of an earlier run" in lines()[0]
    (tmp_path / "out" / "face.onnx").write_bytes(b"mine")
    assert "earlier" not in lines()[0]
    (tmp_path / "out" / "face.onnx").unlink()
    assert "earlier" not in lines()[0]
    run(tmp_path, gated(tmp_path, ONE))
    run(tmp_path, gated(tmp_path, ONE, Verdict.FAIL))
    assert files(tmp_path) == ["face.json"]
    assert "earlier" not in lines()[0]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path, gated(tmp_path, "a.py::test", model="face-mask"))
    run(tmp_path, gated(tmp_path, ONE))
    evidence = json.loads((out / "face.json").read_text())
    mine = {
        "face-a.json": {"model": "face"},
        "face-b.json": [1],
        "face-c.json": {**evidence, "model": "other"},
        "facial.json": evidence,  # not a name that an export of this model has
    }
    for name, values in mine.items():
        (out / name).write_text(json.dumps(values))
    (out / "face-d.json").mkdir()
    (out / "face-e.onnx").write_bytes(b"int8")
    # Evidence that was edited to own a file that no export of this gate has written.
    owned = {"files": {"face-mask.onnx": evidence["files"]["face.onnx"]}, "replaced": {}}
    (out / "face-f.json").write_text(json.dumps({**evidence, **owned}))
    before = set(files(tmp_path))
    run(tmp_path, gated(tmp_path, ONE), gated(tmp_path, TWO))
    assert before - set(files(tmp_path)) == {"face.json", "face.onnx"}


def test_changed_file_stays_although_its_evidence_goes(tmp_path: Path) -> None:
    run(tmp_path, gated(tmp_path, ONE))
    (tmp_path / "out" / "face.onnx").write_bytes(b"mine")
    run(tmp_path, gated(tmp_path, ONE), gated(tmp_path, TWO))
    assert (tmp_path / "out" / "face.onnx").read_bytes() == b"mine"
    assert not (tmp_path / "out" / "face.json").exists()
