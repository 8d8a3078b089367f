"""The reference detector: where is the document, and where the portrait on it?"""

from dataclasses import replace

from pytest_kycquant import DetectionGates, Recipe, presets


class TestYolov8(DetectionGates):
    """YOLOv8 ships at the smallest precision that misses no document."""

    model = presets.yolov8(
        "models/yolov8_fp32.onnx",
        "data/documents/images",
        "data/documents/labels.json",
        ("document", "portrait"),
        preprocess=replace(presets.YOLOV8, size=(320, 320)),
        selection="data/documents-selection/images",
        selection_labels="data/documents-selection/labels.json",
        confidence=0.25,
        calibration="calibration/documents",
    )
    precisions = (
        "fp16",
        "int8",
        # Only convolutions: what follows the head stays in FP32.
        Recipe("int8", name="int8-conv", op_types=("Conv",)),
    )
    # A search cannot repair INT8 of the whole graph, so the fallback quantizes no activations.
    fallback = "int8-weights"
