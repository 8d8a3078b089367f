"""A small world of whole pipelines: the detector of `scenery`, then liveness and embedder.

Each model has a separate folder with its data and its gates, which are not collected; the
pipeline's gate file lies next to those folders. The face in a scene is a red square of 16 x 16
pixels, the input size of the other two models.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image

from tests.worlds.applicants import write_applicants
from tests.worlds.population import write_project as write_face
from tests.worlds.presentations import write_liveness_project
from tests.worlds.scenery import scenes
from tests.worlds.scenery import write_project as write_detector

GATE = """
from detector import gate as detection
from face import gate as faces
from liveness import gate as presentations
from pytest_kycquant import PipelineGates, PipelineLimits

class TestPipeline(PipelineGates):
    {data}
    detector = detection.TestDetector
    face = "face"
    liveness = presentations.TestLiveness
    embedder = faces.TestFace
"""

# Faces have 16 pixels, and a crop of scale 1 has one more: resizing would change what is seen.
EXACT = """
embedder_scale = 15 / 16

def selfie(self, stages, photo):
    pixels = photo.pixels()
    found = self.face_in(stages, pixels)
    if found is None:
        return None
    face = self.face_of(stages, pixels, found)
    stages.liveness(face)
    return stages.embed(face)
"""


def write_photos(folder: Path, count: int, *, seed: int = 5, dim: float = 0.0) -> Path:
    """Write scenes as PNG files; `dim` is the share of objects too dark to be found."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, pixels in enumerate(scenes(count, seed=seed, dim=dim)[0]):
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


def write_pipeline(
    root: Path,
    *,
    precisions: str = '"int8"',
    liveness: str = "",
    photos: int = 170,
    people: int = 0,
) -> Path:
    """Write three models with data and gates, and a pipeline; return its gate file.

    Args:
        root: an empty folder.
        precisions: precisions of all three gates.
        liveness: those of the liveness model, if they differ.
        photos: number of images.
        people: number of applicants; 0 for images without labels.
    """
    for name, write in (
        ("detector", write_detector),
        ("liveness", write_liveness_project),
        ("face", write_face),
    ):
        own = liveness if liveness and name == "liveness" else precisions
        gate = write(root / name, precisions=own, fallback=None)
        gate.rename(root / name / "gate.py")
        (root / name / "__init__.py").touch()
    if not people:
        write_photos(root / "photos", photos)
        return write_gate(root)
    # Faces of applicants are bright red, so two of them are more alike than those of the gate.
    face = root / "face" / "gate.py"
    given = 'selection="selection.npz"'
    text = face.read_text().replace(given, f"{given}, threshold=0.85")
    face.write_text(text.replace("size_ratio=10.0", "size_ratio=10.0, frr=0.5"))
    write_applicants(root, people)
    return write_gate(root)


def write_gate(root: Path, body: str = "") -> Path:
    """Write the pipeline's gate file with additional lines in its class."""
    gate = root / "test_pipeline.py"
    applicants = (root / "applicants.csv").exists()
    data = 'applicants = "applicants.csv"' if applicants else 'images = "photos"'
    own = f"{EXACT if applicants else ''}{textwrap.dedent(body)}"
    gate.write_text(GATE.format(data=data) + textwrap.indent(own, "    "))
    return gate
