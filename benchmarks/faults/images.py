"""Images of people and scenes that no gate, no threshold and no calibration ever sees.

Some of them decide whether a damaged model is harmful; others go to gates that ask for more data.
They are rendered on demand into ``data/held-out``, which git ignores, and deleted when the renderer
changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from models.rendering import documents, faces, liveness, splits
from models.rendering.canvas import encode_jpeg
from models.rendering.groups import write_groups
from models.rendering.sets import renderer_digest
from pytest_kycquant.context.code import meaning

ROOT = Path(__file__).parents[2]
# The gates use the first seeds of this range. SEEDS decide the truth, and MORE go to gates that ask
# for more data.
SEEDS = splits.EVALUATION[50_000:75_000]
MORE = splits.EVALUATION[75_000:]
_LIVE = 3  # number of live people for each person with attacks
MOST = len(SEEDS) // _LIVE  # people
_QUALITY = 90  # JPEG quality of face pictures, as in the sets of the gates
_WORKERS = 2
Made = TypeVar("Made")


def held_out(kind: str, people: int, say: Callable[[str], None], *, seeds: range = SEEDS) -> Path:
    """The folder of images of a kind, rendered if it is missing.

    The file `groups.csv` lies beside the folders of people, as in the sets of the gates.

    Args:
        kind: "faces" (four pictures a person), "liveness" (attacks of each species on `people`
            people, and three times as many live people) or "documents" (`people` scenes).
        people: number of people or scenes.
        say: a function that receives a message before long work.
        seeds: seeds of the people; the first ones are rendered.

    Raises:
        ValueError: there are not enough seeds.
    """
    if people > MOST:
        raise ValueError(f"{people:,} people: there are seeds for {MOST:,} people at most")
    home = ROOT / "data" / "held-out"
    sources = renderer_digest().encode() + meaning(Path(__file__).read_bytes())
    name = f"{kind}-{people}-from-{seeds.start}"
    target = home / f"{name}-{hashlib.sha256(sources).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        if target.is_dir():
            return target
        for stale in home.glob(f"{name}-*"):
            shutil.rmtree(stale)
        say(f"rendering {kind} of {people} people into {target} (once, for some minutes)")
        unfinished = target.with_name(f".{target.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        write = {"faces": _faces, "liveness": _liveness, "documents": _documents}[kind]
        write(unfinished, people, seeds)
        unfinished.rename(target)  # whole or not at all
    return target


def _faces(folder: Path, people: int, seeds: range) -> None:
    _each(partial(_face, folder), seeds[:people])
    write_groups(folder / "groups.csv", seeds[:people])


def _face(folder: Path, seed: int) -> None:
    home = folder / f"id{seed}"
    home.mkdir()
    for index in range(faces.PICTURES):
        picture = encode_jpeg(faces.aligned(seed, index), _QUALITY)
        (home / f"{index:02d}.jpg").write_bytes(picture)


def _liveness(folder: Path, people: int, seeds: range) -> None:
    live = seeds[: _LIVE * people]
    for kind in liveness.KINDS:
        _each(partial(_capture, folder, kind), live if kind == liveness.LIVE else seeds[:people])
    write_groups(folder / "groups.csv", live)


def _capture(folder: Path, kind: str, subject: int) -> None:
    place = folder / kind / f"id{subject}"
    place.mkdir(parents=True)
    (place / "00.jpg").write_bytes(liveness.render(kind, subject, 0))


def _documents(folder: Path, people: int, seeds: range) -> None:
    """Write scenes as in the sets of the gates: ``images`` and ``labels.json`` of COCO."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for seed, boxes in _each(partial(_scene, folder / "images"), seeds[:people]):
        size = {"width": documents.SIZE, "height": documents.SIZE}
        images.append({"id": seed, "file_name": f"{seed}.jpg", **size})
        for (x1, y1, x2, y2), label in boxes:
            corner = {"image_id": seed, "category_id": label + 1, "iscrowd": 0}
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            annotations.append({"id": len(annotations) + 1, **corner, **box})
    names = ("document", "portrait")  # in the order of their classes
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")


def _scene(folder: Path, seed: int) -> tuple[int, list[tuple[list[float], int]]]:
    """Write a scene; return its seed and its objects, each as (x1, y1, x2, y2) and class."""
    made = documents.scene(seed)
    (folder / f"{seed}.jpg").write_bytes(made.jpeg)
    return seed, list(zip(made.boxes.tolist(), made.classes.tolist(), strict=True))


def _each(do: Callable[[int], Made], seeds: range) -> list[Made]:
    with ProcessPoolExecutor(_WORKERS) as pool:
        return list(pool.map(do, seeds, chunksize=16))
