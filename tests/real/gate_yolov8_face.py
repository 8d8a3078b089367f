"""A gate on a real face detector and real photographs; `test_yolov8_face.py` runs it.

Paths are relative to pytest's rootdir, a folder that the test fills with links. The boxes are
those of another detector, not human labels, so mAP50-95 says little here.
"""

from pytest_kycquant import (
    DetectionGates,
    DetectionLimits,
    KycModel,
    ObjectDetection,
    Preprocess,
    Recipe,
)

MODEL = KycModel(
    "yolov8-lite-t.onnx",
    preprocess=Preprocess(size=(640, 640), scale=1 / 255, channels="RGB", resize="letterbox"),
    calibration="calibration",
    task=ObjectDetection(
        "evaluation",
        "evaluation.csv",
        classes=("face",),
        confidence=0.25,
        scores="logits",  # the heads end before the sigmoid
        keypoints=5,
    ),
)


class TestRecipes(DetectionGates):
    """What the stock recipe of onnxruntime does to a detector, and what the default does."""

    model = MODEL
    # 400 photographs of one face each cannot show an agreement of 98 %; the first look decides
    # latency.
    limits = DetectionLimits(agreement=0.96, map_degradation=0.05, latency_ratio=10.0)
    fallback = None
    precisions = (
        "fp16",
        "int8",
        Recipe(
            "int8",
            name="int8-stock",
            per_channel=False,
            reduce_range=False,
            calibration_method="minmax",
            bias_correction=False,
        ),
    )
