"""A gate on a real face detector and real photographs; `test_yolov8_face.py` runs it.

Paths are relative to pytest's rootdir, a folder that the test fills with links.
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
        selection="selection",
        selection_labels="selection.csv",
        scores="logits",  # raw heads end before the sigmoid
        keypoints=5,
    ),
)
STOCK = Recipe(
    "int8",
    name="int8-stock",
    per_channel=False,
    reduce_range=False,
    calibration_method="minmax",
)
# What onnxruntime leaves alone by default beside the convolutions costs scores, not time.
CONVOLUTIONS = Recipe("int8", name="int8-convolutions", op_types=("Conv",))


class TestRecipes(DetectionGates):
    """Which recipes lose faces or scores?"""

    model = MODEL
    # 250 photographs of one face each cannot decide about an increase of misses by one point.
    limits = DetectionLimits(recall_degradation=0.02, agreement=0.95)
    fallback = None
    precisions = ("fp16", "int8", STOCK, CONVOLUTIONS, "int8-dynamic")
