"""Scenes with documents: one seed gives one scene, and the labels are right."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.rendering import cards, documents, perspective, splits

CALIBRATION = Path(__file__).parents[2] / "calibration" / "documents"
SEEDS = [0, 7, 18, 100_000, 200_000, 300_000]
DOCUMENTS = [1, 2, 0]  # number of documents in each of the first three scenes


@pytest.fixture(scope="module")
def scenes():
    return [documents.scene(seed) for seed in SEEDS]


def test_same_seed_same_scene(scenes):
    again = documents.scene(SEEDS[2])
    assert again.jpeg == scenes[2].jpeg
    np.testing.assert_array_equal(again.boxes, scenes[2].boxes)


def test_other_seeds_other_scenes(scenes):
    assert len({scene.jpeg for scene in scenes}) == len(SEEDS)


def test_scenes_are_those_that_the_goldens_know(scenes):
    content = b"".join(scene.jpeg for scene in scenes)
    assert (
        hashlib.sha256(content).hexdigest()
        == "586fbccbb2b1ee25350171b106191b4c6929aacfd97eb06923b4489973b6179f"
    )


def test_boxes_are_inside_the_picture_and_portraits_inside_documents(scenes):
    for scene in scenes:
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= documents.SIZE).all()
        assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
        around = scene.boxes[scene.classes == documents.DOCUMENT]
        for x1, y1, x2, y2 in scene.boxes[scene.classes == documents.PORTRAIT]:
            low = (around[:, :2] <= (x1 + 0.01, y1 + 0.01)).all(1)
            high = (around[:, 2:] >= (x2 - 0.01, y2 - 0.01)).all(1)
            assert (low & high).any()


def test_scenes_have_none_one_or_two_documents(scenes):
    counts = [int((scene.classes == documents.DOCUMENT).sum()) for scene in scenes[:3]]
    assert counts == DOCUMENTS


def test_issuers_of_splits_differ():
    layouts = {
        name: [cards.layout(seeds.start + i) for i in range(documents.LAYOUTS[name])]
        for name, seeds in splits.ALL.items()
    }
    assert {one.kind for one in layouts["evaluation"]} == {one.kind for one in layouts["training"]}
    patterns = [one.pattern.tobytes() for group in layouts.values() for one in group]
    assert len(set(patterns)) == len(patterns)


def test_portrait_stays_on_the_card_of_every_layout():
    for seed in range(300):
        design = cards.layout(seed)
        x, y, width, height = design.portrait
        assert min(x, y) > 0
        assert x + width < design.size[0]
        assert y + height < design.size[1]


def test_depth_is_the_distance_to_the_nearest_side():
    square = perspective.rectangle((10, 20))
    x, y = np.array([[-1.0, 1.0, 10.0]]), np.array([[5.0]])
    np.testing.assert_allclose(perspective.depth(square, x, y), [[-1.0, 1.0, 5.0]])


def test_pose_keeps_the_centre_and_fits_the_picture():
    rng = np.random.default_rng(5)
    for _ in range(50):
        pose = perspective.pose(rng, (100, 160), np.array([300.0, 10.0]), tilt=0.5)
        middle = perspective.projected(pose, np.array([[80.0, 50.0]]))
        np.testing.assert_allclose(middle, [[300.0, 10.0]])
        fitted = perspective.fitted(pose, (100, 160), slack=5.0)
        corners = perspective.projected(fitted, perspective.rectangle((100, 160)))
        assert corners.min() > -5.001
        assert corners.max() < documents.SIZE + 5.001


def test_labels_are_coco(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "SELECTION_SCENES", 2)
    documents.write_selection(tmp_path)
    labels = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert labels["categories"] == [{"id": 1, "name": "document"}, {"id": 2, "name": "portrait"}]
    assert [image["id"] for image in labels["images"]] == list(splits.SELECTION[:2])
    written = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert written == [image["file_name"] for image in labels["images"]]
    expected = documents.scene(splits.SELECTION[0])
    found = [a for a in labels["annotations"] if a["image_id"] == splits.SELECTION[0]]
    assert [a["category_id"] - 1 for a in found] == expected.classes.tolist()
    boxes = np.array([a["bbox"] for a in found])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, expected.boxes, atol=0.011)


def test_calibration_folder_is_what_the_renderer_writes():
    files = sorted(CALIBRATION.iterdir())
    assert [file.stem for file in files] == [
        str(seed) for seed in splits.CALIBRATION[: documents.CALIBRATION_SCENES]
    ]
    assert sum(file.stat().st_size for file in files) < 5_000_000
    for file in files[::80]:
        content = file.read_bytes()
        assert content == documents.scene(int(file.stem)).jpeg
        assert Image.open(io.BytesIO(content)).size == (documents.SIZE, documents.SIZE)
