"""Detectors join boxes and scores in one output, which 8 bits of one scale cannot represent."""

from __future__ import annotations

import pytest

from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.quantize.litert_file import LiteRtFile, float_operators, not_float32
from pytest_kycquant.quantize.litert_layout import Layout, layout_of
from pytest_kycquant.quantize.litert_ranges import extremes
from pytest_kycquant.runtimes import library
from pytest_kycquant.spec.runtime import Runtime

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

import numpy as np

from tests.quantize.test_litert_ladder import images, made
from tests.worlds.litert import detector_content

SIDE = 320.0


def scores(content: bytes) -> np.ndarray:
    model = library(Runtime("litert")).open(content)
    found = [model.run({model.inputs[0]: image})[0] for image in images(8, seed=3)]
    return np.stack(found)[:, :, 4:]


def layout(scale: float = SIDE) -> tuple[Layout, dict[str, tuple[float, float]]]:
    content = detector_content(scale)
    feeds = ({"input": image} for image in images(8))
    return layout_of(content), extremes(content, feeds, "tiny")


def test_what_cannot_share_a_scale() -> None:
    found, bounds = layout()
    assert found.tail == ("low", "boxes", "high", "scores", "joined", "output")
    name, said = found.unlike(bounds)
    assert name == "joined"
    assert said.startswith("CONCATENATION 'joined' joins values in [0."), said
    assert found.unlike({}) == ("", "")


def test_what_can_share_one() -> None:
    found, bounds = layout(1.0)
    assert found.unlike(bounds) == ("", "")


def test_a_constant_that_is_joined_counts() -> None:
    content = detector_content(1.0, constant=1000.0)
    feeds = ({"input": image} for image in images(8))
    name, said = layout_of(content).unlike(extremes(content, feeds, "tiny"))
    assert name == "joined"
    assert "1e+03" in said
    assert made(content, "int8").resolved["integer_io"] == "not outputs"


def test_the_end_stays_in_float_and_the_scores_are_kept() -> None:
    content = detector_content(SIDE)
    found = made(content, "int8")
    wanted = scores(content)
    assert np.abs(scores(found.content) - wanted).max() < 0.05
    assert np.abs(scores(found.content) - wanted).mean() < 0.2 * wanted.std()
    assert found.resolved["integer_io"] == "not outputs"
    assert found.quantized.keys() == {"CONV_2D", "FULLY_CONNECTED", "RESHAPE"}
    (note,) = found.notes
    assert note.startswith("CONCATENATION 'joined' joins values in [0.")
    assert note.endswith(", so the 6 operators after the last weights are in float")


def test_one_scale_all_the_same_is_said() -> None:
    """Whoever insists on integers gets them, and what is wrong with them."""
    for options in ({"integer_io": True}, {"float_fallback": False}):
        found = made(detector_content(SIDE), "int8", **options)
        assert float_operators(LiteRtFile(found.content)) == ()
        assert np.ptp(scores(found.content)) < 0.01  # all are 0
        (note,) = found.notes
        assert note.endswith("in one scale of 8 bits: give the model an output for each")


def test_16_bits_are_enough() -> None:
    found = made(detector_content(SIDE), "int16x8")
    assert (found.resolved["integer_io"], found.notes) == (True, ())


def test_what_is_alike_stays_integer() -> None:
    found = made(detector_content(1.0), "int8")
    assert (found.resolved["integer_io"], found.notes) == (True, ())
    assert "CONCATENATION" in found.quantized


def test_mixed_keeps_the_end_in_float_too() -> None:
    found = made(detector_content(SIDE), "mixed", keep_fp32=("first",))
    content = detector_content(SIDE)
    assert not_float32(LiteRtFile(found.content))
    assert np.abs(scores(found.content) - scores(content)).max() < 0.05
    assert any("joins values in" in note for note in found.notes)


def test_what_the_user_keeps_needs_no_note() -> None:
    content = detector_content(SIDE)
    found = made(content, "mixed", keep_fp32=("CONCATENATION",), integer_io=False)
    assert np.abs(scores(found.content) - scores(content)).max() < 0.05
    found = made(content, "mixed", keep_fp32=("CONCATENATION", "first"), integer_io=True)
    assert not any("in one scale" in note for note in found.notes)


@pytest.mark.parametrize("name", ["", "scores"])
@pytest.mark.parametrize("precision", ["int8", "int8-weights", "mixed"])
def test_tensors_that_names_do_not_tell_apart(name: str, precision: str) -> None:
    """litert-quantizer knows tensors by name: it would quantize one for the other."""
    options = {"keep_fp32": ("first",)} if precision == "mixed" else {}
    with pytest.raises(QuantizationError, match=r"tensors of its float \.tflite file are called '"):
        made(detector_content(SIDE, boxes=name), precision, **options)
