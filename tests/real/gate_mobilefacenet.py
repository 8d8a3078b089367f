"""A gate on a real face model and real faces; `test_mobilefacenet.py` runs it.

Paths are relative to pytest's rootdir, a folder that the test fills with links.
"""

from pytest_kycquant import FaceGates, FaceLimits, FaceVerification, KycModel, Preprocess, Recipe

MODEL = KycModel(
    "mobilefacenet_fp32.onnx",
    preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
    calibration="calibration",
    # The threshold of the published figures; a search for a fallback uses other people.
    task=FaceVerification("evaluation", selection="selection", threshold=0.345),
)
PER_TENSOR = Recipe(
    "int8",
    name="int8-per-tensor",
    per_channel=False,
    reduce_range=False,
    calibration_method="minmax",
    bias_correction=False,
)
# Other tests cover latency; here the first look decides it.
ANY_LATENCY = 10.0
# 300 people with five genuine pairs each cannot decide whether FRR rises by one point.
TWO_POINTS = 0.02


class TestRecipes(FaceGates):
    """Which recipes let impostors in? The other class judges their drift."""

    model = MODEL
    limits = FaceLimits(
        frr_degradation=TWO_POINTS, mean_cosine=0.9, p1_cosine=0.8, latency_ratio=ANY_LATENCY
    )
    fallback = None
    precisions = (
        "fp16",
        "int8",
        PER_TENSOR,
        Recipe(
            "int8",
            name="int8-per-channel",
            calibration_method="minmax",
            equalize=False,
            bias_correction=False,
        ),
        "int8-dynamic",
    )


class TestFallback(FaceGates):
    """What ships instead of the per-tensor recipe?"""

    model = MODEL
    limits = FaceLimits(frr_degradation=TWO_POINTS, latency_ratio=ANY_LATENCY)
    fallback = "mixed"
    precisions = (PER_TENSOR,)


class TestOnePoint(FaceGates):
    """The usual budget of FRR, for which counting alone would take more people."""

    model = MODEL
    limits = FaceLimits(mean_cosine=0.9, p1_cosine=0.8, latency_ratio=ANY_LATENCY)
    fallback = None
    precisions = ("int8",)
