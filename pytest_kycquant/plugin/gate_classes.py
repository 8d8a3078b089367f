"""The base classes of gate files: one for each task, and one for images without labels."""

from __future__ import annotations

from typing import ClassVar

from ..spec.custom import CustomTask
from ..spec.limits import (
    DetectionLimits,
    FaceLimits,
    Limits,
    LivenessLimits,
)
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
from .gates import Candidate, Gates


class LabelledGates(Gates):
    """What the gates of tasks with labels have in common; subclass those of a task."""

    def test_degradation(self, candidate: Candidate) -> None:
        """Paired increase of errors over FP32 and drift of outputs inside their budgets."""
        candidate.check("degradation")


class AgreementGates(Gates):
    """Base class of a gate file for images without labels, of any task that has ``labelled``.

    A variant must decide as FP32 does. That says nothing about whether FP32 decides well.

    Example::

        class TestArcFaceAgreement(AgreementGates):
            model = KycModel(
                "models/arcface_fp32.onnx",
                preprocess=...,
                task=FaceVerification("data/selfies", labelled=False, threshold=0.35),
                ...,
            )
            precisions = ("fp16", "int8")
    """

    _labelled = False

    def test_agreement(self, candidate: Candidate) -> None:
        """Decisions are those of FP32, and drift of outputs is inside its budgets."""
        candidate.check("agreement")


class FaceGates(LabelledGates):
    """Base class of a gate file for face verification: subclass it and set `model`.

    Example::

        class TestArcFace(FaceGates):
            model = KycModel("models/arcface_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = FaceLimits()
    _task = FaceVerification

    def test_far(self, candidate: Candidate) -> None:
        """Upper bound of the false accept rate at the frozen threshold below its limit."""
        candidate.check("far")

    def test_frr(self, candidate: Candidate) -> None:
        """Upper bound of the false reject rate at the frozen threshold below its limit."""
        candidate.check("frr")


class CustomGates(LabelledGates):
    """Base class of a gate file for a metric of your own: subclass it, set `model` and `limits`.

    Example::

        class TestDocumentType(CustomGates):
            model = KycModel("models/document_type.onnx", preprocess=..., task=CustomTask(...), ...)
            limits = CustomLimits(metric=0.02, degradation=0.005)
    """

    _task = CustomTask

    def test_metric(self, candidate: Candidate) -> None:
        """Bound of the metric inside its limit."""
        candidate.check("metric")


class DetectionGates(LabelledGates):
    """Base class of a gate file for detection: subclass it and set `model`.

    Example::

        class TestYolo(DetectionGates):
            model = KycModel("models/yolov8n_face.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = DetectionLimits()
    _task = ObjectDetection

    def test_recall(self, candidate: Candidate) -> None:
        """Lower bound of recall at the frozen confidence reaches its limit, for every class."""
        candidate.check("recall")

    def test_map(self, candidate: Candidate) -> None:
        """Lower bound of mAP50 reaches its limit."""
        candidate.check("map")


class LivenessGates(LabelledGates):
    """Base class of a gate file for liveness: subclass it and set `model`.

    Example::

        class TestMiniFASNet(LivenessGates):
            model = KycModel("models/minifasnet_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = LivenessLimits()
    _task = LivenessDetection

    def test_apcer(self, candidate: Candidate) -> None:
        """Upper bound of APCER at the frozen threshold below its limit, for every species."""
        candidate.check("apcer")

    def test_bpcer(self, candidate: Candidate) -> None:
        """Upper bound of BPCER at the frozen threshold below its limit."""
        candidate.check("bpcer")
