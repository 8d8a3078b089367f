"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .gates import Candidate, FaceGates
from .limits import FaceLimits
from .recipe import Recipe
from .spec import FaceVerification, KycModel, Preprocess, Verdict

__all__ = [
    "Candidate",
    "FaceGates",
    "FaceLimits",
    "FaceVerification",
    "KycModel",
    "Preprocess",
    "Recipe",
    "Verdict",
]
