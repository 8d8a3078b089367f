"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from . import presets
from .custom_spec import CustomTask
from .gate_classes import (
    AgreementGates,
    CustomGates,
    DetectionGates,
    FaceGates,
    LivenessGates,
)
from .gates import Candidate
from .limits import CustomLimits, DetectionLimits, FaceLimits, LivenessLimits, PipelineLimits
from .pipeline.gates import PipelineGates
from .recipe import Recipe
from .spec import KycModel, Preprocess, Verdict
from .task_spec import FaceVerification, LivenessDetection, ObjectDetection

__all__ = [
    "AgreementGates",
    "Candidate",
    "CustomGates",
    "CustomLimits",
    "CustomTask",
    "DetectionGates",
    "DetectionLimits",
    "FaceGates",
    "FaceLimits",
    "FaceVerification",
    "KycModel",
    "LivenessDetection",
    "LivenessGates",
    "LivenessLimits",
    "ObjectDetection",
    "PipelineGates",
    "PipelineLimits",
    "Preprocess",
    "Recipe",
    "Verdict",
    "presets",
]
