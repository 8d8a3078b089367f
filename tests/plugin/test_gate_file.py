"""A gate file runs every gate for every precision, and the run ends with a table."""

from collections.abc import Callable

import pytest

from tests.worlds.population import Run


def test_every_gate_for_every_precision(project: Callable[..., None], run: Run) -> None:
    project(precisions='"fp16", "int8", "int8-dynamic"')
    result = run("-v")
    result.assert_outcomes(passed=18)
    gates = ("finite", "far", "frr", "degradation", "latency", "size")
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]{precision}[]] PASSED*"
        for gate in gates
        for precision in ("fp16", "int8", "int8-dynamic")
    )


def test_table(project: Callable[..., None], run: Run) -> None:
    project(precisions='"fp16", "int8"')
    result = run("-v")
    result.stdout.fnmatch_lines(
        [
            "collecting ... collected 12 items",
            "kycquant: onnxruntime *",
            "kycquant: fallback where gates allow it; undecided gates fail; cache *",
            "*= kycquant =*",
            "kycquant: PASS: face ships int8",
            "bounds are one-sided, 95 %; size and latency relative to FP32",
            "onnxruntime * U8S8 *",
            "artefacts: * built, * taken from the cache",
            "face, test_gate.py::TestFace",
            "looser than the defaults: latency_ratio 1000 (1.05), size_ratio 10 (0.75)",
            "variant * size * latency * FAR * FRR * cosine * verdict",
            "* < 10 * < 1000 * < 0.1 % * < 5 %",
            "fp32 * (1.00) * - * PASS",
            "fp16 * (0.50) * [[]*, *] * PASS",
            "int8 * (0.[23]?) * [[]*, *] * PASS",
            "recipe of int8: *",
            "ship: int8 (0.[23]? of the size of FP32, * of its latency)",
            "next: *",
        ]
    )


def test_selection_by_keyword(project: Callable[..., None], run: Run) -> None:
    project(precisions='"fp16", "int8"')
    run("-k", "far and int8").assert_outcomes(passed=1, deselected=11)


def test_own_rule(project: Callable[..., None], run: Run, pytester: pytest.Pytester) -> None:
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(
        gate.read_text()
        + """
    def test_my_own_rule(self, candidate, golden, quantize):
        assert candidate.size < 0.4 * golden.size
        assert candidate.variant == "int8"
        assert not candidate.fell_back
        mixed = quantize(Recipe("mixed", keep_fp32=("first",)))
        assert mixed.size > candidate.size
        assert golden.threshold > 0

    def test_my_failing_rule(self, candidate, golden):
        assert candidate.size < 0.1 * golden.size
"""
    )
    result = run("-k", "rule")
    result.assert_outcomes(passed=1, failed=1, deselected=6)
    result.stdout.fnmatch_lines(["E*assert*<*"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "Preprocess(size=(16, 16), mean=len)",
            "Preprocess.mean: <built-in function len> is not a number",
        ),
        ("Preprocess(size=16)", "Preprocess.size: 16 is not a sequence"),
        ("KycModel(5, Preprocess((16, 16)), FaceVerification('f'))", "KycModel.path: 5 is not a"),
        ("Recipe('int7')", "'int7' is unknown"),
        ("FaceLimits(far='x')", "FaceLimits.far: 'x' is not a number"),
    ],
)
def test_error_of_a_gate_file_shows_its_line_and_one_message(
    pytester: pytest.Pytester, line: str, message: str
) -> None:
    pytester.makepyfile(f"from pytest_kycquant import *\nGIVEN = {line}\n")
    result = pytester.runpytest_inprocess()
    shown = result.stdout.str()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert f":2: in <module>\n    GIVEN = {line}" in shown
    assert message in shown
    assert not any(word in shown for word in ("Traceback", "coerce.py", "TypeError", "During"))
