"""The smoke profile: damage fails within seconds, and no claim about error rates is made."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.variants import Variants
from tests.worlds import scenery
from tests.worlds.outcomes import stopped
from tests.worlds.population import FUNCTION, Run, embedder, write_npz
from tests.worlds.unlabelled import INT8_THAT_BREAKS, write_unlabelled

SMOKE = "--kycquant-profile=smoke"
Project = Callable[..., None]


def gate_of(root: Path) -> dict[str, object]:
    (gate,) = json.loads((root / "report.json").read_text())["gates"]
    return dict(gate)


def test_sound_model_passes_and_error_rates_are_skipped(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    result = run(SMOKE, "-rs", "--kycquant-report=report.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=3, skipped=3)
    result.stdout.fnmatch_lines(
        [
            "kycquant: *; profile smoke",
            "kycquant: SMOKE",
            "face, test_gate.py::TestFace",
            "figures of these images alone, no bounds",
            "profile: smoke (*no claim about error rates); looser *",
            "note on fp32: the smoke profile used 64 images, of 330 identities",
            "ship: smoke: no claim about error rates, nothing is cleared to ship",
            "next: pytest --kycquant-profile=standard *",
        ]
    )
    result.stdout.fnmatch_lines_random(
        f"SKIPPED * smoke profile makes no claim about {gate}" for gate in ("far", "frr", "latency")
    )
    gate = gate_of(pytester.path)
    assert (gate["profile"], gate["ship"]) == ("smoke", None)
    assert gate["decisions"][0]["ships"] is None  # type: ignore[index]
    row = gate["variants"][1]  # type: ignore[index]
    assert list(row["gates"]) == ["finite", "degradation", "size"]
    names = [check["name"] for check in row["gates"]["degradation"]["checks"]]
    assert names == ["mean cosine to FP32", "1st percentile of cosine to FP32"]
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    properties = [{p.get("name"): p.get("value") for p in c.iter("property")} for c in cases]
    assert [each["kycquant.profile"] for each in properties] == ["smoke"] * 6


def test_damaged_model_fails(project: Project, run: Run) -> None:
    project(fragile=True, fallback=None)
    result = run(SMOKE)
    result.assert_outcomes(passed=2, skipped=3, failed=1)
    result.stdout.fnmatch_lines(
        ["face: int8 FAIL degradation", "FAIL mean cosine to FP32 = *", "  on these images alone"]
    )


def test_a_stored_nan_fails(project: Project, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Integer kernels make finite outputs, but the file has a NaN."""
    monkeypatch.setattr(Variant, "find_broken", lambda _: ("weight_scale",))
    project(fallback=None)
    result = run(SMOKE)
    result.assert_outcomes(passed=2, skipped=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "face: int8 FAIL finite",
            "FAIL weights and scales with NaN or Inf = 1 *",
            "  weight_scale",
        ]
    )


def test_ladder_without_search(project: Project, run: Run) -> None:
    """Fallbacks that need no search are tried; a mixed model is not searched."""
    project(fragile=True)
    result = run(SMOKE, "-v")
    result.stdout.fnmatch_lines(
        [
            "*::test_degradation[[]int8[]] FALLBACK fp16*",
            "int8: FAIL 1st percentile of cosine to FP32 *",
            "fallback of int8: fp16",
            "fallback of int8: mixed precision was not searched: *",
            "ship: smoke: *",
        ]
    )
    result.stdout.no_fnmatch_line("*searching*")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("model", "*face.json: is stale: model sha256 changed *"),
        ("data", "*face.json: is stale: evaluation changed *"),
        ("threshold", "*face.json: was edited by hand *"),
    ],
)
def test_stale_golden_is_noticed(
    project: Project, run: Run, pytester: pytest.Pytester, damage: str, message: str
) -> None:
    project()
    golden = pytester.path / "golden" / "face.json"
    if damage == "model":
        onnx.save(embedder(seed=1), pytester.path / "models" / "face.onnx")
    elif damage == "data":
        write_npz(pytester.path / "faces.npz", 330, 2, seed=9)
    else:
        threshold = str(json.loads(golden.read_text())["threshold"])
        golden.write_text(golden.read_text().replace(threshold, "0.99"))
    result = run(SMOKE)
    stopped(result, 6)
    result.stdout.fnmatch_lines([message])


@pytest.mark.parametrize("fragile", [False, True])
def test_no_golden_is_needed_to_find_damage(
    project: Project, run: Run, pytester: pytest.Pytester, *, fragile: bool
) -> None:
    project(golden=False, fragile=fragile, fallback=None)
    result = run(SMOKE, "--kycquant-report=report.json")
    result.assert_outcomes(passed=2 if fragile else 3, skipped=3, failed=fragile)
    result.stdout.fnmatch_lines(
        ["note on fp32: the smoke profile used 64 images*; there is no golden yet, so nothing is *"]
    )
    if not fragile:
        result.stdout.fnmatch_lines(["next: pytest --kycquant-update-golden records the golden, *"])
    assert not (pytester.path / "golden").exists()
    assert gate_of(pytester.path)["ship"] is None


