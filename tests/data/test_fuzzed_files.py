"""Damaged tables, lists, arrays and images, from seeds: each is read or refused in one line."""

from __future__ import annotations

import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.crops import load_boxes
from pytest_kycquant.data.decoding import decode
from pytest_kycquant.data.detections import load_detections
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.data.pair_lists import load_pairs
from pytest_kycquant.errors import DataError
from tests.worlds import damage
from tests.worlds.pictures import encoded, pixels, write_faces, write_image

ROUNDS = 60  # of each kind
TOKENS = [
    b"\0", b"\xff", b'"', b",", b"\n", b"\r", b"\t", b"-", b"9" * 5000, b"nan", b"inf", b"1e999",
    b"\xe2\x80\xa8", b"\xed\xa0\x80", b"[", b"{", b"}", b"null", b"true", b'""', b"\\u0000",
    b"\\ud800", b"..", b"/", b"\\", b" ", b"\xef\xbb\xbf", b"x" * 3000, b"[[[[", b"1_0", b"\x1b[2J",
]  # fmt: skip
COCO = {
    "images": [{"id": i, "file_name": f"{i}.png", "height": 8, "width": 6} for i in range(3)],
    "categories": [{"id": 3, "name": "card"}, {"id": 1, "name": "face"}],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 4], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0, 2, 6, 6]},
    ],
}
SMALL = damage.scene(32)
IMAGES = {
    "PNG": encoded(SMALL),
    "JPEG": encoded(SMALL, "JPEG"),
    "progressive JPEG": encoded(SMALL, "JPEG", progressive=True),
    "BMP": encoded(SMALL, "BMP"),
    "RLE": damage.rle_bmp(SMALL, damage.rle_rows(SMALL, 32) + b"\0\1"),
    "GIF": encoded(SMALL, "GIF"),
    "TIFF": damage.tiff(SMALL, None),
    "LZW": damage.tiff(SMALL, "tiff_lzw"),
    "JPEG in TIFF": damage.tiff(SMALL, "jpeg"),
    "tiles": damage.tiled_tiff(damage.scene(96)),
    "WebP": encoded(SMALL, "WEBP"),
    "PPM": encoded(SMALL, "PPM"),
}


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack([pixels(i) for i in range(4)]), **arrays)
    return buffer.getvalue()


TABLES: dict[str, bytes] = {
    "faces.npz": npz(subjects=["a", "a", "b", "b"]),
    "captures.npz": npz(
        labels=["live", "live", "attack", "attack"], species=["", "", "x", "y"], subjects=range(4)
    ),
    "custom.npz": npz(labels=[1.0, 2, 3, 4], subjects=list("abcd")),
    "captures.csv": b"file,label,species,subject\nimages/0.png,live,,a\nimages/1.png,attack,x,b\n",
    "labels.csv": b"file,age,x\n0.png,1,2\n1.png,3,4.5\n2.png,7,1e3\n",
    "boxes.csv": b"file,class,x1,y1,x2,y2\n0.png,face,1,1,3,5\n1.png,card,0,2,6,8\n2.png,,,,,\n",
    "boxes.json": json.dumps(COCO).encode(),
    "crops.csv": b"file,x1,y1,x2,y2\nimages/0.png,1,1,3,5\nimages/1.png,0,2,6,8\n",
    "groups.csv": b"subject,age,sex\nann,old,m\nbob,young,f\n",
    "pairs.csv": b"left,right,same\nann/ann_0001.png,ann/ann_0002.png,1\n"
    b"ann/ann_0001.png,bob/bob_0001.png,0\n",
    "pairs.txt": b"1\t1\nann\t1\t2\nann\t1\tbob\t2\n",
    "yolo/0.txt": b"0 .5 .5 .2 .2\n1 .3 .3 .1 .1\n",
}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Flip, insert, remove, replace, repeat or cut."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(content) + 1)
        step = chance.choice((1, 2, 10, 100))
        content = chance.choice(
            (
                content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :],
                content[:place] + chance.choice(TOKENS) + content[place:],
                content[:place] + content[place + step :],
                content[:place] + chance.choice(TOKENS) + content[place + step :],
                content[:place] + content[place : place + step] + content[place:],
                content[:place],
            )
        )
    return content


def read_or_refuse(load: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load()
        except DataError as error:
            assert error.remedy  # noqa: PT017 - either outcome may be right


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_faces(root / "faces", {"ann": 3, "bob": 3})
    for number in range(3):
        write_image(root / "images" / f"{number}.png", number)
    (root / "yolo").mkdir()
    for number in range(3):
        (root / "yolo" / f"{number}.txt").write_text("1 .5 .5 .2 .2\n")
    return root


@pytest.mark.parametrize("name", TABLES)
def test_tables(world: Path, name: str) -> None:
    faces, images = load_faces(world / "faces"), world / "images"
    classes = ("face", "card")
    loaders: dict[str, Callable[[Path], object]] = {
        "faces.npz": load_faces,
        "captures.npz": load_liveness,
        "captures.csv": load_liveness,
        "custom.npz": load_labelled,
        "labels.csv": lambda path: load_labelled(images, path),
        "boxes.csv": lambda path: load_detections(images, path, classes),
        "boxes.json": lambda path: load_detections(images, path, classes),
        "yolo/0.txt": lambda path: load_detections(images, path.parent, classes),
        "crops.csv": load_boxes,
        "groups.csv": load_groups,
        "pairs.csv": lambda path: load_pairs(path, faces),
        "pairs.txt": lambda path: load_pairs(path, faces),
    }
    path = world / name
    path.write_bytes(TABLES[name])
    loaders[name](path)  # the sound one is read
    chance = random.Random(name)
    for _ in range(ROUNDS):
        path.write_bytes(damaged(TABLES[name], chance))
        read_or_refuse(lambda: loaders[name](path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", IMAGES)
def test_images(kind: str) -> None:
    decode(IMAGES[kind], "a")
    chance = random.Random(kind)
    for _ in range(ROUNDS):
        content = damaged(IMAGES[kind], chance)
        read_or_refuse(lambda content=content: decode(content, "a"))
