"""On real photographs, both liveness models see and say what their own code would have."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import LivenessLimits, presets
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.tasks.registry import task_of
from tests.worlds.published import minifasnet_input

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
SCENES = 100


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.KycquantWarning")
def test_the_preset_is_the_published_preprocessing(real: Path, tmp_path: Path) -> None:
    """Bit for bit, with one image of a batch as the authors run it."""
    rows = list(csv.DictReader((real / "scenes" / "face_boxes.csv").read_text().splitlines()))[
        :SCENES
    ]
    (tmp_path / "images").mkdir()
    lines = ["file,x1,y1,x2,y2"]
    for row in rows:
        (tmp_path / row["image"]).symlink_to(real / "scenes" / row["image"])
        lines.append(",".join(row[key] for key in ("image", "x1", "y1", "x2", "y2")))
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    paths = [real / "models" / f"{name}.onnx" for name in ("MiniFASNetV2", "MiniFASNetV1SE")]
    model = presets.minifasnet(
        paths, tmp_path / "images", boxes=tmp_path / "boxes.csv", labelled=False, threshold=0.5
    )
    task = task_of(model, LivenessLimits(), lambda path, _: Path(path))
    images = task.load().evaluation.images
    boxes = {Path(row["image"]).name: row for row in rows}
    for member, (path, scale) in enumerate(zip(paths, (2.7, 4.0), strict=True)):
        session = open_session(path)
        feed = session.get_inputs()[0].name
        for name, tensor in task.tensors(images, member):
            row = boxes[name]
            x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
            # Pillow decodes here as everywhere: the decoders of JPEG files differ.
            rgb = images.pixels(images.names.index(name))
            wanted = minifasnet_input(rgb[..., ::-1], (x1, y1, x2 - x1, y2 - y1), scale)
            np.testing.assert_array_equal(tensor, wanted)
            ours, theirs = (session.run(None, {feed: x})[0] for x in (tensor, wanted))
            np.testing.assert_array_equal(ours, theirs)
