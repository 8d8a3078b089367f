"""Names and files that nobody expects give one short error at once: no traceback and no hang."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.box_labels import read_coco, read_csv, read_yolo
from pytest_kycquant.data.calibration import load_calibration
from pytest_kycquant.data.crops import load_boxes
from pytest_kycquant.data.detections import load_detections
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.files import load_npz, read_file
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.data.pair_lists import load_pairs
from pytest_kycquant.data.unlabelled import load_images
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import pixels, write_captures, write_faces, write_image

Load = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Raise an error in a test that waits for a FIFO."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refuse(load: Callable[[], object], problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        load()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1200
    assert caught.value.remedy


def faces_of(root: Path) -> Load:
    faces = load_faces(write_faces(root / "sound", {"ann": 2, "bob": 2}))
    return lambda path: load_pairs(path, faces)


def scenes_of(root: Path) -> Load:
    write_image(root / "scenes" / "1.png", 1)
    return lambda path: load_detections(root / "scenes", path, ("face",))


READERS: dict[str, Callable[[Path], Load]] = {
    "faces.npz": lambda _: load_faces,
    "captures.npz": lambda _: load_liveness,
    "captures.csv": lambda _: load_liveness,
    "labels.npz": lambda _: load_labelled,
    "images.npz": lambda _: load_images,
    "calibration.npz": lambda _: load_calibration,
    "pairs.csv": faces_of,
    "pairs.txt": faces_of,
    "boxes.csv": scenes_of,
    "boxes.json": scenes_of,
    "crops.csv": lambda _: load_boxes,
    "groups.csv": lambda _: load_groups,
}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    """A socket; its path must be short."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def empty(path: Path) -> None:
    path.touch()


def zeros(path: Path) -> None:
    path.write_bytes(bytes(1000))


def nul_in_a_name(path: Path) -> None:
    path.write_bytes(b"file,subject,left,right\n\0,\0,\0,\0\n")


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00file,subject\n\xff,\x80\n")


def long_line(path: Path) -> None:
    path.write_bytes(b"file," + b"x" * 2_000_000)


OBJECTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "FIFO": (fifo, "not a regular file"),
    "socket": (listening, "cannot be read|not a regular file"),
    "device": (device, "not a regular file"),
    "dangling link": (dangling, "does not exist"),
    "link to itself": (loop, "cannot be read"),
    "3 GiB": (sparse, "is 3.0 GiB large"),
    "empty": (empty, "."),
    "zeros": (zeros, "."),
    "NUL": (nul_in_a_name, "."),
    "not text": (not_text, "."),
    "long line": (long_line, "."),
}


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("name", READERS)
def test_something_else_in_place_of_a_file(tmp_path: Path, name: str, kind: str) -> None:
    make, problem = OBJECTS[kind]
    load = READERS[name](tmp_path)
    make(tmp_path / name)
    refuse(lambda: load(tmp_path / name), problem)


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "dangling link", "link to itself"])
def test_something_else_among_images(tmp_path: Path, kind: str) -> None:
    root = write_faces(tmp_path, {"ann": 2, "bob": 2})
    OBJECTS[kind][0](root / "ann" / "x.png")
    if kind == "device":  # a link to a device is found where it is, too
        refuse(lambda: load_faces(root), "not a regular file")
    else:
        refuse(lambda: load_faces(root), "broken link or not a regular file")


