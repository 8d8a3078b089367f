"""Applicants: documents and selfies of the same people, and what liveness sees of a selfie."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.rendering import applicants, documents, faces, recapture, splits
from models.rendering.groups import groups
from models.rendering.liveness import KINDS, LIVE, MASK, PRINT, SCREEN
from pytest_kycquant.data.resizing import resize_linear

SEED = splits.EVALUATION[0]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean())


def decoded(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_selfie_depends_on_kind_and_person_alone(kind):
    first = applicants.selfie(kind, SEED)
    applicants.selfie(PRINT, SEED + 1)  # what was drawn before must not matter
    assert applicants.selfie(kind, SEED) == first


def test_files_are_those_that_the_goldens_know():
    digest = hashlib.sha256()
    for seed in splits.EVALUATION[:2]:
        digest.update(applicants.document(seed))
        for kind in KINDS:
            digest.update(applicants.selfie(kind, seed))
    assert digest.hexdigest()[:16] == "1a75338ad00fce59"


@pytest.mark.parametrize("kind", KINDS)
def test_liveness_sees_what_its_camera_saw(kind):
    """The shrunk selfie is the coarse picture, but for the JPEG in between."""
    selfie, _ = applicants.picture(kind, SEED)
    (coarse, _), _, _ = applicants._photograph(kind, SEED)
    size = (recapture.SIZE, recapture.SIZE)
    np.testing.assert_array_equal(resize_linear(selfie, size), coarse)
    stored = decoded(applicants.selfie(kind, SEED))
    assert stored.shape == (applicants.SIZE, applicants.SIZE, 3)
    assert difference(resize_linear(stored, size), coarse) < 6.0


def test_a_selfie_has_more_detail_than_its_coarse_picture():
    selfie, _ = applicants.picture(LIVE, SEED)
    (coarse, _), scene, _ = applicants._photograph(LIVE, SEED)
    middle = np.s_[75:165, 75:165]  # the face
    enlarged = applicants._enlarged(coarse.astype(np.float64))
    assert difference(selfie[middle], enlarged[middle]) > 0.5
    np.testing.assert_allclose(applicants._enlarged(np.full((4, 5), 7.0)), np.full((12, 15), 7.0))
    assert scene.fine.shape == selfie.shape


@pytest.mark.parametrize("kind", [PRINT, SCREEN])
def test_no_detail_of_a_photo_lies_outside_of_its_copy(kind):
    for seed in splits.EVALUATION[:20]:
        (coarse, _), _, visible = applicants._photograph(kind, seed)
        if visible.min() > 0.0:
            continue
        selfie, _ = applicants.picture(kind, seed)
        plain = applicants._enlarged(coarse.astype(np.float64))
        outside = applicants._enlarged(visible)[..., 0] == 0.0
        assert difference(selfie[outside], plain[outside]) < 0.51  # of rounding
        return
    pytest.fail("no copy has an edge")


def test_document_and_selfie_show_the_same_person(monkeypatch):
    drawn: list[int] = []
    render = faces.render

    def recorded(person, *rest, **named):
        drawn.append(person.seed)
        return render(person, *rest, **named)

    monkeypatch.setattr(faces, "render", recorded)
    for kind in KINDS:
        applicants.selfie(kind, SEED)
    assert set(drawn) == {SEED}
    applicants.document(SEED)
    assert drawn[-1] == SEED  # others are clutter below the document


def test_one_upright_document_with_a_portrait_fills_the_frame():
    for seed in splits.EVALUATION[:8]:
        scene = documents.framed(seed, faces.person(seed))
        assert scene.classes.tolist() == [documents.DOCUMENT, documents.PORTRAIT]
        sizes = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert 240.0 < sizes[0].max() <= documents.SIZE
        assert sizes[1].max() > 70.0
        assert sizes[1][1] > 0.95 * sizes[1][0]


def test_the_table_names_every_file(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(applicants, "APPLICANTS", 2)
    monkeypatch.setattr(applicants, "ATTACKED", 1)
    applicants.write_evaluation(tmp_path)
    with (tmp_path / "applicants.csv").open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    first, second = (f"id{seed}" for seed in splits.EVALUATION[:2])
    assert list(rows[0]) == ["person", "document", "selfie", "presentation", "age", "skin"]
    assert [(row["person"], row["presentation"]) for row in rows] == [
        (first, "bona fide"),
        (first, PRINT),
        (first, SCREEN),
        (first, MASK),
        (second, "bona fide"),
    ]
    named = {row[column] for row in rows for column in ("document", "selfie")}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    assert named == written
    assert len({row["document"] for row in rows}) == 2
    assert (rows[0]["skin"], rows[0]["age"]) == groups(faces.person(splits.EVALUATION[0]))
    assert (tmp_path / rows[0]["selfie"]).read_bytes() == applicants.selfie(LIVE, SEED)
