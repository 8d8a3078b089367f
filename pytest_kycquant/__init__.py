"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .gates import Candidate, DetectionGates, FaceGates, LivenessGates
from .limits import DetectionLimits, FaceLimits, LivenessLimits
from .recipe import Recipe
from .spec import (
    FaceVerification,
    KycModel,
    LivenessDetection,
    ObjectDetection,
    Preprocess,
    Verdict,
)

__all__ = [
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
]
