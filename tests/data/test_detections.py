"""Labelled scenes from COCO, YOLO and CSV: the same result, and one clear error for each fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant.data.detections import DetectionSet, load_detections, split_scenes
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import encoded, pixels, write_image

CLASSES = ("face", "card")
HEIGHT, WIDTH = 8, 6  # of the images
CSV = """file,class,x1,y1,x2,y2
a/1.png,face,1,1,3,5
2.png,card,0,2,6,8
2.png,face,1.5,2,4.5,8
3.png,,,,,
"""
COCO: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a/1.png", "height": HEIGHT, "width": WIDTH},
        {"id": 8, "file_name": "2.png"},
        {"id": 9, "file_name": "3.png"},
    ],
    "categories": [{"id": 3, "name": "card"}, {"id": 1, "name": "face"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 2, 4], "iscrowd": 0},
        {"id": 2, "image_id": 8, "category_id": 3, "bbox": [0, 2, 6, 6]},
        {"id": 3, "image_id": 8, "category_id": 1, "bbox": [1.5, 2, 3, 6]},
    ],
}
YOLO = {
    "a/1.txt": f"0 {2 / WIDTH} {3 / HEIGHT} {2 / WIDTH} {4 / HEIGHT}\n",
    "2.txt": "1 0.5 0.625 1 0.75\n0 0.5 0.625 0.5 0.75\n",
    "3.txt": "",
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a/1.png", "2.png", "3.png")):
        write_image(tmp_path / "images" / name, seed)
    return tmp_path / "images"


def write_csv(root: Path, text: str = CSV) -> Path:
    path = root / "labels.csv"
    path.write_bytes(text.encode())
    return path


def write_coco(root: Path, content: Any = COCO) -> Path:
    path = root / "labels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_yolo(root: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (YOLO if files is None else files).items():
        path = root / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "labels"


def error(images: Path, labels: Path, classes: tuple[str, ...] = CLASSES) -> DataError:
    with pytest.raises(DataError) as caught:
        load_detections(images, labels, classes)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("write", [write_csv, write_coco, write_yolo])
def test_three_formats_say_the_same(
    images: Path, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    scenes = load_detections(images, write(tmp_path), CLASSES)
    assert scenes.images.names == ("2.png", "3.png", "a/1.png")
    assert scenes.image_index.tolist() == [0, 0, 2]
    assert scenes.classes.tolist() == [1, 0, 0]
    np.testing.assert_allclose(scenes.boxes, [[0, 2, 6, 8], [1.5, 2, 4.5, 8], [1, 1, 3, 5]])
    assert not scenes.crowd.any()
    assert scenes.class_names == CLASSES


def test_boxes_of_classes_that_do_not_matter_are_left_out(images: Path, tmp_path: Path) -> None:
    scenes = load_detections(images, write_csv(tmp_path), ("hand", *CLASSES), ("card",))
    assert scenes.class_names == ("card",)
    assert scenes.classes.tolist() == [0]
    assert scenes.boxes.tolist() == [[0, 2, 6, 8]]


def test_images_may_be_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", images=np.stack([pixels(0), pixels(1)]))
    labels = write_csv(
        tmp_path, "file,class,x1,y1,x2,y2\ns.npz[1],face,1,1,3,5\ns.npz[0],card,1,1,2,2\n"
    )
    scenes = load_detections(tmp_path / "s.npz", labels, CLASSES)
    assert scenes.image_index.tolist() == [0, 1]
    assert scenes.classes.tolist() == [1, 0]


def test_digest_covers_labels_and_no_order(images: Path, tmp_path: Path) -> None:
    def digest(text: str, classes: tuple[str, ...] = CLASSES) -> str:
        return load_detections(images, write_csv(tmp_path, text), classes).digest

    header, *rows = CSV.splitlines(keepends=True)
    assert digest(CSV) == digest(header + "".join(reversed(rows)))
    different = {
        digest(CSV),
        digest(CSV, ("card", "face")),
        digest(CSV.replace("3,5", "3,6")),
        digest(CSV.replace("1.png,face", "1.png,card")),
    }
    assert len(different) == 4


def test_crowd_is_kept_apart(images: Path, tmp_path: Path) -> None:
    crowd = {"id": 4, "image_id": 9, "category_id": 1, "bbox": [0, 0, 6, 8], "iscrowd": 1}
    content = COCO | {"annotations": [*COCO["annotations"], crowd]}
    scenes = load_detections(images, write_coco(tmp_path, content), CLASSES)
    assert scenes.crowd.tolist() == [False, False, True, False]


def test_yolo_classes_file_is_compared(images: Path, tmp_path: Path) -> None:
    labels = write_yolo(tmp_path, YOLO | {"classes.txt": "face\ncard\n"})
    assert len(load_detections(images, labels, CLASSES).boxes) == 3
    write_yolo(tmp_path, {"classes.txt": "card\nface\n"})
    assert "lists the classes card, face" in error(images, labels).problem


def test_boxes_are_of_the_upright_image(images: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone held upright
    (images / "3.png").unlink()
    (images / "3.jpg").write_bytes(encoded(pixels(3), "JPEG", exif=exif))
    labels = write_csv(tmp_path, CSV.replace("3.png,,,,,", "3.jpg,face,5,0,8,6"))
    scenes = load_detections(images, labels, CLASSES)
    assert scenes.images.sizes[1] == (WIDTH, HEIGHT)
    assert scenes.images.pixels(1).shape[:2] == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "has no entries", "list the boxes"),
        ("file,class,x1,y1,x2,y2\n", "has no entries", "list the boxes"),
        ("file,class,x,y,w,h\n", "unknown columns: x, y, w, h", "use the columns file,class,x1"),
        ("file,x1,y1,x2,y2\n", "lacks the columns class", "use the columns file,class,x1"),
        (CSV + "3.png,face,1,1\n", "line 6 is malformed", "fill in every column"),
        (CSV + ",face,1,1,2,2\n", "line 6 is malformed", "fill in every column"),
        (CSV + "2.png,,1,1,2,2\n", "line 6 has no class", "fill in every column"),
        (
            CSV + "2.png,face,1,one,2,2\n",
            "line 6 is malformed: '1 one 2 2'",
            "fill in every column",
        ),
        (CSV + "2.png,face,1,,2,2\n", "line 6 is malformed", "fill in every column"),
        (CSV + '2.png,"face,1,1,2,2\n', "line 6 is malformed (", "use the columns"),
        (CSV + "3.png,face,1,1,2,2\n", "without one: line 5 and line 6", "remove the rows without"),
        (CSV + "4.png,face,1,1,2,2\n", "does not have: 4.png (line 6)", "add them or remove"),
        (CSV.replace("3.png,,,,,\n", ""), "no entry for 1 images", "needs an entry without boxes"),
        (CSV + "2.png,cat,1,1,2,2\n", "unknown classes: line 6 (cat)", "ObjectDetection(classes"),
        (CSV + "2.png,face,1,nan,2,2\n", "not finite numbers: line 6 (2.png)", "correct"),
        (CSV + "2.png,face,1,1,inf,2\n", "not finite numbers: line 6 (2.png)", "correct"),
        (CSV + "2.png,face,2,1,2,2\n", "without area: line 6 (2.png)", "write x1 < x2"),
        (CSV + "2.png,face,3,1,2,2\n", "without area: line 6 (2.png)", "write x1 < x2"),
        (CSV + "2.png,face,3,1,8,2\n", "outside their image: line 6 (2.png)", "in pixels"),
        (CSV + "2.png,face,-2,1,3,2\n", "outside their image: line 6 (2.png)", "in pixels"),
        (CSV + "2.png,face,6,1,7,2\n", "outside their image: line 6 (2.png)", "in pixels"),
        (CSV + "2.png,card,0,2,6,8\n", "annotation twice: line 3 and line 6", "remove one"),
        (
            CSV.replace("face", "card"),
            "has no boxes of the classes face",
            "ObjectDetection(judged=",
        ),
        ("file,class,x1,y1,x2,y2\na/1.png,,,,,\n2.png,,,,,\n3.png,,,,,\n", "no boxes at all", "l"),
    ],
)
def test_csv_that_cannot_be_right(
    images: Path, tmp_path: Path, text: str, problem: str, remedy: str
) -> None:
    path = write_csv(tmp_path, text)
    found = error(images, path)
    assert found.where == str(path)
    assert problem in found.problem
    assert remedy in found.remedy


def changed(table: str, row: int, **values: Any) -> dict[str, Any]:
    """The COCO labels with some values of one row changed."""
    rows = [dict(entry) for entry in COCO[table]]
    rows[row] |= values
    return COCO | {table: rows}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not readable JSON"),
        ([], "has no list of images"),
        (COCO | {"annotations": [1]}, "has no list of annotations"),
        ({k: v for k, v in COCO.items() if k != "categories"}, "has no list of categories"),
        (changed("images", 1, id="x"), "images no. 2 has no id or no file_name"),
        (changed("images", 1, id=7), "images has 7 or '2.png' twice"),
        (changed("images", 1, file_name="3.png"), "images has 9 or '3.png' twice"),
        (changed("images", 1, file_name="4.png"), "does not have: 4.png (image 8)"),
        (
            changed("images", 0, width=60),
            "image 7: a/1.png is 6 x 8 pixels, but the labels say 60 x 8",
        ),
        (changed("categories", 0, name="cat"), "unknown classes: annotation 2 (cat)"),
        (changed("annotations", 0, image_id=1), "annotation 1 has an unknown image_id: 1"),
        (changed("annotations", 0, category_id=2), "annotation 1 has an unknown category_id: 2"),
        (changed("annotations", 0, bbox=[1, 2, 3]), "annotation 1 has no bbox of four numbers"),
        (changed("annotations", 0, bbox=[1, 2, 3, None]), "annotation 1 is malformed"),
        (changed("annotations", 0, iscrowd=2), "annotation 1 has iscrowd 2"),
        (changed("annotations", 0, bbox=[1, 2, 3, 1e999]), "finite numbers: annotation 1 (a/1"),
        (changed("annotations", 0, bbox=[1, 2, float("nan"), 1]), "finite numbers: annotation 1"),
        (changed("annotations", 0, bbox=[1, 2, 3, 0]), "without area: annotation 1 (a/1.png)"),
        (changed("annotations", 0, bbox=[4, 2, 4, 1]), "outside their image: annotation 1"),
        (changed("annotations", 2, category_id=3, bbox=[0, 2, 6, 6]), "annotation 2 and annota"),
        (changed("annotations", 1, iscrowd=1), "has no boxes of the classes card"),
    ],
)
def test_coco_that_cannot_be_right(
    images: Path, tmp_path: Path, content: Any, problem: str
) -> None:
    path = write_coco(tmp_path, content)
    found = error(images, path)
    assert found.where == str(path)
    assert problem in found.problem


@pytest.mark.parametrize(
    ("files", "where", "problem"),
    [
        ({"2.txt": "1 0.5 0.5 0.5\n"}, "labels/2.txt", "line 1 has 4 fields"),
        ({"2.txt": "\n2 0.5 0.5 1 1\n"}, "labels/2.txt", "line 2 has the unknown class '2'"),
        ({"2.txt": "-1 0.5 0.5 1 1\n"}, "labels/2.txt", "line 1 has the unknown class '-1'"),
        ({"2.txt": "face 0.5 0.5 1 1\n"}, "labels/2.txt", "line 1 has the unknown class 'face'"),
        ({"2.txt": "0 0.5 half 1 1\n"}, "labels/2.txt", "line 1 is malformed"),
        ({"2.txt": "0 0.5 nan 1 1\n"}, "labels", "not finite numbers: 2.txt line 1 (2.png)"),
        ({"2.txt": "0 0.5 0.5 0 1\n"}, "labels", "without area: 2.txt line 1 (2.png)"),
        ({"2.txt": "0 1.5 0.5 1 1\n"}, "labels", "outside their image: 2.txt line 1 (2.png)"),
        ({"2.txt": YOLO["2.txt"] * 2}, "labels", "twice: 2.txt line 1 and 2.txt line 3"),
        ({"2.txt": ""}, "labels", "has no boxes of the classes card"),
        ({"a/4.txt": ""}, "labels", "labels without an image in"),
    ],
)
def test_yolo_that_cannot_be_right(
    images: Path, tmp_path: Path, files: dict[str, str], where: str, problem: str
) -> None:
    found = error(images, write_yolo(tmp_path, YOLO | files))
    assert found.where == str(tmp_path / where)
    assert problem in found.problem


def test_pixels_in_yolo_files_and_shares_in_a_csv(images: Path, tmp_path: Path) -> None:
    pixels = error(images, write_yolo(tmp_path, YOLO | {"2.txt": "0 3 4 2 2\n"}))
    assert (
        pixels.remedy == "write class cx cy w h as shares of the image, from 0 to 1, not in pixels"
    )
    rows = "a/1.png,face,.1,.1,.3,.5\n2.png,card,0,.2,.6,1\n3.png,,,,,\n"
    shares = error(images, write_csv(tmp_path, "file,class,x1,y1,x2,y2\n" + rows))
    assert shares.problem == "has only boxes within one pixel, like shares of the image"
    assert shares.remedy.endswith("in pixels")


def test_image_without_a_yolo_file(images: Path, tmp_path: Path) -> None:
    labels = write_yolo(tmp_path)
    (labels / "3.txt").unlink()
    assert "no entry for 1 images" in error(images, labels).problem


def test_two_images_of_one_yolo_file(images: Path, tmp_path: Path) -> None:
    write_image(images / "2.bmp", 9)
    assert "2.txt would label both 2.bmp and 2.png" in error(images, write_yolo(tmp_path)).problem


def test_paths_and_kinds(images: Path, tmp_path: Path) -> None:
    assert "does not exist" in error(images, tmp_path / "gone.csv").problem
    (tmp_path / "labels.xml").write_text("<a/>")
    refused = error(images, tmp_path / "labels.xml")
    assert refused.problem == "is neither a folder nor a file ending in .json or .csv"
    assert "COCO detection JSON (.json), a CSV of boxes (.csv) or a folder" in refused.remedy
    (tmp_path / "latin.csv").write_bytes(CSV.replace("face", "f\xe4ce").encode("latin-1"))
    assert "is not UTF-8" in error(images, tmp_path / "latin.csv").problem
    labels = write_csv(tmp_path)
    assert "does not exist" in error(tmp_path / "gone", labels).problem
    assert "neither a folder nor" in error(labels, labels).problem
    (tmp_path / "empty").mkdir()
    assert "contains no images" in error(tmp_path / "empty", labels).problem


def test_same_image_twice(images: Path, tmp_path: Path) -> None:
    (images / "3.png").write_bytes((images / "2.png").read_bytes())
    assert "appears twice: 2.png = 3.png" in error(images, write_csv(tmp_path)).problem


def many(tmp_path: Path) -> DetectionSet:
    np.savez(tmp_path / "s.npz", images=np.stack([pixels(seed) for seed in range(20)]))
    rows = "".join(f"s.npz[{i}],{c},0,0,{1 + i % 3},3\n" for i in range(20) for c in CLASSES)
    labels = write_csv(tmp_path, "file,class,x1,y1,x2,y2\n" + rows)
    return load_detections(tmp_path / "s.npz", labels, CLASSES)


def test_split(tmp_path: Path) -> None:
    scenes = many(tmp_path)
    evaluation, selection = split_scenes(scenes, 0.25)
    assert (len(evaluation.images), len(selection.images)) == (15, 5)
    assert not set(evaluation.images.names) & set(selection.images.names)
    for part in (evaluation, selection):
        for index, box in zip(part.image_index, part.boxes, strict=True):
            number = int(part.images.names[index][6:-1])
            assert box[2] == 1 + number % 3


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_split_that_leaves_nothing(tmp_path: Path, share: float) -> None:
    with pytest.raises(DataError, match="20 images cannot be split"):
        split_scenes(many(tmp_path), share)


def test_split_that_leaves_a_class_out(images: Path, tmp_path: Path) -> None:
    scenes = load_detections(images, write_csv(tmp_path), CLASSES)
    with pytest.raises(DataError, match="has no"):
        split_scenes(scenes, 0.5)


@pytest.mark.parametrize("key", ["annotations", "bbox", "images"])
def test_a_key_of_coco_that_occurs_twice(images: Path, tmp_path: Path, key: str) -> None:
    """A reader takes the last one, so boxes would vanish."""
    path = write_coco(tmp_path)
    text = path.read_text()
    path.write_text(text.replace(f'"{key}":', f'"{key}": [], "{key}":', 1))
    with pytest.raises(DataError, match=f"the key '{key}' occurs twice"):
        load_detections(images, path, CLASSES)


def test_true_is_no_id_of_coco(images: Path, tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    text = (
        path.read_text().replace('"id": 7,', '"id": 1,').replace('"image_id": 7', '"image_id": 1')
    )
    path.write_text(text.replace('"image_id": 1', '"image_id": true', 1))
    with pytest.raises(DataError, match="unknown image_id: True"):
        load_detections(images, path, CLASSES)
