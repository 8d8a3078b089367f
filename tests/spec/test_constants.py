"""Values of inputs that never change, as a gate file gives them."""

import numpy as np
import pytest

from pytest_kycquant import FaceVerification, KycModel, Preprocess
from pytest_kycquant.errors import SpecError

FACE = Preprocess(size=(8, 8))


def model(constants):
    return KycModel("m.onnx", FACE, FaceVerification("faces"), constants=constants)


def test_values_become_plain_ones_in_the_order_of_their_names():
    given = {"b": np.array([1, 2]), "a": np.bool_(False), "c": [[0.5]]}
    assert list(model(given).constants.items()) == [("a", False), ("b", [1, 2]), ("c", [[0.5]])]
    assert KycModel("m.onnx", FACE, FaceVerification("faces")).constants == {}


def test_models_with_other_constants_differ_and_can_be_hashed():
    one, other = model({"phase": False}), model({"phase": True})
    assert one != other
    assert one == model({"phase": np.array(False)})
    assert hash(one) == hash(model({"phase": False}))


@pytest.mark.parametrize(
    ("constants", "match"),
    [
        ([("phase", False)], r"KycModel\.constants: \[\('phase', False\)\] is not a mapping"),
        (None, "is not a mapping"),
        ({1: False}, "1 is not a name"),
        ({"": False}, "'' is not a name"),
        ({"phase": "no"}, r"constants\['phase'\]: 'no' is not a boolean or number"),
        ({"phase": None}, "is not a boolean or number"),
        ({"phase": []}, "is not a boolean or number"),
        ({"phase": [1, [2]]}, "is not an array"),
        ({"phase": {"a": 1}}, "is not an array"),
        ({"phase": 1j}, "is not a boolean or number"),
        ({"phase": float("inf")}, "is not finite"),
        ({"phase": [1.0, float("nan")]}, "is not finite"),
        ({"phase": np.ma.masked_array([1.0], [True])}, "is not a boolean or number"),
        ({"phase": np.zeros(1 << 17)}, "hold more than 65,536 numbers"),
    ],
)
def test_what_is_no_value_is_refused(constants, match):
    with pytest.raises(SpecError, match=match):
        model(constants)
