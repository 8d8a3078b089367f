"""A rule in the teardown of a fixture, whatever its scope, clears nothing if it fails.

pytest reports such an error on the test that ran last, which need not belong to the gate.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.population import Run
from tests.worlds.processes import PYTEST

Project = Callable[..., None]
FIXTURE = """
import pytest
@pytest.fixture(scope="{scope}")
def auditor():
    yield
    {rule}
"""
RULE = "\n    def test_a_rule(self, candidate, auditor):\n        pass\n"
FAILS = "assert False, 'rule broken'"


def append(pytester: pytest.Pytester, body: str, name: str = "test_gate.py") -> None:
    file = pytester.path / name
    file.write_text((file.read_text() if file.exists() else "") + body)


def assert_not_exported(pytester: pytest.Pytester, output: str) -> None:
    assert "exported: nothing for face" in output, output
    assert "ship: int8" not in output
    assert not list(pytester.path.glob("ship/*.onnx"))


@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
def test_fixture_of_the_gate(
    project: Project, run: Run, pytester: pytest.Pytester, scope: str
) -> None:
    project(precisions='"int8", "fp16"')
    append(pytester, FIXTURE.format(scope=scope, rule=FAILS), "conftest.py")
    append(pytester, RULE)
    result = run("--kycquant-export=ship")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert_not_exported(pytester, result.stdout.str())


@pytest.mark.parametrize(
    "body",
    [
        "\n    @classmethod\n    def teardown_class(cls):\n        assert False\n",
        "\n    def teardown_method(self):\n        assert False\n",
        "\ndef teardown_module():\n    assert False\n",
    ],
)
def test_xunit_style(project: Project, run: Run, pytester: pytest.Pytester, body: str) -> None:
    project(precisions='"int8", "fp16"')
    append(pytester, body)
    assert_not_exported(pytester, run("--kycquant-export=ship").stdout.str())


@pytest.mark.parametrize(
    ("rule", "mark", "status"),
    [
        (FAILS, "", pytest.ExitCode.TESTS_FAILED),
        (FAILS, "@pytest.mark.xfail", pytest.ExitCode.OK),
        ("pytest.skip('later')", "", pytest.ExitCode.OK),
        ("pytest.xfail('known')", "", pytest.ExitCode.OK),
    ],
)
@pytest.mark.parametrize("scope", ["module", "session"])
def test_error_is_shown_on_a_test_of_no_gate(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    scope: str,
    rule: str,
    mark: str,
    status: pytest.ExitCode,
) -> None:
    project()
    append(pytester, FIXTURE.format(scope=scope, rule=rule), "conftest.py")
    append(pytester, RULE)
    place = "test_gate.py" if scope == "module" else "test_z.py"
    append(pytester, f"\n\nimport pytest\n{mark}\ndef test_z():\n    pass\n", place)
    result = run("--kycquant-export=ship")
    assert result.ret == status, result.stdout.str()
    assert_not_exported(pytester, result.stdout.str())
    result.stdout.fnmatch_lines([f"ship: nothing yet: a teardown failed after {place}::test_z, *"])


def test_fixture_that_ends_where_the_next_parameter_begins(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Its error is that of the setup of the test that wants the other parameter."""
    project()
    append(
        pytester,
        """
import pytest
@pytest.fixture(scope="session", params=[1, 2])
def auditor(request):
    yield
    assert request.param == 2, "rule broken"
""",
        "conftest.py",
    )
    append(
        pytester,
        RULE.replace("def", '@pytest.mark.parametrize("auditor", [1], indirect=True)\n    def', 1),
    )
    gate = pytester.path / "test_gate.py"
    gate.write_text("import pytest\n" + gate.read_text())
    append(
        pytester,
        "import pytest\n@pytest.mark.parametrize('auditor', [2], indirect=True)\n"
        "def test_z(auditor): pass\n",
        "test_z.py",
    )
    result = run("--kycquant-export=ship")
    result.assert_outcomes(passed=7, errors=1)
    assert_not_exported(pytester, result.stdout.str())


def test_other_failures_do_not_matter(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    append(
        pytester,
        "import pytest\n"
        "@pytest.fixture\ndef database(): raise ConnectionError\n"
        "def test_y(database): pass\n"
        "def test_z(): assert False\n",
        "test_z.py",
    )
    result = run("--kycquant-export=ship")
    result.assert_outcomes(passed=6, failed=1, errors=1)
    result.stdout.fnmatch_lines(["exported: *ship/face.onnx (int8)"])


def test_with_workers(project: Project, pytester: pytest.Pytester, measured_cache: Path) -> None:
    project()
    append(pytester, FIXTURE.format(scope="session", rule=FAILS), "conftest.py")
    append(pytester, RULE)
    append(pytester, "".join(f"def test_{n}(): pass\n" for n in range(30)), "test_z.py")
    command = [*PYTEST, "-n2", f"--kycquant-cache={measured_cache}"]
    result = subprocess.run(
        [*command, "--kycquant-export=ship"], cwd=pytester.path, capture_output=True, text=True
    )
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert_not_exported(pytester, result.stdout)
