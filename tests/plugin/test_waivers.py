"""A waived failure is shown as WAIVED everywhere, never as PASS, and for a time only."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

ENTRY = """
[[waiver]]
gate = "{gate}"
variant = "{variant}"
check = "{check}"
reason = "known, see the ticket"
ticket = "KYC-7"
expires = {expires}
ship = {ship}
"""
UNTIL = "2099-12-31"


def waiver(check: str, **changed: str) -> str:
    given = {"gate": "test_gate.py::TestFace", "variant": "int8", "ship": "false"}
    return ENTRY.format(**{**given, "expires": UNTIL, "check": check, **changed})


@pytest.fixture
def file(project: Callable[..., None], pytester: pytest.Pytester) -> Path:
    """The file of waivers of a project whose int8 fails `frr` and `degradation`."""
    project(fragile=True, fallback=None)
    pytester.makeini("[pytest]\n")
    return pytester.path / "waivers.toml"


def both(**changed: str) -> str:
    return waiver("frr", **changed) + waiver("degradation", **changed)


def variant_of(values: dict[str, Any]) -> dict[str, Any]:
    (found,) = (row for row in values["variants"] if row["variant"] == "int8")
    return dict(found)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=str)
def test_waived_is_shown_everywhere_and_does_not_ship(
    file: Path, run: Run, workers: tuple[str, ...]
) -> None:
    file.write_text(both())
    result = run(
        *workers, "--kycquant-report=r.json", "--kycquant-export=out", "--junitxml=j.xml", "-v"
    )
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 4, "waived": 2}
    result.stdout.fnmatch_lines(
        [
            "int8 * WAIVED frr, degradation",
            f"frr of int8: waived until {UNTIL} (KYC-7: known, see the ticket); the variant does "
            "not ship: FAIL FRR, *",
            "ship: fp32 *",
        ]
    )
    (gate,) = json.loads((file.parent / "r.json").read_text())["gates"]
    for values in (gate, json.loads((file.parent / "out" / "face.json").read_text())["found"]):
        row = variant_of(values)
        assert (row["verdict"], values["ship"]) == ("WAIVED", "fp32")
        frr = row["gates"]["frr"]
        assert frr["verdict"] == "WAIVED"
        assert "FAIL" in [check["verdict"] for check in frr["checks"]]
        told = frr["waiver"]
        assert (told["ticket"], told["expires"], told["ship"]) == ("KYC-7", UNTIL, False)
        assert row["gates"]["far"]["waiver"] is None
    cases = ET.parse(file.parent / "j.xml").getroot().iter("testcase")
    skipped = {case.get("name"): case.find("skipped") is not None for case in cases}
    assert sorted(name for name, was in skipped.items() if name and was) == [
        "test_degradation[int8]", "test_frr[int8]",
    ]  # fmt: skip


def test_a_waiver_may_let_a_variant_ship(file: Path, run: Run) -> None:
    file.write_text(both(ship="true", gate="TestFace"))
    result = run("--kycquant-export=out")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "ship: int8 (*; with a waiver for frr, degradation)",
            "exported: *face.onnx (int8)",
            f"face: frr of int8: waived until {UNTIL} (KYC-7: *); the variant may ship: FAIL *",
        ]
    )
    evidence = json.loads((file.parent / "out" / "face.json").read_text())["found"]
    assert evidence["ship"] == "int8"
    assert variant_of(evidence)["gates"]["frr"]["waiver"]["reason"] == "known, see the ticket"


def test_both_gates_need_a_waiver_that_ships(file: Path, run: Run) -> None:
    file.write_text(waiver("frr", ship="true") + waiver("degradation"))
    result = run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["ship: fp32 *"])


@pytest.mark.parametrize("how", ["option", "attribute"])
def test_strict_ignores_waivers(file: Path, run: Run, pytester: pytest.Pytester, how: str) -> None:
    file.write_text(both(ship="true"))
    gate = pytester.path / "test_gate.py"
    if how == "attribute":
        gate.write_text(gate.read_text().replace("fallback =", "strict = True\n    fallback ="))
    result = run(*(["--kycquant-strict"] if how == "option" else []), "-k", "frr or size")
    result.assert_outcomes(failed=1, passed=1)
    assert "WAIVED" not in result.stdout.str()


def test_expired(file: Path, run: Run) -> None:
    file.write_text(both(expires="2026-01-31", ship="true"))
    result = run("-W", "ignore")
    result.assert_outcomes(failed=2, passed=4)
    result.stdout.fnmatch_lines(
        [
            "the waiver expired on 2026-01-31 (KYC-7: known, see the ticket); mend the variant, or "
            "renew the waiver in waivers.toml, waiver 2",
            "ship: fp32 *",
        ]
    )
    assert "WAIVED" not in result.stdout.str()


def test_runxfail_fails_what_is_waived(file: Path, run: Run) -> None:
    file.write_text(both())
    run("--runxfail", "-k", "frr or size").assert_outcomes(failed=1, passed=1)


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"variant": "int9"}, 1), ({"gate": "TestFac"}, 1), ({"check": "fr"}, 1)],
    ids=str,
)
def test_one_that_matches_nothing(
    file: Path, run: Run, changed: dict[str, str], status: int
) -> None:
    wrong = waiver(**{"check": "latency", **changed})  # type: ignore[arg-type]
    file.write_text(both() + wrong)
    result = run()
    assert result.ret == status
    result.stdout.fnmatch_lines(["ERROR: waivers.toml, waiver 3: * waives nothing: no gate, *"])
    if "gate" in changed:  # other files may hold that gate
        rest = run("test_gate.py")
        assert rest.ret == 0
        assert "waives nothing" not in rest.stdout.str()


def test_one_that_is_not_needed_is_named(file: Path, run: Run) -> None:
    file.write_text(both() + waiver("far"))
    result = run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "waivers.toml, waiver 3: far of int8 in test_gate.py::TestFace passes, so it needs no "
            "waiver (KYC-7); remove it"
        ]
    )


def test_a_class_name_of_two_gates(file: Path, run: Run, pytester: pytest.Pytester) -> None:
    text = (pytester.path / "test_gate.py").read_text()
    (pytester.path / "test_other.py").write_text(text)
    file.write_text(both(gate="TestFace"))
    result = run("-k", "frr")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["ERROR: *: frr of int8 in TestFace names several gates; write one of test_gate.py::*"]
    )


def test_a_wrong_file_is_one_error(file: Path, run: Run) -> None:
    file.write_text(both().replace('ticket = "KYC-7"', ""))
    result = run()
    stopped(result, 6)
    shown = result.stdout.str().partition("= short test summary")[0]
    assert shown.count("waiver 1: has no ticket; write ticket = ") == 1
    named = run(f"--kycquant-waivers={file.name}")
    assert named.ret == pytest.ExitCode.USAGE_ERROR
    named.stderr.fnmatch_lines(["ERROR: waivers.toml, waiver 1: has no ticket; write ticket = *"])


def test_a_named_file_must_exist(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkycquant_waivers = accepted.toml\n")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: accepted.toml: cannot be read (*"])


def test_other_files_of_that_name_disturb_no_suite(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "waivers.toml").write_text("[licences]\nmit = true\n")
    pytester.makepyfile("def test_one(): pass")
    run().assert_outcomes(passed=1)


def test_errors_cannot_be_waived(file: Path, run: Run) -> None:
    file.write_text(both())
    (file.parent / "golden" / "face.json").unlink()
    result = run()
    stopped(result, 6)
    assert "WAIVED" not in result.stdout.str()


def test_a_pipeline(
    pipeline_project: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    root = pipeline_project("limits = PipelineLimits(wall_ms=1e-6)")
    gate = "test_pipeline.py::TestPipeline"
    (root / "waivers.toml").write_text(waiver("latency", gate=gate, variant="shipped"))
    result = run("--kycquant-report=r.json")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 3, "waived": 1}
    result.stdout.fnmatch_lines(
        [
            "kycquant: WAIVED: TestPipeline (latency)",
            "95th percentile * WAIVED",
            "latency of shipped: waived until *",
            "verdict: WAIVED latency",
        ]
    )
    (record,) = json.loads((root / "r.json").read_text())["pipelines"]
    assert record["gates"]["latency"]["verdict"] == record["verdict"] == "WAIVED"


def test_a_pipeline_runs_what_ships_with_a_waiver(
    pipeline_project: Callable[..., Path], run: Run
) -> None:
    """Its stages follow their own waivers, although their gates are not collected."""
    root = pipeline_project()
    gate = root / "face" / "gate.py"
    gate.write_text(gate.read_text().replace("size_ratio=10.0", "size_ratio=0.01"))
    options = ("-k", "complete", "-W", "ignore")
    assert "embedder fp32" in _variants(run(*options, "--kycquant-report=r.json"), root)
    (root / "waivers.toml").write_text(waiver("size", gate="face/gate.py::TestFace", ship="true"))
    result = run(*options, "--kycquant-report=r.json")
    assert "embedder int8" in _variants(result, root)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"note: embedder int8: size is waived until {UNTIL} (KYC-7: *"])
    assert "waives nothing" not in result.stdout.str()


def _variants(result: pytest.RunResult, root: Path) -> str:
    result.assert_outcomes(passed=1, deselected=3)
    (record,) = json.loads((root / "r.json").read_text())["pipelines"]
    return ", ".join(f"{stage} {name}" for stage, name in record["shipped"]["variants"].items())
