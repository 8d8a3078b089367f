"""A liveness gate file runs every gate, each gate can fail, and the run ends with a table."""

import json
import re
from collections.abc import Callable

import pytest

from tests.worlds.population import Run, leanest

Project = Callable[..., None]
GATES = ("finite", "apcer", "bpcer", "degradation", "latency", "size")


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Return the outcome of each gate by name, from the lines of `-v`."""
    found = re.findall(r"::test_(\w+)\[\S+\] (\w+)", result.stdout.str())
    return dict(found)


def test_every_gate_for_every_precision(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(precisions='"fp16", "int8", "int8-dynamic"')
    result = run("-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=18)
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]{precision}[]] PASSED*"
        for gate in GATES
        for precision in ("fp16", "int8", "int8-dynamic")
    )
    result.stdout.fnmatch_lines(
        [
            "variant * size * latency * APCER * BPCER * score drift * verdict",
            "fp32 * 0.00 % [[]0.00, 0.91[]] * PASS",
            f"ship: {leanest(pytester.path / 'report.json')} (*",
        ]
    )


def test_golden_holds_the_rates_of_each_species(
    liveness_project: Project, pytester: pytest.Pytester
) -> None:
    liveness_project()
    golden = json.loads((pytester.path / "golden" / "liveness.json").read_text())
    assert list(golden["rates"]) == ["APCER print", "APCER screen", "BPCER"]
    assert golden["rates"]["APCER print"]["trials"] == 330
    assert golden["threshold"] == 0.5
    assert golden["threshold_source"] == (
        "smallest from 1/2 on whose 95 % upper bound of APCER is below 2.5000% for every species, "
        "on 990 captures of 330 people with 2 attack species of the selection split"
    )
    assert golden["inputs"]["live class"] == 1


def test_report_has_the_figures_of_the_standard(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project()
    run("--kycquant-report=report.json")
    report = json.loads((pytester.path / "report.json").read_text())
    rows = {row["variant"]: row for row in report["gates"][0]["variants"]}
    figures = rows["int8"]["figures"]
    assert figures["acer"] == 0
    assert figures["bpcer_at_apcer_10"] == figures["bpcer_at_apcer_1"] == 0
    assert 0 < figures["score_drift_mean"] < 0.03


def test_attacks_that_pass_fail_apcer(liveness_project: Project, run: Run) -> None:
    """Convolutions of mixed scale: INT8 mistakes prints for live faces."""
    liveness_project(fragile=True, fallback=None, limits="flips=0.9, score_drift=0.9")
    result = run("-v")
    assert outcomes(result) == dict.fromkeys(GATES, "PASSED") | {
        "apcer": "FAILED",
        "degradation": "FAILED",
    }
    result.stdout.fnmatch_lines(
        [
            "liveness: int8 FAIL degradation",
            "FAIL increase of APCER * over FP32 = * must be below 1 %",
            "  * newly wrong, *",
            "liveness: int8 FAIL apcer",
            "FAIL APCER, maximum over 2 species = * must be below 5 %",
            "  * errors in 330 attacks *",
            "Attacks pass as live: *",
        ]
    )


def test_live_people_who_are_rejected_fail_bpcer(liveness_project: Project, run: Run) -> None:
    liveness_project(fragile=True, fallback=None, task="threshold=0.99", limits="apcer=0.5")
    result = run("-v")
    assert outcomes(result)["bpcer"] == "FAILED"
    assert outcomes(result)["apcer"] == "PASSED"
    result.stdout.fnmatch_lines(
        [
            "liveness: int8 FAIL bpcer",
            "FAIL BPCER = * must be below 5 %",
            "  * errors in 330 live captures of 330 people, *",
            "Live people are turned away: *",
        ]
    )


def test_drift_alone_fails_degradation(liveness_project: Project, run: Run) -> None:
    liveness_project(fallback=None, limits="score_drift=0.00001")
    result = run("-v")
    assert outcomes(result) == dict.fromkeys(GATES, "PASSED") | {"degradation": "FAILED"}
    result.stdout.fnmatch_lines(["FAIL mean score difference to FP32 = *"])


@pytest.mark.parametrize(
    ("limits", "gate"), [("size_mb=0.001", "size"), ("latency_ms=0.000001", "latency")]
)
def test_absolute_limits_fail(liveness_project: Project, run: Run, limits: str, gate: str) -> None:
    liveness_project(fallback=None, limits=limits)
    result = run("-v")
    assert outcomes(result) == dict.fromkeys(GATES, "PASSED") | {gate: "FAILED"}


def test_nan_scores_are_accepted_attacks_and_rejected_people(
    liveness_project: Project, run: Run
) -> None:
    """INT8 divides by zero: every gate of accuracy fails, though ``nan >= t`` is never true."""
    liveness_project(overflows=True, fallback=None)
    result = run("-v")
    assert outcomes(result) == {
        "finite": "FAILED",
        "apcer": "FAILED",
        "bpcer": "FAILED",
        "degradation": "FAILED",
        "latency": "PASSED",
        "size": "PASSED",
    }
    result.stdout.fnmatch_lines_random(
        [
            "FAIL images with NaN or Inf = 990 must be below 1",
            "  captures.npz[[]0[]], *",
            "FAIL edge inputs with NaN or Inf = 3 must be below 1",
            "  black, white, noise",
            "FAIL APCER, maximum over 2 species = 100 % *",
            "FAIL BPCER = 100 % *",
        ]
    )


def test_fallback_to_a_mixed_model(liveness_project: Project, run: Run) -> None:
    liveness_project(fragile=True)
    result = run("-v")
    assert result.parseoutcomes() == {"fallback": 6}
    result.stdout.fnmatch_lines(
        [
            "*::test_apcer[[]int8[]] FALLBACK int8>mixed*",
            "int8: FAIL APCER*",
            "fallback of int8: int8>mixed*",
            "int8>mixed keeps * in FP32: *third*",
            "ship: int8>mixed *",
        ]
    )


def test_few_people_are_undecided_and_no_fallback_is_tried(
    liveness_project: Project, run: Run
) -> None:
    liveness_project(people=60)
    result = run("-v")
    assert outcomes(result) == dict.fromkeys(GATES, "PASSED") | dict.fromkeys(
        ("apcer", "bpcer", "degradation"), "FAILED"
    )
    result.stdout.fnmatch_lines(
        [
            "liveness: int8 INCONCLUSIVE apcer",
            "INCONCLUSIVE APCER, maximum over 2 species = 0 % *",
            "  about 6? people would *",
            "int8: no fallback was tried, because this data cannot decide even for FP32 *",
        ]
    )


def test_unknown_people_are_a_note_in_the_report(liveness_project: Project, run: Run) -> None:
    liveness_project(known=False)
    result = run()
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "note on fp32: the data does not say who is captured, so each capture counts as a "
            "different *"
        ]
    )


def test_probabilities(liveness_project: Project, run: Run) -> None:
    liveness_project(probabilities=True, task='scores="probabilities"')
    run().assert_outcomes(passed=6)


def test_share_of_the_people_for_selection(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(people=700, selection="0.5")
    golden = json.loads((pytester.path / "golden" / "liveness.json").read_text())
    assert "on 1,050 captures of 350 people with 2 attack" in golden["threshold_source"]
    assert golden["rates"]["BPCER"]["trials"] == 350


def test_limits_of_another_task(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(golden=False)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("LivenessLimits", "FaceLimits"))
    result = run()
    assert "not LivenessLimits; give limits=LivenessLimits(...)" in result.stdout.str()


def test_wrong_scale_is_no_baseline(liveness_project: Callable[..., None], run: Run) -> None:
    liveness_project(golden=False, preprocess="mean=127.5, scale=1.0", task="threshold=0.5")
    result = run("--kycquant-update-golden", "-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*FP32 itself fails its limits *check channel order, mean and*"])
