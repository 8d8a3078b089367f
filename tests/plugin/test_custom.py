"""A gate file with a user-defined metric runs every gate, and each gate can fail."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from tests.worlds.documents import ERRORS, FIGURE, VALUES
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, leanest

Project = Callable[..., None]
GATES = ("finite", "metric", "degradation", "latency", "size")
HIGHER = 'direction="higher"'


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Return the outcome of each gate by name, from the lines of `-v`."""
    found = re.findall(r"::test_(\w+)\[\S+\] (\w+)", result.stdout.str())
    return dict(found)


def failing(*gates: str) -> dict[str, str]:
    return dict.fromkeys(GATES, "PASSED") | dict.fromkeys(gates, "FAILED")


def test_every_gate_for_every_precision(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    document_project(precisions='"fp16", "int8", "int8-dynamic"')
    result = run("-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=15)
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]{precision}[]] PASSED*"
        for gate in GATES
        for precision in ("fp16", "int8", "int8-dynamic")
    )
    result.stdout.fnmatch_lines(
        [
            "variant * size * latency * metric * output drift * verdict",
            "fp32 * 0.00 % [[]0.00, 0.91[]] * PASS",
            f"ship: {leanest(pytester.path / 'report.json')} (*",
        ]
    )


def test_golden_of_errors(document_project: Project, run: Run, pytester: pytest.Pytester) -> None:
    document_project()
    golden = json.loads((pytester.path / "golden" / "document.json").read_text())
    assert golden["threshold"] is None
    assert golden["threshold_source"] == "the task has none"
    assert list(golden["rates"]) == ["misread"]
    assert golden["rates"]["misread"]["trials"] == 990
    assert golden["figures"] == {}
    assert golden["inputs"]["metric"] == "misread"


def test_golden_of_a_figure(document_project: Project, pytester: pytest.Pytester) -> None:
    document_project(metric=VALUES, limits="metric=3, degradation=0.2")
    golden = json.loads((pytester.path / "golden" / "document.json").read_text())
    assert golden["rates"] == {}
    assert list(golden["figures"]) == ["distance"]
    assert 0 < golden["figures"]["distance"] < 3


def test_more_errors_fail(document_project: Project, run: Run) -> None:
    """Convolutions of mixed scale: INT8 misreads."""
    document_project(fragile=True, fallback=None)
    result = run("-v")
    assert outcomes(result) == failing("metric", "degradation")
    result.stdout.fnmatch_lines(
        [
            "document: int8 FAIL degradation",
            "FAIL increase of misread over FP32 = * must be below 1 %",
            "  * newly wrong, *",
            "document: int8 FAIL metric",
            "FAIL misread = * must be below 2 %",
            "  * errors in 990 images of 330 subjects, design *",
        ]
    )


def test_a_worse_mean_fails(document_project: Project, run: Run) -> None:
    document_project(
        metric=VALUES, limits="metric=2.0, degradation=0.2", fragile=True, fallback=None
    )
    result = run("-v")
    assert outcomes(result) == failing("metric", "degradation")
    result.stdout.fnmatch_lines(
        [
            "FAIL increase of distance over FP32 = * must be below 0.2",
            "  990 images of 330 subjects",
            "FAIL mean distance = 3.* must be below 2",
            "  990 images of 330 subjects",
        ]
    )


def test_a_lower_figure_fails(document_project: Project, run: Run) -> None:
    document_project(
        metric=FIGURE,
        limits="metric=0.98, degradation=0.02",
        task=HIGHER,
        fragile=True,
        fallback=None,
    )
    result = run("-v")
    assert outcomes(result) == failing("metric", "degradation")
    result.stdout.fnmatch_lines(
        [
            "FAIL drop of accuracy from FP32 = * must be below 0.02",
            "  *",
            "FAIL accuracy = 0.9* must be at least 0.98",
            "  990 images of 330 subjects",
        ]
    )


def test_degradation_alone_fails(document_project: Project, run: Run) -> None:
    document_project(metric=VALUES, limits="metric=9, degradation=0.2", fragile=True, fallback=None)
    assert outcomes(run("-v")) == failing("degradation")


@pytest.mark.parametrize(
    ("limits", "gate"), [("size_mb=0.001", "size"), ("latency_ms=0.000001", "latency")]
)
def test_absolute_limits_fail(document_project: Project, run: Run, limits: str, gate: str) -> None:
    document_project(limits=f"metric=0.02, degradation=0.01, {limits}", fallback=None)
    assert outcomes(run("-v")) == failing(gate)


@pytest.mark.parametrize("metric", [ERRORS, VALUES, FIGURE])
def test_what_is_not_finite_never_passes(document_project: Project, run: Run, metric: str) -> None:
    """INT8 divides by zero."""
    figure = metric is FIGURE
    limits = "metric=3" if metric is VALUES else "metric=0.9" if figure else "metric=0.02"
    document_project(
        metric=metric,
        limits=f"{limits}, degradation=0.2",
        task=HIGHER if figure else "",
        overflows=True,
        fallback=None,
    )
    result = run("-v")
    assert outcomes(result) == failing("finite", "metric", "degradation")
    if metric is ERRORS:
        result.stdout.fnmatch_lines(["FAIL misread = 100 % *", "  990 errors in 990 images *"])
    else:
        result.stdout.fnmatch_lines(["FAIL * must be *", "  not finite: documents.npz[[]0[]], *"])


