"""The published JSON: its readers rely on its keys, their order and its nesting."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.report import render
from pytest_kycquant.report.document import DataEntry, LimitEntry
from pytest_kycquant.report.found import Found
from pytest_kycquant.report.json_report import evidence
from pytest_kycquant.report.records import Collected
from pytest_kycquant.results import GateResult
from pytest_kycquant.verdicts import Check, Verdict
from tests.worlds.findings import FAR_TEST, GATE, ORIGIN, PIPELINE, record

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
        "schema", "verdict", "provenance", "shard", "parts", "environment", "session_config",
        "scope", "problems", "errors", "gates", "pipelines", "times", "digest",
    ]  # fmt: skip
    assert found["schema"] == 8
    assert list(found["environment"]) == [
        "onnxruntime", "onnx", "numpy", "pillow", "python", "system", "cpu", "features",
        "u8s8_saturates",
    ]  # fmt: skip
    assert found["environment"]["features"] == ["avx2", "amx_int8"]


def test_gate() -> None:
    (gate,) = report()["gates"]
    assert list(gate) == [
        "model", "gate", "key", "profile", "profile_note", "inconclusive", "fallback", "ship_by",
        "limits", "data", "ship", "incomplete", "not_run", "tests", "unjudged", "golden",
        "rejected", "variants", "decisions", "advice",
    ]  # fmt: skip
    assert (gate["ship"], gate["incomplete"], gate["rejected"]) == ("int8>mixed", "", {})
    assert list(gate["golden"])[:3] == ["model", "inputs", "threshold"]
    assert gate["decisions"] == [
        {
            "model": "face",
            "requested": "int8",
            "judged": "int8>mixed",
            "ships": "int8>mixed",
            "reasons": ["because"],
            "note": "",
            "undecidable": None,
            "tried": ["int8", "int8>mixed"],
            "searches": [{"attempts": [{"of": 3}]}],
        }
    ]


def test_variant() -> None:
    row = report()["gates"][0]["variants"][1]
    assert list(row) == [
        "model", "variant", "sha256", "size", "size_ratio", "options", "gates", "figures",
        "notes", "remarks", "shown", "files", "groups", "runtime", "companions", "ports",
        "preprocess", "curves", "verdict",
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
        "gate", "inconclusive", "limits", "fp32", "shipped", "gates", "models", "figures",
        "farthest", "notes", "remarks", "rates", "reasons", "stopped", "groups", "yardsticks",
        "search", "verdict", "not_shipped", "tests",
    ]  # fmt: skip
    assert list(pipeline["fp32"]) == list(pipeline["shipped"]) == ROW
    assert list(pipeline["gates"]["far"]) == RESULT


def test_evidence_is_that_of_the_report() -> None:
    found = collected()
    (gate,) = found.gates
    values = json.loads(evidence(found, gate, {"face.onnx": "ab"}, {"face.onnx": "cd"}))
    written = values["written"]
    whole = report()
    assert values.pop("written")[:2] == "20"
    assert values.pop("digest") == digest_of({**values, "written": written})
    assert values == {
        "schema": 8,
        "files": {"face.onnx": "ab"},
        "replaced": {"face.onnx": "cd"},
        "provenance": whole["provenance"],
        "environment": whole["environment"],
        "session_config": whole["session_config"],
        "model": "face",
        "gate": "test_b.py::TestIt",
        "found": whole["gates"][0],
        "pipelines": whole["pipelines"],
    }


def test_evidence_names_the_pipelines_of_the_model() -> None:
    found = collected()
    (gate,) = found.gates
    (pipeline,) = json.loads(evidence(found, gate, {}, {}))["pipelines"]
    assert pipeline["gate"] == PIPELINE.gate
    found.add(Found(ORIGIN, "fail", pipeline=replace(PIPELINE, models={"detector": "another"})))
    assert json.loads(evidence(found, gate, {}, {}))["pipelines"] == []


def test_the_digest_covers_all_other_keys() -> None:
    found = report()
    digest = found.pop("digest")
    assert digest == digest_of(found)
    found["gates"][0]["variants"][1]["gates"]["far"]["verdict"] = "PASS"
    assert digest != digest_of(found)


def test_limits_and_data() -> None:
    found = collected()
    limits = (LimitEntry("far", 0.001, "below", "rate"), LimitEntry("size_mb", None, "below", "MB"))
    gate = replace(GATE, data={"evaluation": DataEntry(3, "ab")})
    found.add(Found(ORIGIN, "warn", gate, limits=limits))
    found.add(Found(ORIGIN, "warn", pipeline=PIPELINE, limits=limits))
    values = json.loads(render("json", found))
    assert values["gates"][0]["data"] == {"evaluation": {"images": 3, "sha256": "ab"}}
    for entry in (values["gates"][0], values["pipelines"][0]):
        assert entry["inconclusive"] == "warn"
        assert [(each["name"], each["value"]) for each in entry["limits"]] == [
            ("far", 0.001),
            ("size_mb", None),
        ]


def test_verdict_of_a_run() -> None:
    found = collected()
    assert found.verdict == "PASS"
    lost = GateResult("far", (Check("FAR", Verdict.FAIL),))
    found.add(Found(ORIGIN, "fail", pipeline=replace(PIPELINE, gates={"far": lost})))
    assert found.verdict == "FAIL"
    found.pipelines.clear()
    found.outcomes.add("test_c.py::test_it", "failed", expected=False, phase="call")
    found.errors["test_c.py::test_it"] = "assert 0"
    assert found.verdict == "FAIL"
    found.errors.clear()
    found.by_key["key"].profile = "smoke"
    assert found.verdict == "SMOKE"
    found.by_key["key"].tests |= {"another": "int8"}
    assert found.verdict == "INCOMPLETE"
    found.broken["test_d.py::TestIt"] = "no such model"
    assert found.verdict == "ERROR"
    assert Collected().verdict == "INCOMPLETE"


def test_an_undecided_run() -> None:
    found = collected()
    found.pipelines.clear()
    undecided = replace(GATE.shipment, record=record("int8", Verdict.INCONCLUSIVE))
    found.add(Found(ORIGIN, "fail", replace(GATE, shipment=undecided)))
    assert found.verdict == "INCONCLUSIVE"


def test_check_without_a_limit() -> None:
    """Its values are the same as before limits had units of their own."""
    check = Check("peak memory", Verdict.INCONCLUSIVE, detail="not measured")
    lost = replace(PIPELINE, gates={"memory": GateResult("memory", (check,))})
    found = Collected()
    found.add(Found(ORIGIN, "fail", pipeline=lost))
    (values,) = json.loads(render("json", found))["pipelines"][0]["gates"]["memory"]["checks"]
    assert list(values) == CHECK
    assert (values["limit"], values["direction"], values["unit"]) == (None, "below", "rate")


def test_remarks_stand_beside_notes() -> None:
    found = collected()
    said = replace(record("fp16"), notes=("a caveat",), remarks=("a detail",))
    found.by_key["key"].variants["fp16"] = said
    (gate,) = json.loads(render("json", found))["gates"]
    (row,) = (row for row in gate["variants"] if row["variant"] == "fp16")
    assert (row["notes"], row["remarks"]) == (["a caveat"], ["a detail"])
