"""What a gate file says about several arrays of images, or about none."""

import pytest

from pytest_kycquant import CustomTask, FaceVerification, KycModel, Preprocess
from pytest_kycquant.errors import SpecError

SPEC = Preprocess(size=(8, 8))


def metric(outputs, labels):
    return outputs[:, 0] != labels


def prepared(image):
    return image


def model(preprocess, task=None):
    return KycModel("m.onnx", preprocess, task or CustomTask("rows.npz", metric=metric))


def test_each_array_of_images_may_have_its_own():
    given = {"selfie": SPEC, "portrait": Preprocess(size=(8, 8), function=prepared)}
    one = model(given)
    given.clear()
    assert list(one.preprocess) == ["selfie", "portrait"]
    assert one.preprocesses == ()
    assert one != model({"selfie": SPEC})
    assert hash(one) == hash(model({"selfie": SPEC}))
    assert ("Preprocess.function", prepared) in one.functions


def test_a_model_may_take_no_images():
    assert model(None).preprocess is None
    assert model(None).preprocesses == ()
    assert ("CustomTask.metric", metric) in model(None).functions


@pytest.mark.parametrize("given", [None, {"selfie": SPEC}])
def test_only_a_custom_task_takes_other_arrays(given):
    with pytest.raises(SpecError, match=r"KycModel\.preprocess: .*only CustomTask judges"):
        model(given, FaceVerification("faces"))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "names no arrays"),
        ({"selfie": 1}, "'selfie': 1 is not a Preprocess"),
        ({1: SPEC}, "1: Preprocess"),
        (1, "1 is not a Preprocess"),
    ],
)
def test_what_prepares_nothing_is_refused(given, match):
    with pytest.raises(SpecError, match=match):
        model(given)
