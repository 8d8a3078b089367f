"""Two graphs are equal up to the larger of two tolerances; the caller makes the errors."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import helper, numpy_helper

from pytest_kycquant.errors import KycquantError, ModelError, QuantizationError
from pytest_kycquant.quantize import PreparedModel, rewrites
from pytest_kycquant.quantize.equal import Errors, largest_difference
from pytest_kycquant.quantize.preparation import verify_equal
from pytest_kycquant.spec.recipe import REWRITES, Rewrite
from tests.worlds.zoo import build_model

SHAPE = (1, 4)
SMALL, LARGE = [[0.0, 0.25, -0.5, 0.0]], [[0.0, 1.0, -8.0, 2.0]]
PATH = Path("face.onnx")


class ToldError(KycquantError):
    """An error that the caller makes."""


def adds(offset, op="Add"):
    """A graph that adds a number to the input."""
    nodes = [helper.make_node(op, ["input", "offset"], ["output"], "add")]
    weights = {"offset": np.array([offset], np.float32)}
    return build_model(nodes, weights, shape=SHAPE, output=SHAPE)


def difference(before, after, array):
    def told(which):
        return lambda reason: ToldError(which, reason, "do something")

    return largest_difference(
        before,
        after,
        ("input",),
        [np.zeros(SHAPE, np.float32), np.array(array, np.float32)],
        relative=1e-3,
        absolute=1e-5,
        errors=Errors(told("before"), told("after"), told("changed")),
    )


def test_the_largest_difference_of_all_inputs_is_returned():
    assert difference(adds(1), adds(1), LARGE) == 0.0
    assert difference(adds(0), adds(9e-6), LARGE) == pytest.approx(9e-6, rel=1e-2)


@pytest.mark.parametrize(
    ("offset", "equal", "unequal"),
    [
        (0, 0.9e-5, 1.1e-5),  # the absolute tolerance
        (0.001, 0.9e-5, 1.1e-5),
        (1, 0.9e-3, 1.1e-3),  # a fraction of the largest output
        (-100, 0.09, 0.11),
    ],
)
def test_tolerance_is_the_larger_of_both(offset, equal, unequal):
    zeros = np.zeros(SHAPE)
    found = difference(adds(offset), adds(offset + equal), zeros)
    assert found == pytest.approx(equal, rel=1e-2)
    with pytest.raises(ToldError, match=rf"^changed: output 'output' changed by {unequal:.2g}"):
        difference(adds(offset), adds(offset + unequal), zeros)


@pytest.mark.parametrize("values", [(np.nan, 0), (0, np.nan), (np.inf, np.inf), (0, np.inf)])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_not_finite_is_not_equal(values):
    with pytest.raises(ToldError, match=r"output 'output' changed by (nan|inf)"):
        difference(adds(values[0]), adds(values[1]), SMALL)


def test_a_graph_that_does_not_run_is_told_with_its_reason():
    for graphs, where in (
        ((adds(0, "No"), adds(0)), "before"),
        ((adds(0), adds(0, "No")), "after"),
    ):
        with pytest.raises(ToldError, match=r"\bNo\b") as caught:
            difference(*graphs, SMALL)
        assert caught.value.where == where
        assert caught.value.__cause__ is not None


def prepared_difference(offset, array):
    inputs = [np.array(array, np.float32)]
    return verify_equal(PATH, ("input",), adds(0), adds(offset), inputs)


def rewritten_difference(offset, array, monkeypatch, op="Add"):
    """The difference that `rewrite` finds if a rewrite changes the offset."""

    def apply(graph, integer):
        new = numpy_helper.from_array(np.array([offset], np.float32), "offset")
        graph.initializer[0].CopyFrom(new)
        graph.node[0].op_type = op
        return rewrites.Edit({"add": ("add",)}, {})

    toy = ModuleType("toy_offsets")
    toy.apply = apply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_offsets", toy)
    monkeypatch.setitem(REWRITES, "prelu", Rewrite("offsets", "", "toy_offsets:apply"))
    prepared = PreparedModel(PATH, adds(0), ("input",), None, 0.0)
    return rewrites.rewrite(prepared, ("prelu",), [np.array(array, np.float32)]).max_difference


@pytest.mark.parametrize(
    ("array", "equal", "unequal"), [(SMALL, 0.9e-4, 1.1e-4), (LARGE, 7e-4, 9e-4)]
)
def test_tolerance_of_the_preparation(array, equal, unequal):
    """1e-4 of the largest output, or of 1 if all outputs are smaller."""
    assert prepared_difference(equal, array) == pytest.approx(equal, rel=1e-2)
    words = (
        r"face\.onnx: output 'output' changed by \S+ when the graph was prepared; "
        r"export the model with opset 17 or later and finite weights$"
    )
    with pytest.raises(QuantizationError, match=words):
        prepared_difference(unequal, array)


@pytest.mark.parametrize(
    ("array", "equal", "unequal"),
    [([[0.0] * 4], 0.9e-7, 1.1e-7), (SMALL, 4e-6, 6e-6), (LARGE, 7e-5, 9e-5)],
)
def test_tolerance_of_rewrites(monkeypatch, array, equal, unequal):
    """1e-5 of the largest output, at least 1e-7."""
    found = rewritten_difference(equal, array, monkeypatch)
    assert found == pytest.approx(equal, rel=2e-2)
    with pytest.raises(QuantizationError, match=r"changed by .* graph was rewritten; set rew"):
        rewritten_difference(unequal, array, monkeypatch)


def test_words_for_graphs_that_do_not_run(monkeypatch):
    inputs = [np.array(SMALL, np.float32)]
    with pytest.raises(ModelError, match=r"cannot run it \(.*; export the model for onnxruntime"):
        verify_equal(PATH, ("input",), adds(0, "No"), adds(0), inputs)
    with pytest.raises(QuantizationError, match=r"its prepared graph \(.*; export .* opset 17 or"):
        verify_equal(PATH, ("input",), adds(0), adds(0, "No"), inputs)
    with pytest.raises(QuantizationError, match=r"its rewritten graph \(.*; set rewrites=False"):
        rewritten_difference(0, SMALL, monkeypatch, "No")
