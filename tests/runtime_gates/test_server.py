"""The reference models as a server runs them: OpenVINO on an Intel or AMD CPU."""

from __future__ import annotations

from pytest_kycquant import DetectionGates, FaceGates, LivenessGates, Recipe
from tests.gates.test_arcface import TestArcFace as _ArcFace
from tests.gates.test_minifasnet import TestMiniFASNet as _MiniFASNet
from tests.gates.test_yolov8 import TestYolov8 as _Yolov8

INT8 = Recipe("int8", runtime="openvino")
WEIGHTS = Recipe("int8-weights", runtime="openvino")


class TestArcFaceOnServer(FaceGates):
    """The embedder, in 8 bits and with weights in 8 bits."""

    model = _ArcFace.model
    precisions = (INT8, WEIGHTS)
    fallback = "int8-weights"


class TestMiniFASNetOnServer(LivenessGates):
    """The liveness model, likewise."""

    model = _MiniFASNet.model
    precisions = (INT8, WEIGHTS)
    fallback = "int8-weights"


class TestYolov8OnServer(DetectionGates):
    """The detector: what follows its head stays in FP32."""

    model = _Yolov8.model
    precisions = (Recipe("int8", runtime="openvino", op_types=("Conv",)),)
    fallback = "int8-weights"
