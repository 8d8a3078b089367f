import pytest

from pytest_kycquant.errors import SpecError
from pytest_kycquant.quantize import calibration_of, corrects_biases, equalizes
from pytest_kycquant.quantize.builder import resolve_options
from pytest_kycquant.spec.recipe import Recipe


@pytest.mark.parametrize(
    ("recipe", "saturates", "reduced", "reason"),
    [
        (Recipe("int8"), True, True, "reduce_range because U8S8 saturates"),
        (Recipe("int8"), False, False, "does not saturate on this CPU"),
        (Recipe("int8", activation_type="int8"), True, True, "because U8S8 saturates"),
        (Recipe("int8", per_channel=False), True, False, "lose more to 7 bits"),
        (Recipe("int8", activation_type="uint16"), True, False, "uint16 x int8 does not"),
        (Recipe("int8", weight_type="uint8"), True, False, "uint8 x uint8 does not"),
        (Recipe("int8", reduce_range=False), True, False, "as the recipe says"),
        (Recipe("int8", reduce_range=True), False, True, "as the recipe says"),
        (Recipe("int8-dynamic"), True, False, "uint8 x uint8 does not"),
    ],
)
def test_reduce_range_follows_the_cpu_and_the_types(recipe, saturates, reduced, reason):
    options = resolve_options(recipe, saturates)
    assert options["reduce_range"] is reduced
    assert reason in options["reason"]


def test_every_option_is_resolved():
    assert resolve_options(Recipe("int8"), False) == {
        "precision": "int8",
        "activation_type": "uint8",
        "weight_type": "int8",
        "per_channel": True,
        "reduce_range": False,
        "op_types": "all",
        "float_weights": "float32",
        "calibration_method": "mse",
        "percentile": None,
        "keep_fp32": "",
        "reason": "full range: U8S8 does not saturate on this CPU",
    }


@pytest.mark.parametrize(
    ("recipe", "needed"),
    [
        (Recipe("int8"), ("mse", None)),
        (Recipe("int8", activation_type="uint16"), ("minmax", None)),
        (Recipe("int8", calibration_method="percentile"), ("percentile", 99.99)),
        (Recipe("int8", calibration_method="percentile", percentile=99.0), ("percentile", 99.0)),
        (Recipe("mixed", keep_fp32=("first",), calibration_method="entropy"), ("entropy", None)),
        (Recipe("fp16"), ("minmax", None)),
        (Recipe("int8-dynamic"), None),
        (Recipe("fp32"), None),
    ],
)
def test_a_recipe_says_which_ranges_it_needs(recipe, needed):
    assert calibration_of(recipe) == needed


@pytest.mark.parametrize(
    ("recipe", "scaled", "corrected"),
    [
        (Recipe("int8"), True, True),
        (Recipe("mixed", keep_fp32=("first",)), True, True),
        (Recipe("int8", equalize=False), False, True),
        (Recipe("int8", bias_correction=False), True, False),
        (Recipe("int8", activation_type="uint16"), False, True),
        (Recipe("int8", activation_type="uint16", equalize=True), True, True),
        (Recipe("int8", per_channel=False), False, True),
        (Recipe("int8-dynamic"), False, False),
        (Recipe("fp16"), False, False),
        (Recipe("fp32"), False, False),
    ],
)
def test_a_recipe_says_which_accuracy_tools_it_uses(recipe, scaled, corrected):
    assert equalizes(recipe) is scaled
    assert corrects_biases(recipe) is corrected


@pytest.mark.parametrize("option", ["equalize", "bias_correction"])
def test_only_static_recipes_have_accuracy_tools(option):
    with pytest.raises(SpecError, match=f"has no option '{option}'"):
        Recipe("int8-dynamic", **{option: True})
    with pytest.raises(SpecError, match=f"Recipe.{option}.*'yes'"):
        Recipe("int8", **{option: "yes"})
