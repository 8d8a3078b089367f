"""``--kycquant-export`` writes the model to ship and its evidence."""

import hashlib
import json
from collections.abc import Callable

import onnxruntime
import pytest

from tests.worlds.population import Run


def test_fallback_is_exported(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(["exported: *ship/face.onnx (int8>mixed)"])
    model = pytester.path / "ship" / "face.onnx"
    onnxruntime.InferenceSession(str(model))
    evidence = json.loads((pytester.path / "ship" / "face.json").read_text())
    found = evidence["found"]
    assert found["ship"] == "int8>mixed"
    assert found["golden"]["threshold"] > 0
    assert evidence["environment"]["onnxruntime"]
    shipped = next(v for v in found["variants"] if v["variant"] == "int8>mixed")
    assert shipped["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert all(gate["verdict"] == "PASS" for gate in shipped["gates"].values())
    assert found["decisions"][0]["searches"][0]["attempts"]


def test_nothing_is_exported_when_nothing_passes(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True, fallback=None)
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(["exported: nothing for face, keep FP32 (*models/face.onnx)"])
    assert [path.name for path in (pytester.path / "ship").iterdir()] == ["face.json"]


def test_variant_that_fails_a_rule_of_ones_own_does_not_ship(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(precisions='"fp16", "int8"')
    gate = pytester.path / "test_gate.py"
    gate.write_text(
        gate.read_text()
        + "\n    def test_rule(self, candidate):\n        assert candidate.variant != 'int8'\n"
    )
    result = run("--kycquant-export=ship")
    result.assert_outcomes(passed=13, failed=1)
    result.stdout.fnmatch_lines(
        [
            "int8 passes, but does not ship: test_gate.py::TestFace::test_rule[[]int8] failed",
            "ship: fp16 (*",
            "exported: *ship/face.onnx (fp16)",
        ]
    )
    evidence = json.loads((pytester.path / "ship" / "face.json").read_text())
    assert (evidence["found"]["ship"], evidence["found"]["rejected"]) == (
        "fp16",
        {"int8": "test_gate.py::TestFace::test_rule[int8] failed"},
    )


def test_an_export_of_a_file_that_is_not_here_stays(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """It may be one of another project that exports to the same folder."""
    project()
    gate = pytester.path / "test_gate.py"
    other = pytester.path / "test_other.py"
    other.write_text(gate.read_text().replace("far=", "frr=0.06, far=").replace("10.0", "9.0"))
    run("--kycquant-export=ship")
    ship = pytester.path / "ship"
    before = {path.name for path in ship.iterdir()}
    kept = {name for name in before if "test_other" in name}
    assert len(before) == 4
    assert len(kept) == 2
    other.unlink()
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(["exported earlier: *test_other*, which this run did not decide"])
    assert {path.name for path in ship.iterdir()} == kept | {"face.json", "face.onnx"}
