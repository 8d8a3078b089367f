"""The precisions of LiteRT on a tiny model: what each changes, and what it says about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError, QuantizationError, SpecError
from pytest_kycquant.quantize.litert_bias import corrected
from pytest_kycquant.quantize.litert_file import (
    LiteRtFile,
    broken_values,
    float_operators,
    not_float32,
    quantized_counts,
)
from pytest_kycquant.quantize.litert_ladder import Made, Rung, Task, spread
from pytest_kycquant.quantize.litert_ranges import extremes, histograms, least_error
from pytest_kycquant.quantize.recipe_kind import kind_of
from pytest_kycquant.runtimes import library
from pytest_kycquant.spec.precision import LADDERS
from pytest_kycquant.spec.recipe import RECIPES, Recipe, as_recipe, runtimes_of
from pytest_kycquant.spec.runtime import RUNTIMES, Runtime

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

from tests.worlds.litert import SIDE, embedder_content

HERE = Runtime("litert")
FLOAT = embedder_content()


def images(count: int, seed: int = 1) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 1, SIDE, SIDE, 3)).clip(-1, 1).astype(np.float32)


def made(content: bytes, precision: str, count: int = 24, **options: Any) -> Made:
    recipe, given = Recipe(precision, runtime="litert", **options), images(max(count, 1))

    def feeds(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        names = library(HERE).open(content).inputs
        return ({names[0]: given[at]} for at in numbers)

    kind = kind_of(recipe)
    assert isinstance(kind, Rung)
    return kind.build(Task("tiny", content, recipe, count, feeds))


def cosine(content: bytes, reference: bytes = FLOAT) -> float:
    """Smallest cosine to the float file on other images."""
    found = []
    for each in (content, reference):
        model = library(HERE).open(each)
        outputs = [model.run({model.inputs[0]: image})[0].ravel() for image in images(16, seed=9)]
        found.append(np.stack([each / np.linalg.norm(each) for each in outputs]))
    return float((found[0] * found[1]).sum(1).min())


EXPECTED = {
    "fp32": (0.999999, {}),
    "fp16": (0.99999, {"CONV_2D": 1, "FULLY_CONNECTED": 1}),
    "int8": (0.99, {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}),
    "int16x8": (0.999, {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}),
    "int8-dynamic": (0.995, {"CONV_2D": 1, "FULLY_CONNECTED": 1}),
    "int8-weights": (0.999, {"CONV_2D": 1, "FULLY_CONNECTED": 1}),
    "int4-weights": (0.95, {"CONV_2D": 1, "FULLY_CONNECTED": 1}),
}


@pytest.mark.parametrize("precision", EXPECTED)
def test_every_precision(precision: str) -> None:
    least, counts = EXPECTED[precision]
    found = made(FLOAT, precision)
    assert found.quantized == counts
    assert cosine(found.content) > least
    assert found.resolved["precision"] == precision
    assert found.notes == ()
    if precision != "fp32":
        assert str(found.resolved["quantizer"]).startswith("litert-quantizer 0.")
        assert len(found.content) < len(FLOAT)


@pytest.mark.parametrize("precision", EXPECTED)
def test_the_same_file_every_time(precision: str) -> None:
    assert made(FLOAT, precision).content == made(FLOAT, precision).content


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("integer_io", [None, True, False])
def test_inputs_and_outputs(precision: str, integer_io: bool | None) -> None:
    from ai_edge_litert.interpreter import Interpreter

    found = made(FLOAT, precision, integer_io=integer_io)
    interpreter = Interpreter(model_content=found.content)
    kinds = {
        np.dtype(each["dtype"]).kind
        for each in (*interpreter.get_input_details(), *interpreter.get_output_details())
    }
    assert kinds == ({"f"} if integer_io is False else {"i"})
    assert found.resolved["integer_io"] is (integer_io is not False)
    # Callers see floats in both cases.
    assert {port.dtype for port in library(HERE).open(found.content).input_ports} == {"float32"}


def test_operators_that_stay_in_float() -> None:
    content = embedder_content(prelu=True)
    found = made(content, "int8")
    assert found.notes == ("compute in floating point: 1 PRELU",)
    assert "PRELU" not in found.quantized
    with pytest.raises(QuantizationError, match=r"1 operators have no integer form .*: b \(PRELU"):
        made(content, "int8", float_fallback=False)


@pytest.mark.parametrize("integer_io", [True, False])
def test_all_operators_are_integer(integer_io: bool) -> None:
    found = made(FLOAT, "int8", float_fallback=False, integer_io=integer_io)
    assert float_operators(LiteRtFile(found.content)) == ()
    assert found.resolved["float_fallback"] is False


def test_weights_need_no_images() -> None:
    found = made(FLOAT, "int8-weights", count=0)
    assert found.resolved["bias_correction"] is False
    assert cosine(found.content) > 0.995


def test_biases_are_corrected_only_if_that_helps() -> None:
    plain = made(FLOAT, "int4-weights", count=0)
    feeds = [{"input": image} for image in images(16)]
    better, changed = corrected(FLOAT, plain.content, feeds, "tiny")
    assert changed == 2
    assert cosine(better) > cosine(plain.content)
    same, none = corrected(FLOAT, FLOAT, feeds, "tiny")
    assert (same, none) == (FLOAT, 0)


def test_extremes_of_all_images_and_their_histograms() -> None:
    given = [{"input": image} for image in images(8)]
    given[3] = {"input": given[3]["input"].copy()}
    given[3]["input"][0, 0, 0, 0] = 40
    bounds = extremes(FLOAT, given, "tiny")
    assert bounds["input"] == (-1, 40)
    assert bounds["b"][0] == 0  # behind Relu
    counts = histograms(FLOAT, given, bounds, "tiny")
    assert counts["input"].sum() == 8 * SIDE * SIDE * 3
    assert counts["input"][-1] == 1


def test_outliers_are_clipped_where_that_costs_less() -> None:
    counts = np.zeros(2048)
    counts[:600], counts[-1] = 1e5, 1
    bounds = {"inner": (0.0, 10.0), "output": (0.0, 10.0), "still": (3.0, 3.0)}
    found = least_error(bounds, {"inner": counts, "output": counts}, ["output"])
    assert found["inner"][0] == 0
    assert 2.9 < found["inner"][1] < 3.3
    assert found["output"] == (0, 10)
    assert found["still"] == (3, 3)


def test_images_are_not_held() -> None:
    """Calibration asks for one image at a time."""
    alive: list[int] = []

    def feeds(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        for at in numbers:
            alive.append(at)
            yield {"input": images(1, seed=at)[0]}

    recipe = Recipe("int8", runtime="litert")
    kind = kind_of(recipe)
    assert isinstance(kind, Rung)
    kind.build(Task("tiny", FLOAT, recipe, 100, feeds))
    assert alive[:100] == list(range(100))
    assert len(alive) <= 100 + 64 + 3 * 32


def test_spread() -> None:
    assert spread(0, 5) == []
    assert spread(3, 5) == [0, 1, 2]
    assert spread(100, 3) == [0, 49, 99]


def test_a_model_with_nothing_to_quantize() -> None:
    from tests.worlds.litert import add

    recipe = Recipe("int8-weights", runtime="litert")
    kind, task = kind_of(recipe), Task("add", add(), recipe, 0, lambda _: [])
    assert isinstance(kind, Rung)
    with pytest.raises(QuantizationError, match="left every operator as it is"):
        kind.build(task)


@pytest.mark.parametrize("precision", ["int8", "int16x8", "int8-dynamic"])
def test_products_with_a_matrix_have_one_scale(precision: str) -> None:
    """LiteRT's integer kernel would take that of the first column for all."""
    from ai_edge_litert import schema_py_generated as s

    from tests.worlds.litert import Op, T, file

    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(48, 8)) * np.logspace(-1, 1, 8)).astype(np.float32)
    operator = Op(
        s.BuiltinOperator.BATCH_MATMUL, (0, 1), (2,), s.BatchMatMulOptionsT(),
        s.BuiltinOptions.BatchMatMulOptions,
    )  # fmt: skip
    tensors = [T("input", (1, 48)), T("matrix", (48, 8), data=matrix), T("y", (1, 8))]
    content = file(tensors, [operator], [0], [2], ["serving_default"])
    given = rng.normal(size=(24, 1, 48)).astype(np.float32)
    recipe = Recipe(precision, runtime="litert")
    kind = kind_of(recipe)
    assert isinstance(kind, Rung)
    task = Task("matrix", content, recipe, 24, lambda numbers: ({"in0": given[k]} for k in numbers))
    model, reference = (library(HERE).open(each) for each in (kind.build(task).content, content))
    for row in given[:4]:
        (found,), (expected,) = model.run({"in0": row}), reference.run({"in0": row})
        # Its weights have eight bits for columns of very different size.
        assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_broken_values_are_found() -> None:
    assert broken_values(LiteRtFile(FLOAT)) == ()
    assert broken_values(LiteRtFile(embedder_content(broken=True))) == ("last.w",)
    found = LiteRtFile(made(FLOAT, "int8").content)
    assert broken_values(found) == ()


