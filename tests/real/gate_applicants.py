"""Pipelines of a real detector with landmarks and a real embedder; `test_real_applicants.py`.

Paths are relative to pytest's rootdir or to this file's folder, which the test fills with links.
The stages are not collected: only what ships together is judged here. Their own limits are wide, so
that each ships its recipe. Images are few; what they cannot decide, the pipeline does.
"""

from pytest_kycquant import (
    DetectionGates,
    DetectionLimits,
    FaceGates,
    FaceLimits,
    FaceVerification,
    KycModel,
    ObjectDetection,
    PipelineGates,
    PipelineLimits,
    Preprocess,
    Recipe,
)

PER_TENSOR = Recipe(
    "int8",
    name="int8-per-tensor",
    per_channel=False,
    calibration_method="minmax",
    bias_correction=False,
)


class Detector(DetectionGates):
    """The default recipe."""

    __test__ = False
    model = KycModel(
        "yolov8-lite-t.onnx",
        preprocess=Preprocess(size=(640, 640), scale=1 / 255, channels="RGB", resize="letterbox"),
        calibration="detector/calibration",
        task=ObjectDetection(
            "detector/evaluation",
            "detector/evaluation.csv",
            classes=("face",),
            confidence=0.25,
            scores="logits",
            keypoints=5,
        ),
    )
    limits = DetectionLimits(
        map50=0.5,
        recall=0.9,
        recall_degradation=0.1,
        map50_degradation=0.5,
        map_degradation=0.5,
        agreement=0.5,
        overlap=0.2,
        keypoint_error=0.9,
        keypoint_error_p95=0.9,
        latency_ratio=100.0,
    )
    precisions = ("int8",)
    fallback = None


class Embedder(FaceGates):
    """The default recipe, at the threshold of the published figures."""

    __test__ = False
    model = KycModel(
        "mobilefacenet_fp32.onnx",
        preprocess=Preprocess(size=(112, 112), mean=127.5, scale=1 / 128, channels="BGR"),
        calibration="embedder/calibration",
        task=FaceVerification("embedder/evaluation", threshold=0.345),
    )
    limits = FaceLimits(
        far=0.01,
        frr=0.1,
        far_degradation=0.01,
        frr_degradation=0.1,
        mean_cosine=0.8,
        p1_cosine=0.5,
        latency_ratio=100.0,
    )
    precisions = ("int8",)
    fallback = None


class PerTensorDetector(Detector):
    """What a simple recipe makes of it."""

    __test__ = False
    precisions = (PER_TENSOR,)


class PerTensorEmbedder(Embedder):
    """What a simple recipe makes of it."""

    __test__ = False
    precisions = (PER_TENSOR,)


def aligned(stages, photo):
    """The embedding of the best face; a function, so that FP32's answers serve both classes."""
    pixels = photo.pixels()
    faces = stages.detect(pixels)
    return stages.embed(stages.align(pixels, faces[0].keypoints)) if faces else None


class TestDefault(PipelineGates):
    """People with a document and a selfie each."""

    applicants = "applicants.csv"
    detector = Detector
    face = "face"
    embedder = Embedder
    # FP32 itself lets in one in a thousand, so its threshold cannot show a FAR of .1 %. The budget
    # of FAR is smaller than usual: 200 people show .03 %.
    limits = PipelineLimits(far=0.003, far_degradation=0.0003)
    threads = 2
    document = staticmethod(aligned)
    selfie = staticmethod(aligned)


class TestPerTensor(TestDefault):
    """The same people."""

    detector = PerTensorDetector
    embedder = PerTensorEmbedder


class TestPhotographs(PipelineGates):
    """Whole photographs without labels."""

    images = "photographs"
    detector = Detector
    face = "face"
    embedder = Embedder
    align = True
    threads = 2
