"""Files that nobody expects give one short error at once: no traceback and no hang."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.calibration import load_calibration
from pytest_kycquant.data.crops import load_boxes
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.files import read_file
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.data.unlabelled import load_images
from tests.worlds.hostile import Load, faces_of, refuse, scenes_of
from tests.worlds.pictures import write_faces, write_image

pytestmark = pytest.mark.usefixtures("no_hang")


READERS: dict[str, Callable[[Path], Load]] = {
    "faces.npz": lambda _: load_faces,
    "captures.npz": lambda _: load_liveness,
    "captures.csv": lambda _: load_liveness,
    "labels.npz": lambda _: load_labelled,
    "images.npz": lambda _: load_images,
    "calibration.npz": lambda _: load_calibration,
    "pairs.csv": faces_of,
    "pairs.txt": faces_of,
    "applicants.csv": lambda _: load_applicants,
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