def test_what_a_file_is() -> None:
    assert not_float32(LiteRtFile(FLOAT)) == ""
    assert "int8" in not_float32(LiteRtFile(made(FLOAT, "int8-weights").content))
    assert "float16" in not_float32(LiteRtFile(made(FLOAT, "fp16").content))
    assert quantized_counts(LiteRtFile(FLOAT)) == {}


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(ModelError, match=r"^m\.tflite: its structure cannot be read"):
        LiteRtFile(b"\xff" * 40, "m.tflite")


def test_options_that_it_does_not_have() -> None:
    with pytest.raises(SpecError) as raised:
        Recipe("int8", runtime="litert", keep_fp32=("first",))
    assert str(raised.value) == (
        "Recipe('int8'): has no option 'keep_fp32' on litert; its options are integer_io, "
        "float_fallback"
    )
    with pytest.raises(SpecError, match=r"'int8-weights'.*no option 'integer_io' on litert"):
        Recipe("int8-weights", runtime="litert", integer_io=False)
    with pytest.raises(SpecError, match="no option 'float_fallback'; its options"):
        Recipe("int8", float_fallback=False)


@pytest.mark.parametrize("precision", ["fp32-optimized", "bf16"])
def test_precisions_that_it_does_not_have(precision: str) -> None:
    with pytest.raises(SpecError, match="does not run on litert; give runtime="):
        Recipe(precision, runtime="litert")


def test_int16x8_runs_on_litert_only() -> None:
    assert runtimes_of("int16x8") == ("litert",)
    with pytest.raises(SpecError, match="does not run on onnxruntime; give runtime='litert'"):
        as_recipe("int16x8")


def test_every_line_of_a_ladder() -> None:
    for runtime, ladder in LADDERS.items():
        assert runtime in RUNTIMES
        for precision, line in ladder.items():
            assert precision in RECIPES
            kept = {"keep_fp32": ("first",)} if precision == "mixed" else {}
            assert isinstance(kind_of(Recipe(precision, runtime=runtime, **kept)), Rung)
            assert set(line.options) <= set(Recipe.__dataclass_fields__)
