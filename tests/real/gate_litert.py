"""A gate on a real face model as a phone runs it; `test_litert_mobilefacenet.py` runs it.

Paths are relative to pytest's rootdir, a folder that the test fills with links.
"""

from pytest_kycquant import FaceGates, FaceLimits, FaceVerification, KycModel, Preprocess, Recipe


class TestPhone(FaceGates):
    """Static INT8, with PReLU in float and with every operator in integers."""

    model = KycModel(
        "mobilefacenet_fp32.onnx",
        preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
        calibration="calibration",
        task=FaceVerification("evaluation", threshold=0.345),
    )
    # 300 people with five genuine pairs each cannot decide whether FRR rises by one point.
    limits = FaceLimits(frr_degradation=0.02, p1_cosine=0.9, latency_ratio=10.0)
    fallback = None
    precisions = (
        Recipe("int8", runtime="litert"),
        Recipe("int8", name="integers", runtime="litert", float_fallback=False),
    )
