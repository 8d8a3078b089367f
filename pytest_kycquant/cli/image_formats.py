"""In which of the known formats some images are: by folders, tables and arrays, not by content."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..data.files import IMAGE_SUFFIXES, npz_names
from ..data.tables import decoded
from ..errors import DataError
from ..files import from_here
from ..spec.liveness_classes import LIVE_WORDS, word
from .families import Family

Kind = Literal["people", "captures", "boxes", "images"]

TITLES: dict[Kind, str] = {
    "people": "labelled faces: a folder for each person, or subjects in an .npz",
    "captures": "labelled captures: live, and a folder or name for each attack species",
    "boxes": "labelled boxes: COCO JSON, a CSV or YOLO text files",
    "images": "images without labels",
}

_WANTED: dict[Family, Kind] = {"face": "people", "liveness": "captures", "detector": "boxes"}
_BOX_COLUMNS = {"file", "class", "x1", "y1", "x2", "y2"}
_YOLO_CLASSES, _YOLO_FIELDS = "classes.txt", 5


@dataclass(frozen=True)
class Found:
    """Images, and what is known about them.

    Args:
        kind: the format.
        data: the folder or file to name as `data`.
        labels: the labels of boxes; None for other kinds.
        classes: names of the classes of boxes, in the order of the file; () if it does not say.
        calibration: images that look like those for calibration, beside the others.
        selection: images that look like those for selection, beside the others.
        why_unlabelled: why labels are missing that the family would have, or "".
    """

    kind: Kind
    data: Path
    labels: Path | None = None
    classes: tuple[str, ...] = ()
    calibration: Path | None = None
    selection: Path | None = None
    why_unlabelled: str = ""


def find(path: Path, family: Family) -> Found:
    """Find out the format of some images.

    Args:
        path: a folder, an ``.npz``, or a table of captures or boxes.
        family: the family of the model, which says what labels would be of use.

    Raises:
        DataError: the path does not exist, or is none of these.
    """
    if not path.exists():
        raise DataError(path, "does not exist", "check the path")
    found = _folder(path) if path.is_dir() else _file(path)
    wanted = _WANTED.get(family)
    if found.kind not in ("images", wanted):
        # Labels of another kind say nothing about this model.
        found = Found("images", found.data)
    if found.kind == "images" and wanted is not None:
        found = replace(found, why_unlabelled=f"not {TITLES[wanted]}")
    return replace(
        found,
        calibration=_beside(path, "calibration"),
        selection=_beside(path, "selection") if found.kind in ("people", "captures") else None,
    )


def _file(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        names = set(npz_names(path))
        if "images" not in names:
            raise DataError(path, "has no array `images`", "save N x H x W x 3, uint8, under it")
        if "subjects" in names and not names & {"labels", "species"}:
            return Found("people", path)
        return Found("captures" if {"labels", "species"} <= names else "images", path)
    if suffix == ".json":
        return _coco(path)
    if suffix == ".csv":
        columns = _columns(path)
        if columns >= _BOX_COLUMNS:
            return Found("boxes", _images_of(path), path, _csv_classes(path))
        if columns >= {"file", "label"}:
            return Found("captures", path)
    raise DataError(
        path,
        "is not in a format that is known",
        "give a folder of images, an .npz with `images`, a CSV with file,label,species or "
        "file,class,x1,y1,x2,y2, or COCO JSON",
    )


def _folder(root: Path) -> Found:
    folders = [each for each in _entries(root) if each.is_dir()]
    if any(word(each.name) in LIVE_WORDS for each in folders) and len(folders) > 1:
        return Found("captures", root)
    if (labelled := _with_boxes(root)) is not None:
        return labelled
    loose = any(_is_image(each) for each in _entries(root))
    holding = [each for each in folders if _images_in(each)]
    if not loose and len(holding) > 1 and len(holding) == len(folders):
        return Found("people", root)
    return Found("images", root)


def _with_boxes(root: Path) -> Found | None:
    """Boxes beside or below a folder of images; None if there are none."""
    images = root / "images" if (root / "images").is_dir() else root
    homes = dict.fromkeys([root, images, *([root.parent] if root.name == "images" else [])])
    for home in homes:
        for each in _entries(home):
            if each.suffix.lower() == ".json" and (found := _coco_of(each, images)):
                return found
            if each.suffix.lower() == ".csv" and _columns(each) >= _BOX_COLUMNS:
                return Found("boxes", images, each, _csv_classes(each))
    for folder in dict.fromkeys([root / "labels", images.parent / "labels", images]):
        if folder.is_dir() and _has_yolo_texts(folder):
            return Found("boxes", images, folder, _yolo_classes(folder))
    return None


def _coco(path: Path) -> Found:
    found = _coco_of(path, _images_of(path))
    if found is None:
        raise DataError(path, "is not COCO detection JSON", "give images, annotations, categories")
    return found


def _coco_of(path: Path, images: Path) -> Found | None:
    try:
        content = json.loads(decoded(path))
    except (ValueError, RecursionError, DataError):
        return None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        return None
    rows = [row for row in content["categories"] if isinstance(row, dict)]
    rows.sort(key=lambda row: row["id"] if isinstance(row.get("id"), int) else 0)
    return Found("boxes", images, path, tuple(str(row.get("name")) for row in rows))


def _images_of(labels: Path) -> Path:
    """The folder of the images that a table of boxes is about."""
    beside = labels.parent / "images"
    return beside if beside.is_dir() else labels.parent


def _columns(path: Path) -> set[str]:
    try:
        first = decoded(path).partition("\n")[0]
    except DataError:
        return set()
    return {column.strip().strip('"').lower() for column in first.split(",")}


def _csv_classes(path: Path) -> tuple[str, ...]:
    import csv

    rows = csv.DictReader(decoded(path).splitlines(), skipinitialspace=True)
    named = dict.fromkeys((row.get("class") or "").strip() for row in rows)
    return tuple(name for name in named if name)


def _has_yolo_texts(folder: Path) -> bool:
    """Whether the first text in a folder that is not empty starts with a class and a box."""
    for each in _entries(folder):
        if each.suffix == ".txt" and each.name != _YOLO_CLASSES:
            fields = (decoded(each).strip().splitlines() or [""])[0].split()
            if fields:
                return len(fields) >= _YOLO_FIELDS and fields[0].isdigit()
    return False


def _yolo_classes(folder: Path) -> tuple[str, ...]:
    for home in (folder, folder.parent):
        if (named := home / _YOLO_CLASSES).is_file():
            return tuple(line.strip() for line in decoded(named).splitlines() if line.strip())
    return ()


def _beside(path: Path, role: str) -> Path | None:
    """Images for another purpose, where people usually put them; see `from_here`."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  # without "..", and links stay
    name, home = path.name, path.parent
    places = [
        home / f"{name}-{role}",
        home / f"{name}_{role}",
        home / f"{path.stem}-{role}{path.suffix}",
        home / role,
        home / f"{role}{path.suffix}",
        home.parent / role / name,
    ]
    found = next((each for each in places if each != path and each.exists()), None)
    return None if found is None else Path(from_here(found))


def _entries(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _images_in(folder: Path) -> bool:
    return any(_is_image(each) for each in folder.rglob("*"))
