"""People that no gate sees are rendered completely, once, from separate seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import images
from models.rendering import documents, faces, liveness, splits
from pytest_kycquant.data.detections import load_detections
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.groups import load_groups
from pytest_kycquant.data.liveness_files import load_liveness


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(images, "ROOT", tmp_path)
    return []


def test_seeds_are_of_no_gate() -> None:
    used = max(
        faces.EVALUATION_IDENTITIES, 3 * liveness.EVALUATION_SUBJECTS, documents.EVALUATION_SCENES
    )
    assert images.SEEDS.start > splits.EVALUATION[used]
    assert images.SEEDS[-1] in splits.EVALUATION
    assert not set(images.SEEDS) & set(images.MORE)


def test_no_fewer_people_than_asked_for(said: list[str]) -> None:
    with pytest.raises(ValueError, match=r"8,333 people at most"):
        images.held_out("liveness", 8_334, said.append)


def test_faces(said: list[str]) -> None:
    folder = images.held_out("faces", 2, said.append)
    found = load_faces(folder)
    assert found.subject_names == tuple(f"id{seed}" for seed in images.SEEDS[:2])
    assert len(found.images) == 2 * faces.PICTURES
    assert images.held_out("faces", 2, said.append) == folder
    assert len(said) == 1  # the second time it already existed
    assert [path.name for path in folder.parent.glob(".*partial")] == []
    others = images.held_out("faces", 2, said.append, seeds=images.MORE)
    assert folder.is_dir()
    assert load_faces(others).subject_names == tuple(f"id{seed}" for seed in images.MORE[:2])


@pytest.mark.parametrize("kind", ["faces", "liveness"])
def test_everybody_is_in_a_group(kind: str, said: list[str]) -> None:
    folder = images.held_out(kind, 6, said.append)
    found = load_faces(folder) if kind == "faces" else load_liveness(folder)
    load_groups(folder / "groups.csv").check_people(found)


def test_liveness(said: list[str]) -> None:
    found = load_liveness(images.held_out("liveness", 1, said.append))
    assert sorted(found.species_names) == ["mask", "print", "screen"]
    assert len(found.images) == 3 + 3


def test_documents(said: list[str]) -> None:
    folder = images.held_out("documents", 2, said.append)
    names = ("document", "portrait")
    found = load_detections(folder / "images", folder / "labels.json", names, names)
    assert len(found.images) == 2
    expected = [box for seed in images.SEEDS[:2] for box in documents.scene(seed).boxes.tolist()]
    assert len(found.boxes) == len(expected)
