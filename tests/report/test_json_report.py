"""The published JSON: its readers rely on its keys, their order and its nesting."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pytest_kycquant.report import render
from pytest_kycquant.report.found import Found
from pytest_kycquant.report.json_report import evidence
from pytest_kycquant.report.records import Collected
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import FAR_TEST, GATE, ORIGIN, PIPELINE

CHECK = ["name", "verdict", "value", "lower", "upper", "limit", "direction", "unit", "detail"]
RESULT = ["gate", "verdict", "checks", "remedy", "offenders", "waiver"]
ROW = ["label", "variants", "size", "timing", "peak_mb", "imports_mb"]


def collected() -> Collected:
    found = Collected()
    for phase in ("setup", "call", "teardown"):
        found.outcomes.add(FAR_TEST, "passed", expected=False, phase=phase)
    found.add(Found(ORIGIN, "fail", GATE))
    found.add(Found(ORIGIN, "fail", pipeline=PIPELINE))
    return found


def report() -> dict[str, Any]:
    return dict(json.loads(render("json", collected())))


def test_run() -> None:
    found = report()
    assert list(found) == [
        "schema", "environment", "session_config", "problems", "gates", "pipelines",
    ]  # fmt: skip
    assert found["schema"] == 6
    assert list(found["environment"]) == [
        "onnxruntime", "onnx", "numpy", "pillow", "python", "system", "cpu", "features",
        "u8s8_saturates",
    ]  # fmt: skip
    assert found["environment"]["features"] == ["avx2", "amx_int8"]


def test_gate() -> None:
    (gate,) = report()["gates"]
    assert list(gate) == [
        "model", "gate", "profile", "profile_note", "inconclusive", "fallback", "ship_by", "ship",
        "incomplete", "golden", "rejected", "variants", "decisions",
    ]  # fmt: skip
    assert (gate["ship"], gate["incomplete"], gate["rejected"]) == ("int8>mixed", "", {})
    assert list(gate["golden"])[:3] == ["model", "inputs", "threshold"]
    assert gate["decisions"] == [
        {
            "model": "face",
            "requested": "int8",
            "ships": "int8>mixed",
            "reasons": ["because"],
            "note": "",
            "tried": ["int8", "int8>mixed"],
            "searches": [{"attempts": [{"of": 3}]}],
        }
    ]


def test_variant() -> None:
    row = report()["gates"][0]["variants"][1]
    assert list(row) == [
        "model", "variant", "sha256", "size", "size_ratio", "options", "gates", "figures",
        "notes", "shown", "files", "groups", "runtime", "companions", "ports",
        "preprocess", "verdict",
    ]  # fmt: skip
    assert (row["variant"], row["verdict"]) == ("int8", "FAIL")
    far = row["gates"]["far"]
    assert (list(far), far["verdict"]) == (RESULT, "FAIL")
    assert far["checks"] == [
        {
            "name": "FAR",
            "verdict": "FAIL",
            "value": 0.5,
            "lower": 0.25,
            "upper": 0.75,
            "limit": 0.001,
            "direction": "below",
            "unit": "rate",
            "detail": "1 of 2",
        }
    ]
    assert list(far["checks"][0]) == CHECK
    assert json.dumps(row["figures"]) == '{"rounds": 20, "ratio": 1.0}'


def test_pipeline() -> None:
    (pipeline,) = report()["pipelines"]
    assert list(pipeline) == [
        "gate", "fp32", "shipped", "gates", "models", "figures", "farthest", "notes", "rates",
        "reasons", "groups", "yardsticks", "search", "verdict", "not_shipped",
    ]  # fmt: skip
    assert list(pipeline["fp32"]) == list(pipeline["shipped"]) == ROW
    assert list(pipeline["gates"]["far"]) == RESULT


def test_evidence_is_that_of_the_report() -> None:
    found = collected()
    (gate,) = found.gates
    values = json.loads(evidence(found, gate, {"face.onnx": "ab"}, {"face.onnx": "cd"}))
    whole = report()
    assert values == {
        "files": {"face.onnx": "ab"},
        "replaced": {"face.onnx": "cd"},
        "environment": whole["environment"],
        "session_config": whole["session_config"],
        **whole["gates"][0],
    }


def test_check_without_a_limit() -> None:
    """Its values are the same as before limits had units of their own."""
    check = Check("peak memory", Verdict.INCONCLUSIVE, detail="not measured")
    lost = replace(PIPELINE, gates={"memory": GateResult("memory", (check,))})
    found = Collected()
    found.add(Found(ORIGIN, "fail", pipeline=lost))
    (values,) = json.loads(render("json", found))["pipelines"][0]["gates"]["memory"]["checks"]
    assert list(values) == CHECK
    assert (values["limit"], values["direction"], values["unit"]) == (None, "below", "rate")
