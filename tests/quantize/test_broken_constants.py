"""A NaN or Inf among the constants of a model, which integer kernels would hide."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import GraphProto, helper, numpy_helper

from pytest_kycquant.quantize import broken_constants


def graph(**constants: np.ndarray) -> GraphProto:
    node = helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"], "read")
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    return helper.make_graph([node], "constants", [], [], tensors)


def test_sound_constants() -> None:
    # The bound of a Clip may be infinite, and integers are always finite.
    found = graph(
        weight=np.ones(3, np.float32), bound=np.float32(np.inf), q=np.ones(3, np.int8),
        scale=np.float32(0.1),
    )  # fmt: skip
    assert broken_constants(found) == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_broken_constants(value: float, kind: type) -> None:
    weight = np.array([1, value, 2], kind)
    assert broken_constants(graph(sound=np.ones(2, kind), weight=weight)) == ("weight",)


def test_a_scale_is_no_bound() -> None:
    assert broken_constants(graph(scale=np.float32(np.inf))) == ("scale",)


def test_scales_of_integer_operators() -> None:
    found = graph(scale=np.float32(1.0), other=np.float32(np.inf))
    node = helper.make_node("QLinearAdd", ["a", "other", "z", "b", "scale", "z"], ["c"])
    found.node.append(node)
    assert broken_constants(found) == ("other",)


def test_constants_that_are_operators() -> None:
    broken = numpy_helper.from_array(np.array([np.nan], np.float32))
    found = graph(scale=np.float32(0.1))
    found.node.append(helper.make_node("Constant", [], ["weight"], "stored", value=broken))
    assert broken_constants(found) == ("weight",)


def test_an_operator_without_outputs() -> None:
    """Only a damaged file has one; the search for NaN must not crash on it."""
    broken = numpy_helper.from_array(np.array([np.nan], np.float32))
    found = graph()
    found.node.append(helper.make_node("Constant", [], [], "stored", value=broken))
    assert broken_constants(found) == ("stored",)


def test_constants_of_branches() -> None:
    inner = graph(scale=np.float32(np.inf))
    found = graph(scale_of_all=np.float32(0.1))
    sound = helper.make_graph([], "sound", [], [])
    found.node.append(
        helper.make_node("If", ["which"], ["y"], then_branch=inner, else_branch=sound)
    )
    assert broken_constants(found) == ("scale",)
