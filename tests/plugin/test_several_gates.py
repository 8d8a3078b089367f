"""Gates that share a model, a name or a text, and yet are different gates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import CustomLimits, CustomTask, KycModel, Preprocess
from pytest_kycquant.bench import variants
from pytest_kycquant.bench.run import key_of
from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.spec.gates import GateSpec
from tests.worlds.population import FUNCTION, Run


def test_latency_is_measured_on_the_input_of_each_gate(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, monkeypatch: Any
) -> None:
    """Once, the second gate on a file got the latency of the first, whatever it fed."""
    measured: list[Latency] = []

    def measure(*args: object, **options: object) -> Latency:
        took = 1.0 + len(measured)
        measured.append(Latency(0.5, 0.49, 0.51, 1.0, 60, took, took, took, took, took))
        return measured[-1]

    monkeypatch.setattr(variants, "measure", measure)
    project()
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
from dataclasses import replace
from pytest_kycquant import FaceGates

class TestOne(FaceGates):
    model, limits, fallback = MODEL, LIMITS, None
    precisions = (Recipe("int8-weights", name="w", bias_correction=False),)

class TestOther(TestOne):
    model = replace(MODEL, preprocess=replace(MODEL.preprocess, mean=127.0), name="other")
"""
    )
    run("-q", "-k", "latency", "--kycquant-update-golden", "--kycquant-report=r.json")
    gates = json.loads((pytester.path / "r.json").read_text())["gates"]
    found = {gate["model"]: gate["variants"][1]["figures"]["wall_p50_ms"] for gate in gates}
    assert sorted(found) == ["face", "other"]
    assert found["face"] != found["other"]
    assert set(found.values()) <= {latency.wall_p50_ms for latency in measured}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_equal_gate_files_in_two_folders_have_their_own_rows(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    """Once, their figures were merged: the table of one showed those of the other."""
    project()
    text = (pytester.path / "test_gate.py").read_text().replace("'mixed'", "None")
    (pytester.path / "test_gate.py").unlink()
    for name in ("a", "b"):
        (pytester.mkpydir(name) / "test_gate.py").write_text(text)
    shutil.move(pytester.path / "calibration.npz", pytester.path / "a")
    flat = dict(np.load(pytester.path / "a" / "calibration.npz"))
    rng = np.random.default_rng(0)
    flat["images"] = rng.integers(120, 136, flat["images"].shape, dtype=np.uint8)
    np.savez(pytester.path / "b" / "calibration.npz", **flat)

    result = run("-q", *workers, "--kycquant-report=r.json", "--kycquant-export=out")
    gates = json.loads((pytester.path / "r.json").read_text())["gates"]
    assert [gate["gate"] for gate in gates] == [f"{n}/test_gate.py::TestFace" for n in "ab"]
    verdicts = [gate["variants"][1]["verdict"] for gate in gates]
    assert verdicts == ["PASS", "FAIL"]
    assert [gate["ship"] for gate in gates] == ["int8", "fp32"]
    assert result.parseoutcomes()["passed"] >= 7


def test_metrics_of_one_name_are_different_gates() -> None:
    def spec(metric: Any) -> GateSpec:
        task = CustomTask("d", metric=metric, name="m")
        model = KycModel("m.onnx", Preprocess((8, 8)), task)
        limits = CustomLimits(metric=0.1, degradation=0.1)
        return GateSpec.of({"model": model, "limits": limits}, "here")

    def one(outputs: Any, labels: Any) -> Any: ...

    def key(test: str, file: str = "/a/test_gate.py", root: str = "/a") -> str:
        return key_of(spec(one), Path(file), Path(root), test)

    assert key("a") == key("a") == key("a", "/b/test_gate.py", "/b")
    assert len({key("a"), key("b"), key("a", "/a/other.py"), key("a", "/test_gate.py")}) == 4


CELLS = """
def rule(strict):
    def metric(outputs, labels):
        return (outputs.argmax(axis=1) != labels) & bool(strict)
    return metric
METRICS = rule(1), rule(2)
"""
DEFAULTS = """
def rule(given):
    def metric(outputs, labels, strict=given):
        return (outputs.argmax(axis=1) != labels) & bool(strict)
    return metric
METRICS = rule(1), rule(2)
"""
CLASSES = """

class TestLoose(CustomGates):
    precisions, fallback = ("int8",), None
    limits = CustomLimits(metric=0.9, degradation=0.9, latency_ratio=1000.0, size_ratio=10.0)
    task = replace(TestDocument.model.task, metric=METRICS[0])
    model = replace(TestDocument.model, task=task, name="document-0")
    del task

class TestStrict(TestLoose):
    task = replace(TestDocument.model.task, metric=METRICS[1])
    model = replace(TestDocument.model, task=task, name="document-1")
    del task

del TestDocument
"""
METHODS = """

class TestBoth:
    pass

for number, metric in enumerate(METRICS):
    def test(self, candidate):
        assert candidate.gates
    task = replace(TestDocument.model.task, metric=metric)
    test = pytest.mark.kycquant(
        model=replace(TestDocument.model, task=task, name=f"document-{number}"),
        precisions=("int8",), fallback=None,
        limits=CustomLimits(metric=0.9, degradation=0.9, latency_ratio=1000.0, size_ratio=10.0),
    )(test)
    setattr(TestBoth, f"test_{number}", test)

del TestDocument, test
"""


@pytest.mark.parametrize(
    ("metrics", "gates", "workers"),
    [(CELLS, CLASSES, ()), (DEFAULTS, METHODS, ()), (CELLS, METHODS, ("-n", "2"))],
)
def test_metrics_that_differ_only_in_values_are_different_gates(
    document_project: Callable[..., None],
    run: Run,
    pytester: pytest.Pytester,
    metrics: str,
    gates: str,
    workers: tuple[str, ...],
) -> None:
    """Once, the row of the second gate replaced that of the first."""
    document_project(golden=False)
    file = pytester.path / "test_gate.py"
    head = "from dataclasses import replace\nimport pytest\n"
    file.write_text(head + file.read_text() + metrics + gates)
    run("-q", "--kycquant-update-golden", "-k", "size or test_0 or test_1")
    run("-q", *workers, "-k", "metric or test_", "--kycquant-report=r.json")
    found = json.loads((pytester.path / "r.json").read_text())["gates"]
    assert len(found) == 2, found
