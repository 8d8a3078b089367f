"""Rewrites are chosen by measuring, unless a recipe forces or forbids them."""

import numpy as np
import pytest
from onnx import numpy_helper

from pytest_kycquant.errors import QuantizationError, SpecError
from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.plain import from_plain, plain
from pytest_kycquant.quantize import applicable, rewrite
from pytest_kycquant.quantize.rewrite_choice import (
    PAYS,
    RewriteChoice,
    _race,
    choose,
    resolve,
)
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.spec.runtime import REFERENCE
from tests.worlds.zoo import images, ready, tiny_embedder

pytestmark = pytest.mark.usefixtures("two_rewrites")


def latency(ratio, upper):
    return Latency(ratio, ratio - 0.01, upper, 1.0, 20, 1, 1, 1, 1, None)


def with_subnormals():
    proto = tiny_embedder()
    weight = proto.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] = 1e-39
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    return proto


@pytest.mark.parametrize(
    ("ratio", "upper", "names"),
    [(0.53, 0.55, ("prelu",)), (0.95, 0.96, ("prelu",)), (0.9, PAYS.value, ()), (1.1, 1.2, ())],
)
@pytest.mark.parametrize("integer", [False, True])
def test_what_pays_is_used(tmp_path, ratio, upper, names, integer):
    found = choose(
        ready(tmp_path), images(2), integer=integer, race=lambda a, b: latency(ratio, upper)
    )
    assert found.names == names
    verb = "rewritten" if names else "not rewritten"
    text = f"PReLU: {verb}, {ratio:.2f} [{ratio - 0.01:.2f}, {upper:.2f}] of the latency of FP32"
    assert found.describe() == f"{text}, measured here"
    assert from_plain(RewriteChoice, plain(found)) == found


def test_each_rewrite_has_to_pay_beside_the_others(tmp_path):
    races = []

    def race(before, after):
        races.append((set(before.parts), set(after.parts)))
        return latency(0.5, 0.52) if len(races) == 1 else latency(1.0, 1.01)

    found = choose(ready(tmp_path, with_subnormals()), images(2), race=race)
    assert found.names == ("subnormals",)
    assert races == [
        (set(), {"stem"}),
        ({"stem"}, {"stem", "stem_act", "depthwise_act"}),
    ]


def test_nothing_fits(tmp_path):
    proto = tiny_embedder()
    for node in proto.graph.node:
        if node.op_type == "PRelu":
            node.op_type = "Relu"
            del node.input[1]
    found = choose(ready(tmp_path, proto), images(1), race=None)
    assert found == RewriteChoice()
    assert found.describe() == ""


def test_what_is_not_exact_is_declined_and_not_measured(tmp_path):
    proto = tiny_embedder()
    slope = next(t for t in proto.graph.initializer if t.name == "s1")
    slope.CopyFrom(numpy_helper.from_array(np.full((8, 1, 1), -1e7, np.float32), "s1"))
    bias = next(t for t in proto.graph.initializer if t.name == "b1")
    bias.CopyFrom(numpy_helper.from_array(np.full(8, 100, np.float32), "b1"))  # all x > 0

    def race(before, after):
        raise AssertionError("measured")

    found = choose(ready(tmp_path, proto), images(2), race=race)
    assert found.names == ()
    assert "PReLU: not rewritten, output 'output' changed by" in found.describe()


def test_a_recipe_forces_and_forbids(tmp_path):
    prepared = ready(tmp_path)

    measured = RewriteChoice((), {"prelu": "not rewritten, 1.20 of the latency"})

    def resolved(rewrites):
        recipe = Recipe("int8", rewrites=rewrites)
        return resolve(measured, applicable(prepared), rewrites=recipe.rewrites)

    def names(rewrites):
        return resolved(rewrites).names

    assert names(None) == names(False) == names(()) == ()
    assert names(True) == names(("prelu",)) == names("prelu") == names(["prelu"]) == ("prelu",)
    assert resolved(True).describe() == "PReLU: rewritten, as the recipe says"
    with pytest.raises(QuantizationError, match="'subnormals', which does not apply"):
        rewrite(prepared, names("subnormals"), images(1))


def test_an_operator_that_is_to_be_quantized_stays(tmp_path):
    fitting = applicable(ready(tmp_path))
    found = resolve(None, fitting, rewrites=True, op_types=("Conv", "PRelu"))
    assert found.names == ()
    assert found.describe() == "PReLU: not rewritten, op_types quantizes it"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "int8", "rewrites": "prelus"}, "'prelus' is unknown"),
        ({"precision": "int8", "rewrites": 1}, "1 is not a sequence"),
        ({"precision": "fp32-optimized", "rewrites": False}, "has nothing to rewrite"),
        ({"precision": "fp32-optimized", "rewrites": ()}, "has nothing to rewrite"),
        ({"precision": "fp32-optimized", "keep_fp32": ("a",)}, "has no option 'keep_fp32'"),
        ({"precision": "fp32", "rewrites": True}, "has no option 'rewrites'"),
    ],
)
def test_impossible_recipes(values, message):
    with pytest.raises(SpecError, match=message):
        Recipe(**values)


def test_the_race_runs_both_models(tmp_path):
    prepared = ready(tmp_path)
    found = _race(prepared, rewrite(prepared, ("prelu",), images(1)), images(1)[0], REFERENCE)
    assert found.rounds == 20
    assert 0 < found.lower <= found.ratio <= found.upper