def test_liveness_without_a_golden(liveness_project: Project, run: Run) -> None:
    liveness_project(golden=False)
    run(SMOKE).assert_outcomes(passed=3, skipped=3)


def test_detections_cannot_be_compared_without_a_confidence(
    run: Run, pytester: pytest.Pytester
) -> None:
    scenery.write_project(pytester.path, precisions='"fp16"')
    result = run(SMOKE, "-rs")
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED * smoke profile makes no claim about degradation",
            "note on fp32: *without a threshold nothing was compared but NaN and size",
        ]
    )
    assert result.parseoutcomes()["passed"] == 2


def test_smoke_calibrates_on_few_images(
    project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(golden=False, fallback=None)
    seen: list[int] = []
    spread = Variants._calibration.func  # type: ignore[attr-defined]

    def watched(self: Variants) -> Any:
        images = spread(self)
        seen.append(len(images))
        return images

    monkeypatch.setattr(Variants, "_calibration", property(watched))
    run(SMOKE)
    assert set(seen) == {64}


def test_golden_of_smoke_is_that_of_standard(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    run(SMOKE, "--kycquant-update-golden").assert_outcomes(passed=3, skipped=3)
    assert [path.name for path in (pytester.path / "golden").iterdir()] == ["face.json"]
    run().assert_outcomes(passed=6)


def test_rule_of_ones_own_on_what_is_not_claimed(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(
        gate.read_text()
        + "\n    def test_rule(self, candidate):\n"
        + "        assert candidate.gates['far'].checks[0].value < 1e-3\n"
        + "\n    def test_size_rule(self, candidate):\n"
        + "        assert candidate.gates['size'].verdict.value == 'PASS'\n"
    )
    run("-k", "rule").assert_outcomes(passed=2)
    result = run(SMOKE, "-k", "rule")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*candidate.gates*far*: the smoke profile makes no claim about far; call candidate*"]
    )


def test_in_the_gate_class_and_in_the_marker(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """The gate overrides the command line; the header names the gates that differ."""
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + '    profile = "smoke"\n')
    result = run("--kycquant-profile=standard")
    result.assert_outcomes(passed=3, skipped=3)
    result.stdout.fnmatch_lines(
        ["kycquant: *; profile standard; smoke for test_gate.py::TestFace", "ship: smoke: *"]
    )
    result = run("--kycquant-export=ship")
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*--kycquant-export: the smoke profile clears nothing to ship; *"])
    gate.write_text(
        FUNCTION
        + """
@pytest.mark.kycquant(model=MODEL, precisions=("int8",), limits=LIMITS, profile="standard")
def test_gates(candidate):
    assert set(candidate.gates) == {"finite", "far", "frr", "degradation", "latency", "size"}
"""
    )
    run(SMOKE).assert_outcomes(passed=1)


def test_export_is_refused(project: Project, run: Run) -> None:
    project()
    result = run(SMOKE, "--kycquant-export=ship")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kycquant-export: the smoke profile clears nothing *"])


@pytest.mark.parametrize("world", ["faces", "liveness", "detection"])
@pytest.mark.parametrize("fragile", [False, True], ids=["sound", "damaged"])
def test_without_labels(run: Run, pytester: pytest.Pytester, world: str, fragile: bool) -> None:
    options = {"precisions": INT8_THAT_BREAKS[world]} if fragile else {"precisions": '"fp16"'}
    write_unlabelled(pytester.path, world, fallback=None, fragile=fragile, **options)
    result = run(SMOKE, "--kycquant-update-golden")
    if fragile:
        result.assert_outcomes(passed=2, failed=1, skipped=1)
        result.stdout.fnmatch_lines(["model: int8 FAIL agreement"])
    else:
        result.assert_outcomes(passed=3, skipped=1)


def test_certificate_without_labels(run: Run, pytester: pytest.Pytester) -> None:
    """It is gated if it has a limit; no other share of decisions is gated."""
    write_unlabelled(
        pytester.path, "faces", precisions='"int8"', fallback=None, limits="certified=0.9999"
    )
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("threshold=0.7", "threshold=0.15"))
    result = run(SMOKE, "--kycquant-update-golden")
    result.stdout.fnmatch_lines(
        ["model: int8 FAIL agreement", "FAIL decisions that cannot have flipped = *"]
    )
    result.stdout.no_fnmatch_line("*decisions other than FP32's*")


def test_liveness(liveness_project: Project, run: Run) -> None:
    liveness_project()
    run(SMOKE).assert_outcomes(passed=3, skipped=3)


def test_metric_of_ones_own_is_not_judged(document_project: Project, run: Run) -> None:
    """It is unknown how much drift of the outputs would be too much."""
    document_project()
    result = run(SMOKE, "-rs")
    result.assert_outcomes(passed=2, skipped=3)
    result.stdout.fnmatch_lines_random(
        f"SKIPPED * smoke profile makes no claim about {gate}" for gate in ("metric", "degradation")
    )


def test_pipeline_is_skipped(pipeline_project: Callable[..., Path], run: Run) -> None:
    pipeline_project()
    result = run(SMOKE, "-rs")
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(["SKIPPED * smoke profile makes no claim about pipelines: *"])
