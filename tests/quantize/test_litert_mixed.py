"""Mixed precision for LiteRT: what stays in float, and that candidates share one calibration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from pytest_kycquant.errors import QuantizationError, SpecError
from pytest_kycquant.quantize.litert_file import LiteRtFile
from pytest_kycquant.quantize.litert_ladder import Calibration, Made, Rung, Task
from pytest_kycquant.quantize.litert_layout import integer_operators, layout_of
from pytest_kycquant.quantize.recipe_kind import kind_of
from pytest_kycquant.runtimes import library
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.spec.runtime import Runtime
from tests.worlds.population import people

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

from tests.worlds.litert_fragile import CONVOLUTIONS, fragile_content

CONTENT = fragile_content()
IMAGES = (people(40, 1, seed=1)[0].astype(np.float32) - 127.5) / 127.5
INT8 = Recipe("int8", runtime="litert")
ALL = {"CONV_2D": 5, "FULLY_CONNECTED": 1, "MAXIMUM": 2, "MUL": 2, "RESHAPE": 1}


def task(recipe: Recipe, calibration: Calibration | None = None) -> Task:
    def feeds(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        assert calibration is None, "a candidate needs no images"
        return ({"input": IMAGES[at][None]} for at in numbers)

    return Task("tiny", CONTENT, recipe, len(IMAGES), feeds, calibration)


@pytest.fixture(scope="module")
def rung() -> Rung:
    found = kind_of(INT8)
    assert isinstance(found, Rung)
    return found


@pytest.fixture(scope="module")
def calibration(rung: Rung) -> Calibration:
    return rung.calibrate(task(INT8))


def mixed(calibration: Calibration, *keep: str, **options: Any) -> Made:
    recipe = Recipe("mixed", runtime="litert", keep_fp32=keep, **options)
    kind = kind_of(recipe)
    assert isinstance(kind, Rung)
    return kind.build(task(recipe, calibration))


def cosine(content: bytes) -> float:
    """Mean cosine to the float file."""
    found = []
    for each in (content, CONTENT):
        model = library(Runtime("litert")).open(each)
        outputs = [model.run({model.inputs[0]: image[None]})[0].ravel() for image in IMAGES[:16]]
        found.append(np.stack([each / np.linalg.norm(each) for each in outputs]))
    return float((found[0] * found[1]).sum(1).mean())


def integer(made: Made) -> set[str]:
    return set(integer_operators(LiteRtFile(made.content).graphs[0]))


def test_it_repairs_what_int8_breaks(rung: Rung, calibration: Calibration) -> None:
    assert cosine(rung.build(task(INT8)).content) < 0.5
    found = mixed(calibration, "second", "third")
    assert cosine(found.content) > 0.999
    assert found.quantized == ALL | {"CONV_2D": 3}
    assert integer(found) == set(calibration.integer) - {"second", "third"}
    assert found.notes == ()  # what was asked for needs no note
    assert found.resolved["keep_fp32"] == "second, third"
    assert found.resolved["biases_corrected"] == 4
    assert found.content == mixed(calibration, "third", "second").content


def test_blocks_and_their_harm(rung: Rung, calibration: Calibration) -> None:
    layout = layout_of(CONTENT)
    blocks = layout.blocks(calibration.integer, ())
    assert [block.names for block in blocks] == [
        ("first", "prelu.mul", "prelu.max"),
        ("second",),
        ("third", "prelu2.mul", "prelu2.max"),
        ("fourth",),
        ("fifth",),
        ("output",),
    ]
    assert [block.names[0] for block in layout.blocks(calibration.integer, ("fifth",))] == [
        *CONVOLUTIONS[:4],
        "output",
    ]
    assert layout.postprocessing(calibration.integer) == ()
    harms = {}
    for block in blocks:
        content = rung.only(task(INT8, calibration), calibration, block.names)
        harms[block.names[0]] = 1 - cosine(content)
        alone = integer_operators(LiteRtFile(content).graphs[0])
        assert set(alone) == set(block.names)
    worst = sorted(harms, key=lambda name: -harms[name])
    assert set(worst[:2]) == {"second", "third"}
    assert harms[worst[2]] < 0.001 < 0.1 < harms[worst[1]]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("secnd", r"'secnd', which is not an operator of the \.tflite file; did you mean 'second'"),
        ("CONV2D", r"did you mean 'CONV_2D'"),
        ("Conv", r"which is not an operator of the \.tflite file"),
    ],
)
def test_unknown_names(calibration: Calibration, entry: str, message: str) -> None:
    with pytest.raises(QuantizationError, match=message):
        mixed(calibration, entry)


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("first", {"first"}),
        ("last", {"output"}),
        ("FULLY_CONNECTED", {"output"}),
        ("CONV_2D", {*CONVOLUTIONS, "flat"}),  # which would only round what `fifth` computes
        ("prelu.mul", {"prelu.mul"}),
    ],
)
def test_names_and_types(calibration: Calibration, entry: str, kept: set[str]) -> None:
    assert integer(mixed(calibration, entry)) == set(calibration.integer) - kept


def test_first_is_also_the_name_of_an_operator_here() -> None:
    layout = layout_of(CONTENT)
    assert layout.resolve(["last", "MAXIMUM"], "tiny") == ("prelu.max", "prelu2.max", "output")


def test_nothing_kept_and_everything_kept(calibration: Calibration) -> None:
    with pytest.raises(SpecError, match="keep_fp32 is empty"):
        Recipe("mixed", runtime="litert")
    with pytest.raises(QuantizationError, match="nothing in the model was quantized"):
        mixed(calibration, *layout_of(CONTENT).kinds)


def test_options(calibration: Calibration) -> None:
    with pytest.raises(SpecError, match="keeps operators in floating point"):
        Recipe("mixed", runtime="litert", keep_fp32=("last",), float_fallback=False)
    with pytest.raises(SpecError, match="no option 'op_types' on litert"):
        Recipe("mixed", runtime="litert", keep_fp32=("last",), op_types=("CONV_2D",))


@pytest.mark.parametrize(
    ("keep", "integer_io", "kinds"),
    [
        ("third", None, "ii"),
        ("third", False, "ff"),
        ("first", None, "fi"),
        ("first", True, "ii"),
        ("last", None, "if"),
        ("last", True, "ii"),
    ],
)
def test_ends_of_operators_in_float_stay_float(
    calibration: Calibration, keep: str, integer_io: bool | None, kinds: str
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    found = mixed(calibration, keep, integer_io=integer_io)
    interpreter = Interpreter(model_content=found.content)
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert "".join(np.dtype(each["dtype"]).kind for each in ends) == kinds
    said = {"ii": True, "ff": False, "fi": "not inputs", "if": "not outputs"}
    assert found.resolved["integer_io"] == said[kinds]


def test_weights_in_fewer_bits(calibration: Calibration) -> None:
    made = {
        stored: mixed(calibration, "last", float_weights=stored)
        for stored in (None, "float32", "float16", "int8")
    }
    assert made[None].content == made["float32"].content
    sizes = {stored: len(each.content) for stored, each in made.items()}
    assert sizes["float32"] > 1.5 * sizes["float16"] > 2.5 * sizes["int8"]
    for stored in ("float16", "int8"):
        assert made[stored].quantized == ALL
        assert integer(made[stored]) == set(calibration.integer) - {"output"}


def test_large_files_are_written_at_once() -> None:
    """Byte by byte, this one would take more than ten seconds."""
    from tests.worlds.litert import T, file

    data = np.zeros(4_000_000, np.float32)
    content = LiteRtFile(file([T("w", data.shape, data=data)], [], [], [])).content()
    began = time.process_time()
    again = LiteRtFile(content).content()
    assert time.process_time() - began < 5
    assert len(again) == len(content)


def test_what_only_moves_values_of_float_operators_stays_in_float() -> None:
    """Padding of the input before a convolution in float, and a sum behind it."""
    from ai_edge_litert import schema_py_generated as s

    from tests.worlds.litert import Op, T, file

    codes, kinds, options = s.BuiltinOperator, s.BuiltinOptions, s.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = 1, 1, 1
    tensors = [
        T("input", (1, 4, 4, 3)),
        T("pads", (4, 2), "int32", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)),
        T("padded", (1, 6, 6, 3)),
        T("w", (3, 3, 3, 3), data=np.ones((3, 3, 3, 3), np.float32)),
        T("bias", (3,), data=np.zeros(3, np.float32)),
        T("a", (1, 4, 4, 3)),
        T("b", (1, 4, 4, 3)),
        T("sum", (1, 4, 4, 3)),
    ]
    operators = [
        Op(codes.PAD, (0, 1), (2,), s.PadOptionsT(), kinds.PadOptions),
        Op(codes.CONV_2D, (2, 3, 4), (5,), options, kinds.Conv2DOptions),
        Op(codes.LOGISTIC, (0,), (6,)),
        Op(codes.ADD, (5, 6), (7,), s.AddOptionsT(), kinds.AddOptions),
    ]
    layout = layout_of(file(tensors, operators, [0], [7]))
    assert layout.with_followers(["a"]) == ("padded", "a", "sum")
    assert layout.with_followers(["b"]) == ("b", "sum")
    assert layout.float_ends(["a"]) == (False, False)
    assert layout.float_ends(["padded", "a", "sum"]) == (True, True)
    assert layout.postprocessing(["padded", "a", "b", "sum"]) == ("b", "sum")
