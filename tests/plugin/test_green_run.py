"""A run is green only if everything that it judged passed, whatever its tests look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.worlds.population import Run

Project = Callable[..., None]
UNASSERTED = "ERROR: no test failed, but face as int8: FAIL degradation, FAIL *"


def edit(pytester: pytest.Pytester, before: str, after: str) -> None:
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    assert before in text
    gate.write_text(text.replace(before, after))


def append(pytester: pytest.Pytester, body: str) -> None:
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + body)


def judged(pytester: pytest.Pytester) -> dict[str, list[str]]:
    """The gates of each variant in the report."""
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    return {row["variant"]: list(row["gates"]) for row in gate["variants"]}


@pytest.mark.parametrize(
    ("chosen", "gates"),
    [
        ("size", ["size"]),
        ("size or latency", ["latency", "size"]),
        ("finite", ["finite"]),
        ("latency or finite", ["finite", "latency"]),
    ],
)
def test_gate_that_no_test_asks_for_is_not_judged(
    project: Project, run: Run, pytester: pytest.Pytester, chosen: str, gates: list[str]
) -> None:
    """A table must not say FAIL in a green run, nor PASS about what was not looked at."""
    project(fragile=True, fallback=None)
    result = run("-k", chosen, "--kycquant-report=report.json")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert "FAIL" not in result.stdout.str()
    assert judged(pytester)["int8"] == gates
    result.stdout.fnmatch_lines(
        [
            f"int8 * PASS (only {', '.join(gates)})",
            "ship: nothing yet: * of 6 tests of this gate did not run to the end, such as *",
            "next: run all tests of these gates *",
        ]
    )


def test_gates_that_were_not_asked_for_do_not_cause_a_fallback(project: Project, run: Run) -> None:
    project(fragile=True)
    result = run("-k", "size")
    result.assert_outcomes(passed=1, deselected=5)
    result.stdout.no_fnmatch_line("*>mixed*")


def test_all_gates_are_judged_for_a_test_of_ones_own(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Nobody can tell which gates it looks at."""
    project(fragile=True, fallback=None)
    append(pytester, "\n    def test_mine(self, candidate):\n        assert candidate.size\n")
    result = run("-k", "mine", "--kycquant-report=report.json")
    result.assert_outcomes(passed=1, deselected=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(judged(pytester)["int8"]) == 6
    result.stdout.fnmatch_lines([UNASSERTED])


MARKED = """
import pytest
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Recipe

@pytest.mark.kycquant(
    model=TestFace.model, precisions=TestFace.precisions, limits=TestFace.limits, fallback=None
)
def test_face(candidate):
    BODY

del TestFace
"""


@pytest.mark.parametrize(
    "body",
    [
        "assert candidate.size",
        'candidate.check("size")',
        'assert candidate.gates["far"].verdict == "PASS"',
        'assert str(candidate.gates["degradation"].verdict) == "FAIL"',
        'with pytest.raises(pytest.fail.Exception): candidate.check("degradation")',
    ],
)
def test_function_that_asserts_something_else(
    project: Project, run: Run, pytester: pytest.Pytester, body: str
) -> None:
    project(fragile=True, fallback=None)
    append(pytester, MARKED.replace("BODY", body))
    result = run()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([UNASSERTED])


@pytest.mark.parametrize(
    "mark",
    [
        "@pytest.mark.xfail",
        "@pytest.mark.xfail(strict=True)",
        '@pytest.mark.xfail(reason="known", raises=pytest.fail.Exception)',
    ],
)
def test_class_that_is_expected_to_fail(
    project: Project, run: Run, pytester: pytest.Pytester, mark: str
) -> None:
    project(fragile=True, fallback=None)
    edit(pytester, "class TestFace", f"import pytest\n{mark}\nclass TestFace")
    result = run("-k", "degradation")
    result.assert_outcomes(xfailed=1, deselected=5)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([UNASSERTED])


@pytest.mark.parametrize("action", ["skip", "deselect"])
def test_gate_that_is_left_out_while_another_test_has_it_judged(
    project: Project, run: Run, pytester: pytest.Pytester, action: str
) -> None:
    project(fragile=True, fallback=None)
    append(pytester, "\n    def test_mine(self, candidate):\n        assert candidate.size\n")
    pytester.makeconftest(
        f"""
        import pytest

        def pytest_collection_modifyitems(config, items):
            bad = [item for item in items if "mine" not in item.name and "size" not in item.name]
            if {action == "skip"}:
                for item in bad:
                    item.add_marker(pytest.mark.skip(reason="slow"))
            else:
                items[:] = [item for item in items if item not in bad]
        """
    )
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([UNASSERTED])


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ("fail", pytest.ExitCode.TESTS_FAILED),
        ("warn", pytest.ExitCode.OK),
        ("xfail", pytest.ExitCode.OK),
    ],
)
def test_undecided_gates_do_what_the_policy_says(
    project: Project, run: Run, policy: str, status: pytest.ExitCode
) -> None:
    project(identities=110, limits="frr_degradation=0.005")
    assert run(f"--kycquant-inconclusive={policy}").ret == status


def test_run_that_fails_anyway_says_nothing_more(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True, fallback=None)
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.no_fnmatch_line("ERROR: no test failed*")


def test_pipeline_measures_only_what_is_asked_for(
    pipeline_project: Callable[..., Any], run: Run
) -> None:
    root = pipeline_project()
    result = run("test_pipeline.py", "-k", "complete", "--kycquant-report=report.json")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    (record,) = json.loads((root / "report.json").read_text())["pipelines"]
    assert list(record["gates"]) == ["complete"]
    assert record["shipped"]["timing"] is None
    assert record["shipped"]["peak_mb"] is None


def test_pipeline_that_fails_but_is_expected_to(
    pipeline_project: Callable[..., Any], run: Run
) -> None:
    root = pipeline_project("limits = PipelineLimits(wall_ms=1e-6)")
    gate = root / "test_pipeline.py"
    gate.write_text(
        gate.read_text()
        .replace("class Test", "import pytest\n@pytest.mark.xfail\nclass Test", 1)
        .replace("import PipelineGates", "import PipelineGates, PipelineLimits", 1)
    )
    result = run("test_pipeline.py", "-k", "latency")
    result.assert_outcomes(xfailed=1, deselected=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: no test failed, but test_pipeline.py::*: FAIL latency, *"])
