"""The reference pipeline: find the portrait on a document, check it, embed it, within 8 s."""

# The modules, not their classes: pytest would collect those twice.
import test_arcface
import test_minifasnet
import test_yolov8

from pytest_kycquant import PipelineGates


class TestPipeline(PipelineGates):
    """Together, the variants that ship are fast and small enough."""

    images = "data/documents/images"
    detector = test_yolov8.TestYolov8
    face = "portrait"
    liveness = test_minifasnet.TestMiniFASNet
    embedder = test_arcface.TestArcFace
