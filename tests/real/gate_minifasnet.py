"""A gate on two real liveness models and real photographs; `test_real_pipeline.py` runs it.

Paths are relative to pytest's rootdir or to this file's folder, which the test fills with links.
These photographs have no labels, so the pair is judged by agreement with FP32.
"""

from pytest_kycquant import AgreementGates, KycModel, LivenessDetection, LivenessLimits, Preprocess


class TestPair(AgreementGates):
    """MiniFASNetV2 and V1SE, averaged as their authors do, each on its own crop."""

    model = KycModel(
        ("MiniFASNetV2.onnx", "MiniFASNetV1SE.onnx"),
        preprocess=Preprocess(size=(80, 80), channels="BGR"),
        calibration="calibration",
        task=LivenessDetection(
            "evaluation",
            labelled=False,
            threshold=0.5,
            boxes="boxes.csv",
            crop_scale=(2.7, 4.0),
        ),
        name="minifasnet",
    )
    limits = LivenessLimits()
    precisions = ("fp16",)
    fallback = None
