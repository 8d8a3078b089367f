"""The reference embedder: is the selfie the person on the document?"""

from pytest_kycquant import FaceGates, FaceVerification, KycModel, Preprocess, Recipe


class TestArcFace(FaceGates):
    """ArcFace ships at the smallest precision that lets no impostor in."""

    model = KycModel(
        "models/arcface_fp32.onnx",
        preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 127.5, channels="RGB"),
        calibration="calibration/faces",
        task=FaceVerification("data/faces", selection="data/faces-selection"),
    )
    precisions = (
        "fp16",
        "int8",
        Recipe("int8", name="int8-minmax", per_channel=False, calibration_method="minmax"),
    )
    fallback = "mixed"