def test_fallback_to_a_mixed_model(document_project: Project, run: Run) -> None:
    document_project(fragile=True)
    result = run("-v")
    assert result.parseoutcomes() == {"fallback": 5}
    result.stdout.fnmatch_lines(
        [
            "*::test_metric[[]int8[]] FALLBACK int8>mixed*",
            "int8: FAIL *",
            "fallback of int8: int8>mixed*",
            "int8>mixed keeps * in FP32: *third*",
            "ship: int8>mixed *",
        ]
    )


def test_no_search_without_selection(document_project: Project, run: Run) -> None:
    document_project(fragile=True, selection="None")
    result = run("-v")
    result.stdout.fnmatch_lines(
        [
            "fallback of int8: mixed precision was not searched: the people who would confirm it "
            "cannot decide even for FP32 compared with itself: INCONCLUSIVE *"
        ]
    )


def test_a_search_without_selection_is_confirmed_by_other_people(
    document_project: Project, run: Run
) -> None:
    document_project(fragile=True, selection="None", people=700)
    run("-v").stdout.fnmatch_lines(
        [
            "fallback of int8: int8>mixed*",
            "remark on int8>mixed: judged on 1,260 images for the confirmation, of 2,100 images of "
            "700 subjects; it was searched on other people",
        ]
    )


def test_a_share_for_selection(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    document_project(fragile=True, people=700, selection="0.5")
    assert run().parseoutcomes() == {"fallback": 5}
    golden = json.loads((pytester.path / "golden" / "document.json").read_text())
    assert golden["rates"]["misread"]["trials"] == 1050


def test_few_subjects_are_undecided_and_no_fallback_is_tried(
    document_project: Project, run: Run
) -> None:
    document_project(people=60)
    result = run("-v")
    assert outcomes(result) == failing("metric", "degradation")
    result.stdout.fnmatch_lines(
        [
            "document: int8 INCONCLUSIVE metric",
            "INCONCLUSIVE misread = 0 % *",
            "  about * subjects would decide, *",
            "int8: no fallback was tried, because this data cannot decide even for FP32 *",
        ]
    )


def test_unknown_subjects_are_a_note_in_the_report(document_project: Project, run: Run) -> None:
    document_project(known=False)
    result = run()
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        [
            "note on fp32: the data does not say whom the images show, so each counts as a "
            "different *"
        ]
    )


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("!= labels", "!= labels + 0", "metric source changed"),
        ("misread", "misjudged", "metric, metric source changed"),
    ],
)
def test_another_metric_makes_the_golden_stale(
    document_project: Project,
    run: Run,
    pytester: pytest.Pytester,
    before: str,
    after: str,
    what: str,
) -> None:
    document_project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace(before, after))
    result = run()
    stopped(result, 5)
    assert f"document.json: is stale: {what} since it was recorded" in result.stdout.str()


def test_another_direction_makes_the_golden_stale(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    document_project(metric=VALUES, limits="metric=3, degradation=0.2")
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("metric=distance,", f"metric=distance, {HIGHER},"))
    assert "is stale: direction changed since it was recorded" in run().stdout.str()


def test_another_helper_of_the_metric_makes_the_golden_stale(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    helper = "SCALE = 8\n" + VALUES.replace("8 *", "SCALE *")
    document_project(metric=helper, limits="metric=9, degradation=0.2")
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("SCALE = 8", "SCALE = 7"))
    assert "is stale: metric source changed since it was recorded" in run().stdout.str()


def test_another_file_of_the_metric_does_not_reproduce_the_golden(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Nobody can know what the metric reads, but its value for FP32 is not the same."""
    (pytester.path / "scale.txt").write_text("8")
    helper = VALUES.replace("8 *", 'int(open("scale.txt").read()) *')
    document_project(metric=helper, limits="metric=9, degradation=0.2")
    (pytester.path / "scale.txt").write_text("7")
    result = run()
    result.stdout.fnmatch_lines(
        ["*document.json: FP32 distance is * here, but the golden records *"]
    )


def test_landmarks(document_project: Project, run: Run, pytester: pytest.Pytester) -> None:
    """Labels are (N, K), and shapes survive the cache."""
    document_project(golden=False)
    path = pytester.path / "documents.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    kinds = np.array(["print", "live", "screen"])
    arrays["labels"] = 8.0 * (arrays["labels"][:, None] == kinds)
    np.savez(path, **arrays)
    gate = pytester.path / "test_gate.py"
    text = gate.read_text().replace('classes=("print", "live", "screen"),', "")
    text = text.replace('selection="selection.npz"', "")
    text = text.replace("outputs.argmax(axis=1) != labels", "np.abs(outputs - labels).max(axis=1)")
    gate.write_text(text.replace("metric=0.02, degradation=0.01", "metric=3, degradation=0.2"))
    run("--kycquant-update-golden").assert_outcomes(passed=5)
    run().assert_outcomes(passed=5)