def test_fifo_that_replaces_an_image_after_listing(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    images = ImageSet.from_folder(tmp_path, "")
    path.unlink()
    os.mkfifo(path)
    refuse(lambda: images.digests, "not a regular file")


def test_image_that_vanishes_after_listing(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    images = ImageSet.from_folder(tmp_path, "")
    path.unlink()
    refuse(lambda: images.facts, "does not exist")


@pytest.mark.parametrize("fact", ["facts", "sizes"])
def test_image_that_grows_after_its_digest(tmp_path: Path, fact: str) -> None:
    path = write_image(tmp_path / "a.png", 1)
    images = ImageSet.from_folder(tmp_path, "")
    assert images.digests
    path.write_bytes(path.read_bytes() + b"more")
    refuse(lambda: getattr(images, fact), "changed while it was in use")


NAMES = {
    "not UTF-8": b"an\xffna",
    "escape": b"an\x1b[2Jna",
    "line break": b"an\nna",
    "bell": b"an\x07na",
    "control of two bytes": "an\u009bna".encode(),
    "line separator": "an\u2028na".encode(),
}


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


def test_deep_folders(tmp_path: Path) -> None:
    """Deeper than Python's stack."""
    write_image(tmp_path / "ann" / "1.png", 1)
    deep, made = tmp_path / "bob", []
    while len(str(deep)) < 3800:
        deep.mkdir()
        made.append(deep)
        deep /= "d"
    image = write_image(made[-1] / "2.png", 2)
    try:
        assert len(load_faces(tmp_path).images) == 2
        assert len(made) > 1500
    finally:  # pytest would not be able to
        image.unlink()
        for folder in reversed(made):
            folder.rmdir()


def test_circle_of_links(tmp_path: Path) -> None:
    root = write_faces(tmp_path, {"ann": 2, "bob": 2})
    (root / "ann" / "again").symlink_to(root)
    refuse(lambda: load_faces(root), "link to a folder that contains it")


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_faces(tmp_path, {"ann": 2, "bob": 2})
    listing = Path.iterdir

    def deny(path: Path) -> Iterator[Path]:
        if path.name == "bob":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", deny)
    refuse(lambda: load_faces(root), r"cannot be listed \(Permission denied\)")


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.png", 1)

    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    refuse(lambda: read_file(path), r"cannot be read \(Permission denied\)")


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode() + b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def test_zip_bomb(tmp_path: Path) -> None:
    shape = (100, 1000, 1000, 3)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(header))
        for _ in range(100):
            member.write(bytes(3_000_000))
    assert path.stat().st_size < 1 << 20
    refuse(lambda: load_images(path), "decompression bomb")


def test_large_arrays_that_compress_like_images(tmp_path: Path) -> None:
    one = np.repeat(np.repeat(pixels(1, 40, 40), 8, axis=0), 8, axis=1)
    images = np.stack([np.roll(one, 3 * number, axis=1) for number in range(300)])
    np.savez_compressed(tmp_path / "a.npz", images=images)
    assert len(load_images(tmp_path / "a.npz")) == 300


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8, 3)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8, 3)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1000,)}",
        "{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': 5}",
        "[" * 900,
    ],
)
def test_headers_of_arrays(tmp_path: Path, header: str) -> None:
    refuse(lambda: load_images(archive(tmp_path / "a.npz", images=npy(header, bytes(64)))), ".")


def test_letters_that_do_not_exist(tmp_path: Path) -> None:
    header = "{'descr': '<U1', 'fortran_order': False, 'shape': (2,)}"
    images = io.BytesIO()
    np.save(images, np.stack([pixels(1), pixels(2)]))
    bad = npy(header, struct.pack("<II", 0xFFFFFFFF, 65))
    path = archive(tmp_path / "a.npz", images=images.getvalue(), subjects=bad)
    refuse(lambda: load_faces(path), "no letter in any language")


@pytest.mark.parametrize("subject", ["an\x1bna", "an\ud800na", "a\nb", " ", "x" * 100_000])
def test_names_in_npz(tmp_path: Path, subject: str) -> None:
    images = np.stack([pixels(1), pixels(2)])
    np.savez(tmp_path / "a.npz", images=images, subjects=["bob", subject])
    refuse(
        lambda: load_faces(tmp_path / "a.npz"),
        "control characters|is empty|has 100,000 letters; give it a name of at most 200",
    )


def test_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object))
    refuse(lambda: load_npz(tmp_path / "a.npz", "images"), "pickled Python objects")
