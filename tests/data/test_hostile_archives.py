"""An .npz file that nobody expects gives one short error at once: no traceback, no full memory."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.files import load_npz
from pytest_kycquant.data.unlabelled import load_images
from tests.worlds.hostile import refuse
from tests.worlds.pictures import pixels

pytestmark = pytest.mark.usefixtures("no_hang")


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
    refuse(lambda: load_faces(path), "numbers that stand for no letter")


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
