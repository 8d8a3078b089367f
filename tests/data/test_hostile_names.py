"""Names, numbers and texts that nobody expects in labels give one short error at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.box_labels import read_coco, read_csv, read_yolo
from pytest_kycquant.data.crops import load_boxes
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.liveness_files import load_liveness
from tests.worlds.hostile import Load, faces_of, refuse
from tests.worlds.pictures import write_captures, write_faces, write_image

pytestmark = pytest.mark.usefixtures("no_hang")

NAMES = {
    "not UTF-8": b"an\xffna",
    "escape": b"an\x1b[2Jna",
    "line break": b"an\nna",
    "bell": b"an\x07na",
    "control of two bytes": "an\u009bna".encode(),
    "line separator": "an\u2028na".encode(),
}
APPLICANT = b"person,document,selfie,presentation,age\n%s,1.png,2.png,%s,%s\n"


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_folders_and_files(tmp_path: Path, kind: str) -> None:
    root = write_faces(tmp_path / "a", {"ann": 2, "bob": 2})
    name = os.fsdecode(NAMES[kind])
    (root / "ann").rename(root / name)
    refuse(lambda: load_faces(root), "control characters or undecodable bytes")
    captures = write_captures(tmp_path / "b", {"live": 1, "print": 1})
    (captures / "live" / "0001.png").rename(captures / "live" / f"{name}.png")
    refuse(lambda: load_liveness(captures), "control characters or undecodable bytes")


@pytest.mark.parametrize("kind", NAMES)
def test_names_in_tables(tmp_path: Path, kind: str) -> None:
    name = NAMES[kind]
    if b"\n" in name:
        name = b'"' + name + b'"'
    write_image(tmp_path / "images/1.png", 1)
    tables: dict[str, tuple[bytes, Load]] = {
        "captures.csv": (b"file,label,species,subject\n1.png,live,,%s\n", load_liveness),
        "species.csv": (b"file,label,species\n1.png,attack,%s\n", load_liveness),
        "files.csv": (b"file,label,species\n%s,live,\n", load_liveness),
        "people.csv": (APPLICANT % (b"%s", b"live", b"old"), load_applicants),
        "presentations.csv": (APPLICANT % (b"ann", b"%s", b"old"), load_applicants),
        "ages.csv": (APPLICANT % (b"ann", b"live", b"%s"), load_applicants),
        "groups.csv": (b"subject,age\n%s,old\n", load_groups),
        "values.csv": (b"subject,age\nann,%s\n", load_groups),
        "columns.csv": (b"subject,%s\nann,old\n", load_groups),
        "crops.csv": (b"file,x1,y1,x2,y2\n%s,1,2,3,4\n", load_boxes),
        "boxes.csv": (b"file,class,x1,y1,x2,y2\n%s,face,1,2,3,4\n", read_csv),
        "classes.csv": (b"file,class,x1,y1,x2,y2\n1.png,%s,1,2,3,4\n", read_csv),
        "pairs.csv": (b"left,right,same\n%s,b,1\n", faces_of(tmp_path)),
        "labels.csv": (
            b"file,label\n1.png,%s\n",
            lambda path: load_labelled(tmp_path / "images", path),
        ),
    }
    for table, (text, load) in tables.items():
        (tmp_path / table).write_bytes(text % name)
        refuse(lambda load=load, table=table: load(tmp_path / table), "UTF-8|control characters")


@pytest.mark.parametrize("kind", sorted(set(NAMES) - {"line break"}))
def test_names_in_lists_of_pairs(tmp_path: Path, kind: str) -> None:
    load = faces_of(tmp_path)
    (tmp_path / "pairs.txt").write_bytes(b"1\n%s\t1\t2\nann\t1\tbob\t1\n" % NAMES[kind])
    refuse(lambda: load(tmp_path / "pairs.txt"), "UTF-8|control characters")


@pytest.mark.parametrize("name", ["an\x1bna", "an\x00na", "an\ud800na", "a\nb"])
@pytest.mark.parametrize("column", ["file_name", "name"])
def test_names_in_coco(tmp_path: Path, name: str, column: str) -> None:
    coco = {
        "images": [{"id": 1, "file_name": name if column == "file_name" else "1.png"}],
        "annotations": [],
        "categories": [{"id": 1, "name": name if column == "name" else "face"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco))
    refuse(lambda: read_coco(tmp_path / "a.json"), "control characters")


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000 + "\n",
        "9" * 4000 + " 1\n",
        f"{10**8} {10**8}\n",
        "1\nann\t" + "9" * 5000 + "\t2\nann\t1\tbob\t1\n",
        "1\n" + "n" * 100_000 + "\t1\t2\nann\t1\tbob\t1\n",
    ],
)
def test_huge_numbers_and_names_in_lists_of_pairs(tmp_path: Path, text: str) -> None:
    load = faces_of(tmp_path)
    (tmp_path / "pairs.txt").write_text(text)
    refuse(lambda: load(tmp_path / "pairs.txt"), ".")


@pytest.mark.parametrize("field", ["9" * 5000, "x" * 500_000, "-1", "\u0661"])
def test_huge_numbers_in_yolo_labels(tmp_path: Path, field: str) -> None:
    write_image(tmp_path / "images/1.png", 1)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text(f"{field} .5 .5 .1 .1\n")
    images = ImageSet.from_folder(tmp_path / "images", "")
    refuse(lambda: read_yolo(tmp_path / "labels", images, ("face",)), "unknown class")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"images": ' + "9" * 5000 + "}", "NaN", "{}", '{"images": [1]}', "\ufeff"],
)
def test_json_that_is_not_coco(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    refuse(lambda: read_coco(tmp_path / "a.json"), ".")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    long = "n" * 300 + ".png"
    (tmp_path / "a.csv").write_text(f"file,label,species\n{long},live,\n")
    refuse(lambda: load_liveness(tmp_path / "a.csv"), "do not exist")
    (tmp_path / "b.csv").write_text(f"file,x1,y1,x2,y2\n{long},1,2,3,4\n")
    refuse(lambda: load_boxes(tmp_path / "b.csv"), "do not exist")
    refuse(lambda: load_faces(tmp_path / long), "cannot be read")
    refuse(lambda: load_faces(tmp_path / "a.csv" / "b"), "cannot be read")
