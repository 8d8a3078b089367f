"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from . import presets
from .gates import (
    AgreementGates,
    Candidate,
    CustomGates,
    DetectionGates,
    FaceGates,
    LivenessGates,
)
from .limits import CustomLimits, DetectionLimits, FaceLimits, LivenessLimits, PipelineLimits
from .pipeline.gates import PipelineGates
from .recipe import Recipe
from .spec import KycModel, Preprocess, Verdict
from .task_spec import CustomTask, FaceVerification, LivenessDetection, ObjectDetection

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
