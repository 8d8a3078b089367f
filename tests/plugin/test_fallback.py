"""A gate that fails falls back visibly; strict turns that off; the class takes precedence."""

from collections.abc import Callable

import pytest

from tests.worlds.population import Run


@pytest.fixture
def fragile(project: Callable[..., None]) -> Callable[..., None]:
    """A project whose model breaks in INT8 unless two convolutions stay in FP32."""
    return lambda **options: project(fragile=True, **options)


def fallbacks(result: pytest.RunResult) -> int:
    return result.parseoutcomes().get("fallback", 0)


def test_mixed_precision_rescues(fragile: Callable[..., None], run: Run) -> None:
    fragile()
    result = run("-v")
    assert fallbacks(result) == 6
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*::test_far[[]int8[]] FALLBACK int8>mixed*",
            "int8 * FAIL *degradation*",
            "int8>mixed * PASS",
            "int8: FAIL 1st percentile of cosine to FP32 *",
            "fallback of int8: int8>mixed, which keeps 2 of 6 operators with weights in FP32",
            "int8>mixed keeps 2 of 6 operators with weights in FP32: third, second, which store "
            "their weights as float16; * % of the weights are quantized; 5 candidates in * s, "
            "minimal",
            "ship: int8>mixed *",
            "next: ship the fallback, or pytest --kycquant-strict *",
        ]
    )


def test_strict_fails(fragile: Callable[..., None], run: Run) -> None:
    fragile()
    result = run("--kycquant-strict")
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 2
    assert "fallback" not in outcomes
    result.stdout.fnmatch_lines(
        [
            "*test_degradation[[]int8[]]*",
            "face: int8 FAIL degradation",
            "FAIL mean cosine to FP32 = * must be at least 0.9900",
            "  660 images",
            "ship: fp32 (no quantized variant passes: keep FP32)",
        ]
    )


def test_fallback_to_stored_weights(project: Callable[..., None], run: Run) -> None:
    cut = 'Recipe("int8", name="cut", calibration_method="percentile", percentile=60)'
    project(precisions=cut, fallback="int8-weights")
    result = run()
    assert fallbacks(result) == 6
    result.stdout.fnmatch_lines(
        [
            "cut: FAIL *",
            "fallback of cut: int8-weights",
            "ship: int8-weights *",
        ]
    )


def test_weights_in_8_bits_are_gated_like_any_precision(
    fragile: Callable[..., None], run: Run
) -> None:
    fragile(precisions='"int8-weights", "int4-weights"', fallback=None)
    result = run()
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 2
    assert outcomes["passed"] + outcomes["failed"] == 12
    result.stdout.fnmatch_lines(
        ["int8-weights * FAIL *degradation*", "int4-weights * FAIL *degradation*"]
    )


def test_fallback_to_fp16(fragile: Callable[..., None], run: Run) -> None:
    fragile(fallback="fp16")
    result = run()
    assert fallbacks(result) == 6
    result.stdout.fnmatch_lines(["int8: FAIL *", "fallback of int8: fp16"])


def test_fallback_to_fp32(fragile: Callable[..., None], run: Run) -> None:
    fragile(fallback="fp32")
    result = run()
    assert fallbacks(result) == 6
    result.stdout.fnmatch_lines(
        [
            "int8: FAIL *",
            "fallback of int8: fp32",
            "ship: fp32 (no quantized variant passes: keep FP32)",
        ]
    )


def test_no_fallback_in_the_class(fragile: Callable[..., None], run: Run) -> None:
    fragile(fallback=None)
    result = run()
    assert result.parseoutcomes()["failed"] >= 2
    assert fallbacks(result) == 0


def test_class_attribute_beats_the_option(
    fragile: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    fragile()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text() + "    strict = False\n")
    assert fallbacks(run("--kycquant-strict")) == 6


def test_ini_twin(fragile: Callable[..., None], run: Run, pytester: pytest.Pytester) -> None:
    fragile()
    pytester.makeini("[pytest]\nkycquant_strict = true\n")
    assert run().parseoutcomes()["failed"] >= 2


def test_absolute_limits_bind_fp32_too(fragile: Callable[..., None], run: Run) -> None:
    """FP32 has 0.16 MB and so cannot meet a limit of 0.1 MB."""
    fragile(fallback="fp32", limits="size_mb=0.1")
    result = run()
    assert fallbacks(result) == 0
    assert result.parseoutcomes()["failed"] >= 2
    result.stdout.fnmatch_lines(
        ["fp32 * FAIL size", "ship: nothing: no variant passes, not even FP32"]
    )


def test_fallback_of_a_recipe_for_some_types(fragile: Callable[..., None], run: Run) -> None:
    """Operators that the recipe does not quantize are not candidates for FP32."""
    fragile(precisions='Recipe("int8", op_types=("Conv",), keep_fp32=("first",), equalize=False)')
    result = run()
    assert fallbacks(result) == 6
    result.stdout.fnmatch_lines(["fallback of int8: int8>mixed*"])


def test_missing_size_is_not_mended_by_more_fp32(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("size_ratio=10.0", "size_ratio=0.2"))
    result = run()
    assert fallbacks(result) == 6
    result.stdout.fnmatch_lines(["int8: FAIL size relative to FP32 *", "fallback of int8: fp32"])
    result.stdout.no_fnmatch_line("*mixed*")
