"""Public face detectors find the faces that another detector found, each read by its layout."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import Preprocess
from pytest_kycquant.data.images import preprocess
from pytest_kycquant.data.placement import place
from pytest_kycquant.runtimes import library
from pytest_kycquant.tasks.detection.decode import Decoder, overlaps
from pytest_kycquant.tasks.detection.layouts import LAYOUTS
from pytest_kycquant.tasks.detection.plausible import check_boxes

EVERY = 5  # every fifth photograph: 100 faces
CASES = {
    "scrfd": (
        "det_500m.onnx",
        Preprocess((640, 640), mean=127.5, scale=1 / 128, fit="top-left", pad=0),
    ),
    "yunet": ("yunet_n_dynamic.onnx", Preprocess((256, 256), channels="BGR")),
    "retinaface": (
        "RetinaFace_mobile320.onnx",
        Preprocess((320, 320), mean=(104, 117, 123), channels="BGR"),
    ),
    "ultraface": ("version-RFB-320.onnx", Preprocess((240, 320), mean=127, scale=1 / 128)),
}


@pytest.mark.parametrize("layout", CASES)
def test_nearly_all_faces_are_found(layout: str, real: Path) -> None:
    name, spec = CASES[layout]
    path = real / "models" / name
    if not path.is_file():
        pytest.skip(f"the public model is not at {path}")
    with (real / "scenes" / "face_boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::EVERY]
    model, photographs = library().open(path), []
    for row in rows:
        with Image.open(real / "scenes" / row["image"]) as image:
            photographs.append(np.asarray(image.convert("RGB")))
    outputs = [
        model.run({model.inputs[0]: preprocess(pixels, spec, "photograph")})
        for pixels in photographs
    ]
    decoder = Decoder(1, 0 if layout == "ultraface" else 5, "probabilities", 0.4, spec.size, name)
    assert decoder.choose(outputs[:8]).name == layout
    decoder = replace(decoder, layout=layout)
    best, invented = [], 0
    for row, pixels, given in zip(rows, photographs, outputs, strict=True):
        found = decoder(given)
        shown = found.scores >= 0.5
        boxes = place(pixels.shape[:2], spec).to_image(found.boxes[shown])
        check_boxes(found.boxes[shown], LAYOUTS[layout], decoder.told, name)
        truth = np.array([[float(row[side]) for side in ("x1", "y1", "x2", "y2")]])
        overlap = overlaps(truth, boxes)[0]
        best.append(overlap.max(initial=0.0))
        invented += int((overlap < 0.1).sum())
        if layout != "ultraface" and best[-1] >= 0.5:
            assert found.keypoints is not None
            eyes = found.keypoints[shown][overlap.argmax(), :2]
            x1, y1, x2, y2 = found.boxes[shown][overlap.argmax()]
            assert ((eyes >= [x1 - 9, y1 - 9]) & (eyes <= [x2 + 9, y2 + 9])).all()
    assert np.mean(np.array(best) >= 0.5) >= 0.97
    assert np.mean(best) >= 0.7
    assert invented <= 0.4 * len(rows)  # other people, whom the labels leave out
