"""The reference liveness model: is it a live face, or a print, a screen or a mask?"""

from pytest_kycquant import LivenessGates, Recipe, presets


class TestMiniFASNet(LivenessGates):
    """MiniFASNet ships at the smallest precision that lets no attack species through."""

    model = presets.minifasnet(
        "models/minifasnet_fp32.onnx",
        "data/liveness",
        selection="data/liveness-selection",
        groups="data/liveness/groups.csv",
        calibration="calibration/liveness",
    )
    precisions = (
        "fp16",
        "int8-weights",
        "int8",
        Recipe(
            "int8",
            name="int8-minmax",
            per_channel=False,
            calibration_method="minmax",
            bias_correction=False,
        ),
    )
    fallback = "mixed"
