"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .gates import Candidate, DetectionGates, FaceGates
from .limits import DetectionLimits, FaceLimits
from .recipe import Recipe
from .spec import FaceVerification, KycModel, ObjectDetection, Preprocess, Verdict

__all__ = [
    "Candidate",
    "DetectionGates",
    "DetectionLimits",
    "FaceGates",
    "FaceLimits",
    "FaceVerification",
    "KycModel",
    "ObjectDetection",
    "Preprocess",
    "Recipe",
    "Verdict",
]
