"""What was judged, or could not be, counts although no test gets as far as its call."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run
from tests.worlds.processes import PYTEST

Project = Callable[..., None]
WORKERS = ("-n", "2")
UNASSERTED = "ERROR: no test failed, but face as int8: FAIL degradation, FAIL *"
WITHDRAWS = """
    @pytest.fixture(autouse=True)
    def mature(self, candidate):
        if not all(gate.ships for gate in candidate.gates.values()):
            {}
"""


def edit(pytester: pytest.Pytester, before: str, after: str) -> None:
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    assert before in text
    gate.write_text(text.replace(before, after))


def append(pytester: pytest.Pytester, body: str) -> None:
    gate = pytester.path / "test_gate.py"
    gate.write_text("import pytest\n" + gate.read_text() + body)


def earlier(pytester: pytest.Pytester, run: Run) -> None:
    """Export the model while its gates still pass."""
    run("--kycquant-export=ship").assert_outcomes(passed=6)
    assert (pytester.path / "ship" / "face.onnx").is_file()


@pytest.mark.parametrize(
    "way",
    [
        "pytest.skip('not mature')",
        "pytest.xfail('not mature')",
        "pytest.importorskip('no_such_module_at_all')",
    ],
)
def test_fixture_withdraws_the_test_once_it_knows(
    project: Project, run: Run, pytester: pytest.Pytester, way: str
) -> None:
    project(fragile=True, fallback=None)
    append(pytester, WITHDRAWS.format(way))
    result = run("--kycquant-export=ship")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["int8 * FAIL *", UNASSERTED, "exported: nothing for face, *"])


def test_fixture_fails_as_expected(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(fragile=True, fallback=None)
    append(pytester, WITHDRAWS.format("assert False"))
    edit(pytester, "class TestFace", "@pytest.mark.xfail\nclass TestFace")
    result = run()
    result.assert_outcomes(xfailed=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([UNASSERTED])


def test_run_ends_in_the_call_and_calls_itself_successful(
    project: Project, pytester: pytest.Pytester, measured_cache: Path
) -> None:
    project(fragile=True, fallback=None)
    append(pytester, "\n    def test_a(self, candidate):\n        pytest.exit('', returncode=0)\n")
    command = [*PYTEST, "-k", "test_a", f"--kycquant-cache={measured_cache}"]
    result = subprocess.run(command, cwd=pytester.path, capture_output=True, text=True)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    assert "ERROR: no test failed, but face as int8: FAIL" in result.stdout


@pytest.mark.parametrize(
    ("mark", "workers"),
    [
        ("xfail", ()),
        ("xfail", WORKERS),
        ("xfail(strict=True)", ()),
        ("xfail(raises=Exception)", ()),
    ],
)
def test_gate_that_cannot_be_judged_is_not_expected_to(
    project: Project, run: Run, pytester: pytest.Pytester, workers: tuple[str, ...], mark: str
) -> None:
    project()
    if not workers:
        earlier(pytester, run)
    edit(pytester, "mean=127.5", "mean=120.0")
    edit(pytester, "class TestFace", f"import pytest\n@pytest.mark.{mark}\nclass TestFace")
    result = run("--kycquant-export=ship", *workers)
    result.assert_outcomes(xfailed=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    kept = "" if workers else "; face.onnx is of an earlier run"
    result.stdout.fnmatch_lines(
        [
            "ERROR: no test failed, but test_gate.py::TestFace was not judged: *is stale*",
            f"exported: nothing for face: nothing of test_gate.py::TestFace was judged{kept}",
        ]
    )


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("models/face.onnx", "models/none.onnx", "models/none.onnx"),
        ("calibration.npz", "nothing.npz", "nothing.npz"),
        ("precisions = (", "precisions = (Recipe('mixed', keep_fp32=('nowhere',)),", "nowhere"),
    ],
)
def test_every_error_of_a_gate_counts(
    project: Project, run: Run, pytester: pytest.Pytester, before: str, after: str, problem: str
) -> None:
    project()
    edit(pytester, before, after)
    edit(pytester, "class TestFace", "import pytest\n@pytest.mark.xfail\nclass TestFace")
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"ERROR: no test failed, but test_gate.py::TestFace *{problem}*"])


def test_error_that_a_fixture_hides(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project()
    edit(pytester, "mean=127.5", "mean=120.0")
    append(
        pytester,
        """
    @pytest.fixture(autouse=True)
    def careful(self, request):
        try:
            request.getfixturevalue("candidate")
        except Exception:
            pytest.skip("not today")
""",
    )
    result = run()
    result.assert_outcomes(skipped=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: no test failed, but test_gate.py::TestFace was not *"])


def test_replaced_fixture_is_not_expected_either(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef candidate(request): return 5")
    edit(pytester, "class TestFace", "import pytest\n@pytest.mark.xfail\nclass TestFace")
    result = run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: no test failed, but test_gate.py::TestFace was not *"])


@pytest.mark.parametrize(
    ("mark", "arguments", "workers"),
    [
        ("@pytest.mark.skip", (), ()),
        ("@pytest.mark.skip", (), WORKERS),
        ("@pytest.mark.skipif(True, reason='CI')", (), ()),
        ("@pytest.mark.xfail(run=False)", (), ()),
        ("", ("-k", "test_other"), ()),
        ("", ("-k", "test_other"), WORKERS),
    ],
)
def test_class_that_was_left_out_on_purpose(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    workers: tuple[str, ...],
    mark: str,
    arguments: tuple[str, ...],
) -> None:
    """That is no failure, but an export says what it leaves as it was."""
    project()
    earlier(pytester, run)
    append(pytester, "\n\ndef test_other():\n    pass\n")
    edit(pytester, "class TestFace", f"{mark}\nclass TestFace")
    result = run("--kycquant-export=ship", *arguments, *workers)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    left = "nothing of test_gate.py::TestFace was judged; face.onnx is of an earlier run"
    result.stdout.fnmatch_lines([f"exported: nothing for face: {left}"])
    assert run(*arguments, *workers).ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("place", "workers"), [("test_gate.py", ()), ("test_gate.py", WORKERS), ("test_more.py", ())]
)
def test_nothing_ships_if_something_cannot_be_collected(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    workers: tuple[str, ...],
    place: str,
) -> None:
    """Nobody knows which rules are in it."""
    project()
    append(pytester, "")
    more = "\n\nclass TestMore(TestFace):\n    @pytest.mark.parametrize('nope', [1])\n"
    more += "    def test_rule(self, candidate):\n        pass\n"
    if place == "test_gate.py":
        append(pytester, more)
    else:
        (pytester.path / place).write_text("import no_such_module_at_all\n")
    result = run("--kycquant-export=ship", "--continue-on-collection-errors", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "ship: nothing yet: test_*.py* could not be collected",
            "exported: nothing for face: test_*.py* could not be collected",
        ]
    )
    assert not list(pytester.path.glob("ship/*.onnx"))
