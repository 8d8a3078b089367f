"""A gate that cannot decide fails by default, and says how much data would decide."""

from collections.abc import Callable

import pytest

from tests.worlds.population import Run

# Too few to have met everybody whose FRR may rise by half a point.
FEW = {"identities": 110, "limits": "frr_degradation=0.005"}


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        ([], {"failed": 1, "passed": 5}),
        (["--kycquant-inconclusive=fail"], {"failed": 1, "passed": 5}),
        (["--kycquant-inconclusive=warn"], {"passed": 6, "warnings": 1}),
        (["--kycquant-inconclusive=xfail"], {"xfailed": 1, "passed": 5}),
    ],
)
def test_policy(
    project: Callable[..., None], run: Run, arguments: list[str], outcomes: dict[str, int]
) -> None:
    project(**FEW)
    result = run(*arguments)
    result.assert_outcomes(**outcomes)
    assert "fallback" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(
        [
            "kycquant: *",
            "int8: INCONCLUSIVE increase of FRR over FP32 0 % [[]*], limit < 0.5 %: about 199 "
            "identities would decide, if the rates stay the same",
            "int8: no fallback was tried, because this data cannot decide even for FP32 compared "
            "with itself",
        ]
    )


def test_class_attribute_beats_the_option(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(**FEW)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + '    inconclusive = "xfail"\n')
    run("--kycquant-inconclusive=fail").assert_outcomes(xfailed=1, passed=5)
