"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from . import presets
from .gates import AgreementGates, Candidate, DetectionGates, FaceGates, LivenessGates
from .limits import DetectionLimits, FaceLimits, LivenessLimits
from .recipe import Recipe
from .spec import KycModel, Preprocess, Verdict
from .task_spec import FaceVerification, LivenessDetection, ObjectDetection

__all__ = [
    "AgreementGates",
    "Candidate",
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
    "Preprocess",
    "Recipe",
    "Verdict",
    "presets",
]
