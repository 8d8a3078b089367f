"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .plugin.gate_classes import (
    AgreementGates,
    CustomGates,
    DetectionGates,
    FaceGates,
    LivenessGates,
)
from .plugin.gates import Candidate
from .plugin.pipeline_gates import PipelineGates
from .spec import presets
from .spec.custom import CustomTask
from .spec.limits import (
    CustomLimits,
    DetectionLimits,
    FaceLimits,
    LivenessLimits,
    PipelineLimits,
)
from .spec.model import KycModel, Preprocess
from .spec.recipe import Recipe
from .spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
from .verdicts import Verdict

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
