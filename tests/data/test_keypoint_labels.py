"""Keypoints in the labels of scenes: COCO's and YOLO's, and what is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant.data.detections import DetectionSet, load_detections
from pytest_kycquant.errors import DataError

BOXES = [(2.0, 2.0, 20.0, 16.0), (1.0, 4.0, 10.0, 10.0)]


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(2):
        pixels = rng.integers(0, 256, (32, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def coco(path: Path, *points: list[Any] | None) -> Path:
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": list(box)}
        | ({} if given is None else {"keypoints": given})
        for number, (box, given) in enumerate(zip(BOXES, points, strict=True))
    ]
    content = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(2)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "face"}],
    }
    (path.parent / "labels.json").write_text(json.dumps(content))
    return path.parent / "labels.json"


def yolo(path: Path, *points: str) -> Path:
    folder = path.parent / "labels"
    folder.mkdir()
    for number, ((x, y, w, h), given) in enumerate(zip(BOXES, points, strict=True)):
        shares = (x + w / 2) / 40, (y + h / 2) / 32, w / 40, h / 32
        text = " ".join(map(str, ("0", *shares, given)))
        (folder / f"{number}.txt").write_text(text)
    return folder


def load(scenes: Path, labels: Path, keypoints: int = 2) -> DetectionSet:
    return load_detections(scenes, labels, ("face",), keypoints=keypoints)


def test_coco(scenes: Path) -> None:
    found = load(scenes, coco(scenes, [3, 4, 2, 9, 9, 0], None))
    assert found.keypoints is not None
    assert found.keypoints[0].tolist()[0] == [3, 4]
    assert np.isnan(found.keypoints[0, 1]).all()
    assert np.isnan(found.keypoints[1]).all()


def test_yolo(scenes: Path) -> None:
    labels = yolo(scenes, "0.1 0.25 2 0.5 0.5 0", "")
    found = load(scenes, labels)
    assert found.keypoints is not None
    assert found.keypoints[0].tolist()[0] == [4, 8]
    assert np.isnan(found.keypoints[0, 1]).all()


def test_yolo_without_visibility(scenes: Path) -> None:
    found = load(scenes, yolo(scenes, "0.1 0.25 0 0", "0.5 0.5 0.75 0.5"))
    assert found.keypoints is not None
    assert np.isnan(found.keypoints).any(axis=2).tolist() == [[False, True], [False, False]]
    assert found.keypoints[1].tolist() == [[20, 16], [30, 16]]


def test_digest_and_parts(scenes: Path) -> None:
    one = load(scenes, coco(scenes, [3, 4, 2, 9, 9, 2], None))
    other = load(scenes, coco(scenes, [3, 5, 2, 9, 9, 2], None))
    without = load(scenes, coco(scenes, None, None))
    assert len({one.digest, other.digest, without.digest}) == 3
    assert without.keypoints is None
    assert without.digest == load(scenes, coco(scenes, None, None), keypoints=0).digest
    part = one.of_images(np.array([False, True]))
    assert part.keypoints is not None
    assert np.isnan(part.keypoints).all()


BAD: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    "coco, too few": (
        lambda p: coco(p, [3, 4, 2], None), 2, "annotation 0 has keypoints .* of 2; .*keypoints=",
    ),
    "coco, no list": (lambda p: coco(p, {"x": 1}, None), 2, "annotation 0 has keypoints"),  # type: ignore[arg-type]
    "coco, no numbers": (lambda p: coco(p, ["a"] * 6, None), 2, "annotation 0 is malformed"),
    "coco, infinite": (
        lambda p: coco(p, [1e400, 4, 2, 9, 9, 2], None), 2, "not finite numbers: annotation 0",
    ),
    "coco, half a point": (
        lambda p: coco(p, [math.nan, 4, 2, 9, 9, 2], None), 2, "not finite numbers|not readable",
    ),
    "yolo, another number": (
        lambda p: yolo(p, "0.1 0.25 2", ""), 2, "line 1 has 8 fields, not 5 or 9 or 11",
    ),
    "yolo, not told": (
        lambda p: yolo(p, "0.1 0.25 2", ""), 0, "line 1 has 8 fields, not 5; .*or give keypoints=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_labels(scenes: Path, name: str) -> None:
    write, keypoints, message = BAD[name]
    with pytest.raises(DataError, match=message):
        load(scenes, write(scenes), keypoints)
