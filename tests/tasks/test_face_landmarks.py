"""A face gate on whole photographs with landmarks: what the model sees, and what depends on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import FaceVerification, KycModel, presets
from pytest_kycquant.bench.same_inputs import Inputs
from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.data.alignment import similarity, warp
from pytest_kycquant.data.images import ImageSet, preprocess
from pytest_kycquant.data.landmarks import TEMPLATE
from pytest_kycquant.errors import DataError, SpecError
from pytest_kycquant.spec.limits import FaceLimits
from pytest_kycquant.statistics import Rate
from pytest_kycquant.tasks.registry import task_of

HEAD = "file," + ",".join(f"x{i},y{i}" for i in range(1, 6))
Points = dict[str, np.ndarray]


def write(root: Path) -> Points:
    """Three people with two photographs each, two of others, and where their landmarks are."""
    rng = np.random.default_rng(0)
    names = [f"people/p{i}/{j}.png" for i in range(3) for j in range(2)]
    points = {}
    for name in [*names, "calibration/a.png", "calibration/b.png"]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (150, 160, 3), dtype=np.uint8)).save(path)
        points[name] = TEMPLATE * rng.uniform(0.8, 1.1) + rng.uniform(5, 30, 2)
    return points


def task(root: Path, points: Points, **options: Any) -> Any:
    """The task of a gate on these photographs, whose model is never opened."""
    rows = [
        f"{name},{','.join(map(str, found.ravel().tolist()))}" for name, found in points.items()
    ]
    (root / "landmarks.csv").write_text("\n".join([HEAD, *rows]))
    labelled = options.pop("labelled", True)
    spec = FaceVerification(
        root / "people", threshold=0.3, landmarks=root / "landmarks.csv", labelled=labelled
    )
    options.setdefault("preprocess", presets.ARCFACE)
    model = KycModel(root / "face.onnx", task=spec, calibration=root / "calibration", **options)
    return task_of(model, FaceLimits(), lambda path, _: Path(path))


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
@pytest.mark.parametrize("labelled", [True, False])
def test_the_model_sees_aligned_faces(tmp_path: Path, labelled: bool) -> None:
    points = write(tmp_path)
    judge = task(tmp_path, points, labelled=labelled)
    data = judge.load()
    part = data.evaluation.images
    for name, tensor in judge.tensors(part):
        pixels = np.asarray(Image.open(tmp_path / "people" / name))
        matrix, _ = similarity(points[f"people/{name}"], TEMPLATE)
        expected = preprocess(warp(pixels, matrix, (112, 112)), presets.ARCFACE, name)
        np.testing.assert_array_equal(tensor, expected)
    assert len(data.digests["aligned"]) == 1
    moved = points | {"people/p0/0.png": points["people/p0/0.png"] + 1}
    other = task(tmp_path, moved, labelled=labelled).load()
    assert {k for k in data.digests if data.digests[k] != other.digests[k]} == {"aligned"}


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
@pytest.mark.parametrize("missing", ["people/p1/0.png", "calibration/b.png"])
@pytest.mark.parametrize("labelled", [True, False])
def test_every_image_needs_landmarks(tmp_path: Path, missing: str, labelled: bool) -> None:
    points = write(tmp_path)
    del points[missing]
    judge = task(tmp_path, points, labelled=labelled)
    name = missing.partition("/")[2]
    with pytest.raises(DataError, match=f"contains images without landmarks: {name}; add a line"):
        judge.load()


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
def test_the_template_has_no_other_sizes(tmp_path: Path) -> None:
    judge = task(tmp_path, write(tmp_path), preprocess=replace(presets.ARCFACE, size=(100, 100)))
    with pytest.raises(SpecError, match="not defined for faces of 100 x 100 pixels"):
        judge.load()


def test_without_landmarks_nothing_is_aligned(tmp_path: Path) -> None:
    write(tmp_path)
    model = KycModel(
        tmp_path / "face.onnx",
        presets.ARCFACE,
        FaceVerification(tmp_path / "people", threshold=0.3),
    )
    judge = task_of(model, FaceLimits(), lambda path, _: Path(path))
    assert "aligned" not in judge.load().digests


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
@pytest.mark.parametrize("labelled", [True, False])
def test_landmarks_outside_of_their_images_are_noticed_first(
    tmp_path: Path, labelled: bool
) -> None:
    points = write(tmp_path)
    points["people/p1/0.png"] = points["people/p1/0.png"] + 500
    judge = task(tmp_path, points, labelled=labelled)
    with pytest.raises(DataError, match=r"of which their landmarks lie: p1/0\.png; give landmarks"):
        judge.load()


@pytest.mark.filterwarnings("ignore::pytest_kycquant.errors.CalibrationWarning")
def test_landmarks_are_suspected_if_inputs_are_the_same(tmp_path: Path) -> None:
    points = write(tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "people/p0/0.png")).copy()
    pixels[0, 0] ^= 255  # nothing of the aligned face
    Image.fromarray(pixels).save(tmp_path / "people/p0/copy.png")
    judge = task(tmp_path, points | {"people/p0/copy.png": points["people/p0/0.png"]})
    with pytest.raises(
        DataError,
        match=r"p0/copy\.png; check the landmarks in .*landmarks\.csv; if this is right, k",
    ):
        Inputs(judge, Scratch()).check(judge.load())


def rejecting(frr: float) -> dict[str, Rate]:
    """Rates of which only the value is looked at."""
    return {"FRR": cast("Rate", SimpleNamespace(value=frr))}


def test_landmarks_are_suspected_if_fp32_is_useless(tmp_path: Path) -> None:
    points = write(tmp_path)
    judge = task(tmp_path, points)
    images = ImageSet.from_folder(tmp_path / "people", "")
    for frr in (0.1, 1.0):
        assert judge.suspects(images, rejecting(frr)) == judge.suspect
    assert judge.suspect == f"the landmarks in {tmp_path / 'landmarks.csv'}"


@pytest.mark.parametrize(
    ("size", "frr", "hint"),
    [
        ((112, 112), 0.2, False),
        ((130, 112), 0.2, False),
        ((112, 112), 0.97, True),
        ((160, 112), 0.2, True),
        ((600, 800), 0.2, True),
    ],
)
def test_whole_photographs_need_landmarks(
    tmp_path: Path, size: tuple[int, int], frr: float, hint: bool
) -> None:
    model = KycModel(
        tmp_path / "face.onnx", presets.ARCFACE, FaceVerification(tmp_path, threshold=0.3)
    )
    judge = task_of(model, FaceLimits(), lambda path, _: Path(path))
    images = ImageSet.from_array(np.zeros((3, *size, 3), np.uint8), tmp_path / "x.npz")
    said = judge.suspects(images, rejecting(frr))
    assert ("whole photographs need FaceVerification(landmarks=...)" in said) == hint
    assert judge.suspect == ""
