"""The reference detector: where is the document, and where the portrait on it?"""

from pytest_kycquant import DetectionGates, KycModel, ObjectDetection, Preprocess, Recipe


class TestYolov8(DetectionGates):
    """YOLOv8 ships at the smallest precision that misses no document."""

    model = KycModel(
        "models/yolov8_fp32.onnx",
        preprocess=Preprocess(size=(320, 320), scale=1 / 255, resize="letterbox"),
        calibration="calibration/documents",
        task=ObjectDetection(
            "data/documents/images",
            labels="data/documents/labels.json",
            classes=("document", "portrait"),
            selection="data/documents-selection/images",
            selection_labels="data/documents-selection/labels.json",
        ),
    )
    precisions = (
        "fp16",
        "int8",
        Recipe("int8", name="int8-minmax", per_channel=False, calibration_method="minmax"),
    )
    fallback = "mixed"
