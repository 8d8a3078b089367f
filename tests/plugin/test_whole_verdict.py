"""Only what every collected test of a complete run cleared is named by ``ship:`` and exported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run
from tests.worlds.processes import PYTEST

Project = Callable[..., None]


def append(pytester: pytest.Pytester, body: str) -> None:
    """Add tests to the class; the body is indented by four."""
    gate = pytester.path / "test_gate.py"
    gate.write_text(f"import os\nimport pytest\n{gate.read_text()}{body}")


def shipped(pytester: pytest.Pytester) -> list[str]:
    ship = pytester.path / "ship"
    return sorted(path.name for path in ship.iterdir()) if ship.exists() else []


FAILING = {
    "test": """
    def test_mine(self, candidate):
        assert candidate.variant != "int8"
""",
    "setup": """
    @pytest.fixture
    def database(self):
        raise ConnectionError

    def test_mine(self, database, candidate):
        pass
""",
    "teardown": """
    @pytest.fixture
    def database(self, candidate):
        yield
        assert candidate.variant != "int8"

    def test_mine(self, candidate, database):
        pass
""",
    "skip": """
    def test_mine(self, candidate):
        if candidate.variant == "int8":
            pytest.skip("no time")
""",
    "xfail": """
    @pytest.mark.xfail
    def test_mine(self, candidate):
        assert candidate.variant != "int8"
""",
}


@pytest.mark.parametrize(
    ("kind", "reason", "ship"),
    [
        ("test", "failed", "fp16 (*"),
        ("setup", "failed", "fp32 (*"),  # the fixture fails for both precisions
        ("teardown", "failed", "fp32 (*"),  # which fixture failed, pytest does not say
        ("skip", "was skipped", "fp16 (*"),
        ("xfail", "failed as expected", "fp16 (*"),
    ],
)
def test_variant_that_a_test_did_not_clear(
    project: Project, run: Run, pytester: pytest.Pytester, kind: str, reason: str, ship: str
) -> None:
    project(precisions='"fp16", "int8"')
    append(pytester, FAILING[kind])
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(
        [
            f"*int8 pass*, but do* not ship: test_gate.py::*test_mine[[]int8] {reason}",
            f"ship: {ship}",
        ]
    )
    evidence = json.loads((pytester.path / "ship" / "face.json").read_text())
    assert evidence["found"]["ship"] == ship[:4]
    assert list(evidence["files"]) == (["face.onnx"] if ship.startswith("fp16") else [])


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "not size"),
        ("-k", "fp16"),
        ("-m", "not slow"),
        ("--deselect", "test_gate.py::TestFace::test_mine[int8]"),
        ("test_gate.py::TestFace::test_far",),
        ("-x",),
    ],
    ids=" ".join,
)
def test_run_that_is_not_complete(
    project: Project, run: Run, pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    project(precisions='"fp16", "int8"')
    append(
        pytester,
        """
    @pytest.mark.slow
    def test_mine(self, candidate):
        assert candidate.variant != "fp16"
""",
    )
    pytester.makeini("[pytest]\nmarkers = slow")
    result = run("--kycquant-export=ship", *arguments)
    result.stdout.fnmatch_lines(
        [
            "ship: nothing yet: * of 14 tests of this gate did not run to the end, such as test_*",
            "exported: nothing for face: * of 14 tests of this gate did not run to the end, *",
        ]
    )
    assert shipped(pytester) == []


def test_last_failed_alone_is_not_complete(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    append(pytester, "\n    def test_mine(self, candidate):\n        assert os.path.exists('go')\n")
    run().assert_outcomes(passed=6, failed=1)
    (pytester.path / "go").touch()
    result = run("--lf", "--kycquant-export=ship")
    result.assert_outcomes(passed=1, deselected=6)
    assert shipped(pytester) == []
    run("--kycquant-export=ship").assert_outcomes(passed=7)
    assert shipped(pytester) == ["face.json", "face.onnx"]


def test_rule_about_the_golden_concerns_everything(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    append(pytester, "\n    def test_mine(self, golden):\n        assert golden.size < 9\n")
    result = run("--kycquant-export=ship")
    result.stdout.fnmatch_lines(
        [
            "fp32, int8 pass, but do not ship: test_gate.py::TestFace::test_mine failed",
            "ship: nothing: the variants that pass do not ship, see above",
        ]
    )
    assert shipped(pytester) == ["face.json"]
    assert json.loads((pytester.path / "ship" / "face.json").read_text())["files"] == {}


def in_process_of_its_own(
    pytester: pytest.Pytester, cache: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [*PYTEST, "-Wdefault", f"--kycquant-cache={cache}"]
    options = ["--kycquant-export=ship", *arguments]
    return subprocess.run([*command, *options], cwd=pytester.path, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("raise KeyboardInterrupt", ()),
        ("pytest.exit('enough')", ()),
        ("os._exit(1)", ("-n1", "--max-worker-restart=0")),
    ],
)
def test_run_that_ends_early(
    project: Project,
    pytester: pytest.Pytester,
    measured_cache: Path,
    body: str,
    arguments: tuple[str, ...],
) -> None:
    project()
    append(pytester, f"\n    def test_mine(self, candidate):\n        {body}\n")
    result = in_process_of_its_own(pytester, measured_cache, *arguments)
    assert result.returncode != 0
    assert "exported: nothing for face: 1 of 7 tests of this gate did not run" in result.stdout
    assert shipped(pytester) == []


def test_complete_run_under_xdist(
    project: Project, pytester: pytest.Pytester, measured_cache: Path
) -> None:
    project()
    result = in_process_of_its_own(pytester, measured_cache, "-n2")
    assert "ship: int8 (" in result.stdout, result.stdout
    assert shipped(pytester) == ["face.json", "face.onnx"]


@pytest.mark.parametrize("by", ["option", "PYTEST_ADDOPTS"])
def test_a_run_that_calls_no_test_clears_nothing(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    """With --setup-only fixtures judge, but the rules that use them are never asked."""
    project()
    append(pytester, FAILING["test"])
    if by == "PYTEST_ADDOPTS":
        monkeypatch.setenv(by, "--setup-only")
    result = run("--kycquant-export=ship", *(["--setup-only"] if by == "option" else []))
    result.stdout.fnmatch_lines(["ship: nothing yet: 7 of 7 tests of this gate did not run *"])
    assert shipped(pytester) == []


def test_a_crash_of_one_of_several_workers_that_run_everything(
    project: Project, pytester: pytest.Pytester
) -> None:
    project()
    append(
        pytester,
        """
    def test_mine(self, candidate):
        if os.environ["PYTEST_XDIST_WORKER"] == "gw1":
            os._exit(3)
""",
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--tx=2*popen",
        "--dist=each",
        "--kycquant-export=ship",
    ]
    done = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "int8 passes, but does not ship" in done.stdout
    assert "face.onnx" not in shipped(pytester)
