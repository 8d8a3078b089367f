"""The reference embedder: is the selfie the person on the document?"""

from pytest_kycquant import FaceGates, presets


class TestArcFace(FaceGates):
    """ArcFace ships at the smallest precision that lets no impostor in."""

    model = presets.arcface(
        "models/arcface_fp32.onnx",
        "data/faces",
        selection="data/faces-selection",
        groups="data/faces/groups.csv",
        calibration="calibration/faces",
    )
    precisions = ("fp16", "int8-weights", "int8")
    fallback = "mixed"
