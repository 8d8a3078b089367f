"""The reference models as a phone runs them: LiteRT with XNNPACK.

The float files beside the FP32 models were converted by onnx2tf, see models/README.md.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_kycquant import DetectionGates, DetectionLimits, FaceGates, LivenessGates, Recipe
from tests.gates.test_arcface import TestArcFace as _ArcFace
from tests.gates.test_minifasnet import TestMiniFASNet as _MiniFASNet
from tests.gates.test_yolov8 import TestYolov8 as _Yolov8

INT8 = Recipe("int8", runtime="litert")
WEIGHTS = Recipe("int8-weights", runtime="litert")


class TestArcFaceOnPhone(FaceGates):
    """The embedder, in 8 bits and with weights in 8 bits."""

    model = replace(_ArcFace.model, litert="models/arcface_fp32.tflite")
    precisions = (INT8, WEIGHTS)
    fallback = "int8-weights"


class TestMiniFASNetOnPhone(LivenessGates):
    """The liveness model, likewise."""

    model = replace(_MiniFASNet.model, litert="models/minifasnet_fp32.tflite")
    precisions = (INT8, WEIGHTS)
    fallback = "int8-weights"


class TestYolov8OnPhone(DetectionGates):
    """The detector, likewise; what joins boxes and scores stays in float."""

    model = replace(_Yolov8.model, litert="models/yolov8_fp32.tflite")
    # The time of this CPU says nothing about a phone's.
    limits = DetectionLimits(latency_ratio=2.0)
    precisions = (INT8, WEIGHTS)
    fallback = "fp16"
