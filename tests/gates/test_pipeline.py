"""The reference pipeline: is this customer let in, end to end, within 8 s?"""

# The modules, not their classes: pytest would collect those twice.
import test_arcface
import test_minifasnet
import test_yolov8

from pytest_kycquant import Box, PipelineGates, PipelineLimits

FACE = 1 / 2.7  # height of a face in a selfie: the app shows an oval for it
CROP = 0.85  # height of a face in what the embedder was trained on


class TestPipeline(PipelineGates):
    """Together, the variants that ship turn away and let in hardly anybody else than FP32."""

    applicants = "data/applicants/applicants.csv"
    detector = test_yolov8.TestYolov8
    face = "portrait"
    liveness = test_minifasnet.TestMiniFASNet
    embedder = test_arcface.TestArcFace
    embedder_scale = 0.77  # a portrait shows more than the face
    # FP32 itself turns away one in ten: documents and faces are small, and nothing is aligned. And
    # of 300 people, the 180 who confirm a combination cannot show more than this.
    limits = PipelineLimits(
        frr=0.18, iapar=0.15, iapar_degradation=0.06, group_frr_degradation=0.09
    )

    def selfie(self, stages, photo):
        """The app frames the face, so that a selfie needs no detector."""
        pixels = photo.pixels()
        height, width = pixels.shape[:2]
        half = FACE / 2
        face = Box(
            width * (0.5 - half), height * (0.5 - half), width * (0.5 + half), height * (0.5 + half)
        )
        stages.liveness(pixels)
        return stages.embed(stages.crop(pixels, face, 1 / CROP))
