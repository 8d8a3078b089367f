"""pytest-kycquant decides whether a quantized identity-verification model may ship."""

from .spec import FaceLimits, FaceVerification, KycModel, Preprocess, Recipe, Verdict

__all__ = ["FaceLimits", "FaceVerification", "KycModel", "Preprocess", "Recipe", "Verdict"]
