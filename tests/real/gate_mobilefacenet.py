"""A gate on a real face model and real faces; `test_mobilefacenet.py` runs it.

Paths are relative to pytest's rootdir, a folder that the test fills with links.
"""

from pytest_kycquant import FaceGates, FaceLimits, FaceVerification, KycModel, Preprocess, Recipe

MODEL = KycModel(
    "mobilefacenet_fp32.onnx",
    preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
    calibration="calibration",
    # The threshold of the published figures; the search has people of its own.
    task=FaceVerification("evaluation", selection="selection", threshold=0.345),
)
MINMAX = {"calibration_method": "minmax", "reduce_range": False}


class TestRecipes(FaceGates):
    """Which recipes let impostors in? Drift is left to the other class."""

    model = MODEL
    limits = FaceLimits(mean_cosine=0.9, p1_cosine=0.8)
    fallback = None
    precisions = (
        "fp16",
        Recipe("int8", name="int8-per-tensor", per_channel=False, **MINMAX),
        Recipe("int8", name="int8-per-channel", calibration_method="minmax"),
        "int8-dynamic",
    )


class TestFallback(FaceGates):
    """What ships instead of the per-tensor recipe, with all limits at their defaults?"""

    model = MODEL
    fallback = "mixed"
    precisions = (Recipe("int8", name="int8-per-tensor", per_channel=False, **MINMAX), "int8")
