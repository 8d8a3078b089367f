"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .gates import Candidate, FaceGates, LivenessGates
from .limits import FaceLimits, LivenessLimits
from .recipe import Recipe
from .spec import FaceVerification, KycModel, LivenessDetection, Preprocess, Verdict

__all__ = [
    "Candidate",
    "FaceGates",
    "FaceLimits",
    "FaceVerification",
    "KycModel",
    "LivenessDetection",
    "LivenessGates",
    "LivenessLimits",
    "Preprocess",
    "Recipe",
    "Verdict",
]
