"""The accuracy tools of static INT8 in gates: options of a recipe, and lines of the report."""

from collections.abc import Callable

import pytest

from tests.worlds.population import FUNCTION, Run

SWITCHES = (
    FUNCTION
    + """SWITCHES = [
    {},
    {"equalize": False},
    {"bias_correction": False},
    {"equalize": False, "bias_correction": False},
]

@pytest.mark.kycquant(model=MODEL, precisions=("int8",), limits=LIMITS)
def test_switches(quantize):
    made = [quantize(Recipe("int8", **options)) for options in SWITCHES]
    assert len({variant.sha256 for variant in made}) == len(made)
    for variant, options in zip(made, SWITCHES):
        for option in ("equalize", "bias_correction"):
            assert variant.resolved[option] is options.get(option, True)
        assert ("channels equalized" in variant.resolved["reason"]) is options.get("equalize", True)
    mixed = quantize(Recipe("mixed", keep_fp32=("first",)))
    assert mixed.resolved["biases_corrected"] == made[0].resolved["biases_corrected"] - 1
"""
)


def test_each_tool_is_a_switch(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(SWITCHES)
    run().assert_outcomes(passed=1)


def test_the_report_says_what_was_done(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    result = run("-v", "-k", "test_size")
    result.stdout.fnmatch_lines(["*int8*: *; * channels equalized; * biases corrected*"])
