"""The reference embedder: is the selfie the person on the document?"""

from pytest_kycquant import FaceGates, Recipe, presets


class TestArcFace(FaceGates):
    """ArcFace ships at the smallest precision that lets no impostor in."""

    model = presets.arcface(
        "models/arcface_fp32.onnx",
        "data/faces",
        selection="data/faces-selection",
        groups="data/faces/groups.csv",
        calibration="calibration/faces",
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
