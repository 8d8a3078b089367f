"""Loaders that are given what nobody expects, and what they must answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.data.detections import load_detections
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.pair_lists import load_pairs
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_faces, write_image

Load = Callable[[Path], object]


def refuse(load: Callable[[], object], problem: str) -> None:
    """Make sure that a loader gives one short printable error, which says what to do."""
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
