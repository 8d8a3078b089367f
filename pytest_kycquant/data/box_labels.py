"""Boxes on disk: strict readers of COCO JSON, YOLO text files and CSV.

Each reader returns what its file says and where the file says it. `detections.py` then checks the
boxes and their classes, with the same messages for all three formats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DataError
from ..plain import unique
from .files import check_text, files_below, listed, relative_name, short
from .tables import (
    decoded,
    image_name,
    malformed,
    read_table,
    read_text,
)

if TYPE_CHECKING:
    from .images import ImageSet

_CSV_COLUMNS = ("file", "class", "x1", "y1", "x2", "y2")
_CSV_REMEDY = "fill in every column, or only file for an image without boxes"
_EMPTY_REMEDY = "list the boxes, one per row"
_UNLABELLED = (float("nan"), float("nan"))
_YOLO_FIELDS = 5
_YOLO_REMEDY = "write one 'class cx cy w h' per line, the last four as fractions of the image"
_YOLO_CLASSES = "classes.txt"  # labelling tools write the names of the classes there
_COCO_REMEDY = "export it again as COCO detection JSON"


class LabelledBox(NamedTuple):
    """One annotation.

    Attributes:
        place: where the annotation stands in the labels, such as ``a/1.txt line 4``.
        image: name of the image, relative to the data folder.
        label: name of the class.
        corners: x1, y1, x2, y2 in pixels.
        crowd: whether the box marks a region where detections are neither right nor wrong.
        points: x and y of each keypoint in pixels, NaN for one that is not labelled; empty if none
            are read.
    """

    place: str
    image: str
    label: str
    corners: tuple[float, float, float, float]
    crowd: bool = False
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class BoxLabels:
    """The content of the labels.

    Args:
        entries: each image that the labels mention, with or without boxes, and the place.
        boxes: the annotations in the order of the file.
        sizes: (height, width) of the images in pixels, where the labels state it.
    """

    entries: Mapping[str, str]
    boxes: Sequence[LabelledBox]
    sizes: Mapping[str, tuple[int, int]]


def read_csv(path: Path) -> BoxLabels:
    """Read a CSV of boxes with the columns ``file,class,x1,y1,x2,y2`` (pixels).

    Raises:
        DataError: the file is malformed, or an image has both boxes and a row without a box.
    """
    text = read_text(path, _EMPTY_REMEDY)
    rows = read_table(text, path, _CSV_COLUMNS, empty_remedy=_EMPTY_REMEDY, row_remedy=_CSV_REMEDY)
    entries: dict[str, str] = {}
    empty: dict[str, str] = {}
    boxes = []
    for line, values in rows:
        place = f"line {line}"
        if not values["file"]:
            raise malformed(path, line, _CSV_REMEDY)
        name = image_name(values["file"], path)
        entries.setdefault(name, place)
        if not any(values[column] for column in _CSV_COLUMNS[1:]):
            empty.setdefault(name, place)
            continue
        if not values["class"]:
            raise DataError(path, f"{place} has no class", _CSV_REMEDY)
        x1, y1, x2, y2 = _numbers([values[c] for c in _CSV_COLUMNS[2:]], path, place, _CSV_REMEDY)
        boxes.append(LabelledBox(place, name, values["class"], (x1, y1, x2, y2)))
    contradicted = [f"{empty[b.image]} and {b.place}" for b in boxes if b.image in empty]
    if contradicted:
        raise DataError(
            path,
            f"lists the same image with a box and without one: {listed(contradicted)}",
            "remove the rows without a box",
        )
    return BoxLabels(entries, boxes, {})


def read_coco(path: Path, keypoints: int = 0) -> BoxLabels:
    """Read COCO detection JSON: ``images``, ``annotations`` (bbox x, y, w, h) and ``categories``.

    The name of an image is its ``file_name``, relative to the data folder.

    Args:
        path: the file.
        keypoints: number of keypoints to read of each annotation, as x, y and visibility (0: not
            labelled); an annotation may have none.

    Raises:
        DataError: the file is malformed, or an id appears twice or refers to nothing.
    """
    try:
        content = json.loads(decoded(path), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"is not readable JSON ({error})", _COCO_REMEDY) from error
    tables = {}
    for table in ("images", "annotations", "categories"):
        rows = content.get(table) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(path, f"has no list of {table}", _COCO_REMEDY)
        tables[table] = rows
    names = _by_id(tables["images"], "images", "file_name", path)
    labels = _by_id(tables["categories"], "categories", "name", path)
    sizes = {}
    for row in tables["images"]:
        height, width = row.get("height"), row.get("width")
        if isinstance(height, int) and isinstance(width, int):
            sizes[names[row["id"]]] = (height, width)
    boxes = []
    for number, row in enumerate(tables["annotations"]):
        place = f"annotation {row.get('id', f'no. {number + 1}')}"
        for key, known in (("image_id", names), ("category_id", labels)):
            if type(row.get(key)) is not int or row[key] not in known:  # true is 1
                raise DataError(path, f"{place} has an unknown {key}: {row.get(key)!r}", "add it")
        corners = row.get("bbox")
        if not isinstance(corners, list) or len(corners) != 4:
            raise DataError(path, f"{place} has no bbox of four numbers", _COCO_REMEDY)
        x, y, width, height = _numbers(corners, path, place, _COCO_REMEDY)
        if row.get("iscrowd", 0) not in (0, 1):
            raise DataError(path, f"{place} has iscrowd {row['iscrowd']!r}", "write 0 or 1")
        boxes.append(
            LabelledBox(
                place,
                names[row["image_id"]],
                labels[row["category_id"]],
                (x, y, x + width, y + height),
                bool(row.get("iscrowd", 0)),
                _coco_points(row.get("keypoints"), keypoints, path, place),
            )
        )
    return BoxLabels({name: f"image {key}" for key, name in names.items()}, boxes, sizes)


def _coco_points(
    given: Any, number: int, path: Path, place: str
) -> tuple[tuple[float, float], ...]:
    if not number:
        return ()
    if given is None:
        return (_UNLABELLED,) * number
    if not isinstance(given, list) or len(given) != 3 * number:
        raise DataError(
            path,
            f"{place} has keypoints {short(str(given))}, not x, y and visibility of {number}",
            "correct them, or keypoints= in ObjectDetection",
        )
    values = _numbers(given, path, place, _COCO_REMEDY)
    return _points(values, 3)


def _points(values: Sequence[float], width: int) -> tuple[tuple[float, float], ...]:
    """X and y of each keypoint; visibility 0, or x and y of 0 without one, is not labelled."""
    found = []
    for start in range(0, len(values), width):
        x, y, *visible = values[start : start + width]
        known = visible[0] > 0 if visible else x != 0 or y != 0
        found.append((x, y) if known else _UNLABELLED)
    return tuple(found)


def read_yolo(
    folder: Path, images: ImageSet, classes: Sequence[str], keypoints: int = 0
) -> BoxLabels:
    """Read YOLO labels: ``a/1.txt`` below `folder`, perhaps empty, has those of ``a/1.jpg``.

    Args:
        folder: the folder of the label files, usually ``labels/`` next to ``images/``.
        images: the images; their sizes turn fractions into pixels.
        classes: names of the classes, in the order of their numbers.
        keypoints: number of keypoints that may follow each box, as x and y, or x, y and visibility.

    Raises:
        DataError: a label file has no image, a line is malformed, two images share a label file,
            or ``classes.txt`` lists other classes.
    """
    files = {
        relative_name(path, folder): path
        for path in sorted(files_below(folder))
        if path.suffix == ".txt"
    }
    if _YOLO_CLASSES in files:
        _check_yolo_classes(files.pop(_YOLO_CLASSES), classes)
    owners: dict[str, int] = {}
    for index, name in enumerate(images.names):
        label = PurePosixPath(name).with_suffix(".txt").as_posix()
        if label in owners:
            raise DataError(
                folder,
                f"{label} would label both {images.names[owners[label]]} and {name}",
                "rename one of them",
            )
        owners[label] = index
    stray = sorted(set(files) - set(owners))
    if stray:
        raise DataError(
            folder,
            f"contains labels without an image in {images.origin}: {listed(stray)}",
            "add the images or remove the labels",
        )
    entries = {}
    boxes = []
    for label, index in owners.items():
        if label in files:
            name = images.names[index]
            entries[name] = label
            size = images.sizes[index]
            boxes += _yolo_boxes(files[label], label, name, size, classes, keypoints)
    return BoxLabels(entries, boxes, {})


def _yolo_boxes(
    path: Path,
    label: str,
    image: str,
    size: tuple[int, int],
    classes: Sequence[str],
    keypoints: int,
) -> list[LabelledBox]:
    height, width = size
    boxes = []
    for number, line in enumerate(decoded(path).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        place = f"line {number}"
        allowed = {_YOLO_FIELDS + width * keypoints: width for width in (0, 2, 3)}
        if len(fields) not in allowed:
            listed_ = " or ".join(map(str, sorted(allowed)))
            remedy = _YOLO_REMEDY if keypoints else f"{_YOLO_REMEDY}, or give keypoints="
            raise DataError(path, f"{place} has {len(fields)} fields, not {listed_}", remedy)
        number_of_class = fields[0].isascii() and fields[0].isdigit() and len(fields[0]) < 10
        which = int(fields[0]) if number_of_class else -1
        if not 0 <= which < len(classes):
            raise DataError(
                path,
                f"{place} has the unknown class {short(fields[0])!r}",
                f"the classes are 0 to {len(classes) - 1}: {listed(list(classes))}",
            )
        cx, cy, w, h, *rest = _numbers(fields[1:], path, place, _YOLO_REMEDY)
        points = _points(rest, allowed[len(fields)]) if rest else (_UNLABELLED,) * keypoints
        points = tuple((x * width, y * height) for x, y in points)
        corners = (
            (cx - w / 2) * width,
            (cy - h / 2) * height,
            (cx + w / 2) * width,
            (cy + h / 2) * height,
        )
        boxes.append(LabelledBox(f"{label} {place}", image, classes[which], corners, points=points))
    return boxes


def _check_yolo_classes(path: Path, classes: Sequence[str]) -> None:
    named = [line.strip() for line in decoded(path).splitlines() if line.strip()]
    if named != list(classes):
        raise DataError(
            path,
            f"lists the classes {listed(named)}, but the gate file lists {listed(list(classes))}",
            "give ObjectDetection(classes=...) the classes in the order of the model's outputs",
        )


def _by_id(rows: list[dict[str, Any]], table: str, value: str, path: Path) -> dict[int, str]:
    """Map the ids in a table of a COCO file to values; both must be unique."""
    found: dict[int, str] = {}
    known: set[str] = set()
    for number, row in enumerate(rows, start=1):
        key, text = row.get("id"), row.get(value)
        if not isinstance(key, int) or not isinstance(text, str) or not text:
            raise DataError(path, f"{table} no. {number} has no id or no {value}", _COCO_REMEDY)
        text = check_text(text, path, value)
        if value == "file_name":
            text = image_name(text, path)
        if key in found or text in known:
            raise DataError(path, f"{table} has {key} or {text!r} twice", "remove one of them")
        found[key] = text
        known.add(text)
    return found


def _numbers(fields: Sequence[Any], path: Path, place: str, remedy: str) -> list[float]:
    """Turn fields into numbers; NaN and infinity are left for `detections.py` to reject."""
    try:
        return [float("nan") if isinstance(field, bool) else float(field) for field in fields]
    except (TypeError, ValueError, OverflowError) as error:
        shown = short(" ".join(map(str, fields)))
        raise DataError(path, f"{place} is malformed: {shown!r}", remedy) from error
