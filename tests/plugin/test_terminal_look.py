"""What the plugin prints at the end: its colour, its width, and the verdict of the run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.plugin.writing import LEAST_WIDTH
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

Project = Callable[..., None]
ANSI = re.compile(r"\x1b\[[0-9;]*m")
FAR = ("-k", "far", "-p", "no:cacheprovider")  # no time is measured, so that runs are equal


def section(result: pytest.RunResult) -> list[str]:
    """The lines between the heading and the next one, with their colours."""
    text = result.stdout.str().partition("= kycquant =")[2]
    return re.split(r"\n(?:\x1b\[[0-9;]*m)*=+", text)[0].splitlines()[1:]


def test_colour_says_nothing_that_words_do_not(
    project: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    project(fragile=True, precisions='"fp16", "int8-dynamic"', fallback=None)
    colourful, plain = section(run("--color=yes", *FAR)), section(run("--color=no", *FAR))
    assert any("\x1b[31mFAIL" in text for text in colourful)
    assert any("\x1b[32mPASS" in text for text in colourful)
    assert any("\x1b[1mship: " in text for text in colourful)
    assert not any(ANSI.search(text) for text in plain)
    assert [ANSI.sub("", text) for text in colourful] == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert section(run(*FAR)) == plain


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_no_line_is_longer_than_the_terminal(
    project: Project, run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("pytest_kycquant.plugin.candidate.LEAST_WIDTH", LEAST_WIDTH)
    project(fragile=True, precisions='"fp16", "int8-dynamic"', fallback=None)
    for options in ((), ("-v",)):
        shown = section(run(*options))
        assert shown[0].startswith("kycquant: FAIL")
        assert shown[-1].startswith("next: ")
        assert max(map(len, shown)) <= max(int(columns), 80)
        # The failures above are no longer, either.
        text = run(*options).stdout.str().partition("= FAILURES =")[2].partition("= short test")[0]
        wide = [line for line in text.splitlines() if len(line) > max(int(columns), 80)]
        assert wide == []


def test_workers_name_the_machine_at_the_end(project: Project, run: Run) -> None:
    """With pytest-xdist nothing has named it at the beginning."""
    project()
    single, workers = (section(run(*FAR, *more)) for more in ((), ("-n", "2")))
    machine = [text for text in workers if re.match(r"onnxruntime .* U8S8 ", text)]
    assert len(machine) == 1
    assert [text for text in workers if text not in machine] == single


def test_without_a_terminal_nothing_is_printed(project: Project, run: Run) -> None:
    project()
    result = run(*FAR, "-p", "no:terminal", "--kycquant-report=r.json")
    assert result.ret == 0
    assert "kycquant" not in result.stdout.str()
    assert Path("r.json").exists()


def test_a_rule_of_the_user_that_fails_is_a_failure(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """An undecided figure beside it does not make the run INCONCLUSIVE."""
    project(identities=110, limits="frr_degradation=0.005")
    run().stdout.fnmatch_lines(
        ["kycquant: INCONCLUSIVE: face int8 (degradation)", "next: judge as many people *"]
    )
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + "\n    def test_mine(self, candidate):\n        assert 0\n")
    for options in ((), ("-n", "2")):
        result = run(*options)
        result.assert_outcomes(passed=5, failed=2)
        result.stdout.fnmatch_lines(["kycquant: FAIL: *", "next: pytest --lf *"])


def test_goldens_that_are_missing_are_one_command(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    other = gate.read_text().replace("models/face.onnx", "models/other.onnx")
    (pytester.path / "test_other.py").write_text(other)
    model = pytester.path / "models"
    (model / "other.onnx").write_bytes((model / "face.onnx").read_bytes())
    result = run("test_gate.py", "test_other.py")
    stopped(result, 12, causes=2)
    shown = section(result)
    assert shown[0] == (
        "kycquant: ERROR: there is no golden baseline yet: golden/face.json, golden/other.json"
    )
    command = re.fullmatch(r"next: pytest (.*) records the 2 goldens that are missing", shown[1])
    assert len(shown) == 2
    assert command is not None
    run(*command[1].split()).assert_outcomes(passed=12)
    run().assert_outcomes(passed=12)


def test_a_teardown_that_fails_is_shown_beside_tests_that_are_not(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Only the repeated error is left out: what else goes wrong in such a test is an error."""
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    fixture = (
        "\n    @__import__('pytest').fixture(autouse=True)\n"
        "    def mess(self, request):\n        yield\n"
        "        assert 'test_size' not in request.node.name, 'left behind'\n"
    )
    gate.write_text(text + fixture)
    result = run("-p", "no:randomly")
    found = result.parseoutcomes()
    assert (found["errors"], found["unjudged"]) == (2, 5)
    result.stdout.fnmatch_lines(["*left behind*"])
