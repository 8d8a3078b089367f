"""The reference liveness model: is it a live face, or a print, a screen or a mask?"""

from pytest_kycquant import KycModel, LivenessDetection, LivenessGates, Preprocess, Recipe


class TestMiniFASNet(LivenessGates):
    """MiniFASNet ships at the smallest precision that no attack species gets past."""

    model = KycModel(
        "models/minifasnet_fp32.onnx",
        preprocess=Preprocess(size=(80, 80), channels="BGR"),
        calibration="calibration/liveness",
        task=LivenessDetection("data/liveness", selection="data/liveness-selection"),
    )
    precisions = (
        "fp16",
        "int8",
        Recipe("int8", name="int8-minmax", per_channel=False, calibration_method="minmax"),
    )
    fallback = "mixed"
