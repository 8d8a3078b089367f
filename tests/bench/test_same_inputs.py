"""Two images from which the model gets the same input are one piece of evidence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import (
    CustomLimits,
    CustomTask,
    DetectionLimits,
    FaceLimits,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessLimits,
    ObjectDetection,
    Preprocess,
)
from pytest_kycquant.bench.same_inputs import Inputs
from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import DataError, LeakageError
from pytest_kycquant.tasks.base import Task
from pytest_kycquant.tasks.registry import task_of

SMALL = Preprocess(size=(16, 16), scale=1 / 255, resize="bilinear")
BOXED = Preprocess(size=(16, 16), scale=1 / 255, resize="letterbox")
GREY = Preprocess(size=(16, 16), scale=1 / 255, resize="bilinear", channels="GRAY")
Copy = Callable[[np.ndarray], np.ndarray]


def photograph(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def padded(image: np.ndarray) -> np.ndarray:
    """Grey above and below, as tools for YOLO pad."""
    height, width = image.shape[:2]
    square = np.full((width, width, 3), 114, np.uint8)
    top = (width - height) // 2
    square[top : top + height] = image
    return square


def one_pixel(image: np.ndarray) -> np.ndarray:
    """Another value in one of many pixels, which resizing rounds away."""
    changed = image.copy()
    changed[0, 0, 0] ^= 1
    return changed


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis], 3, axis=2)


KINDS: dict[str, tuple[Preprocess, Copy, tuple[int, int]]] = {
    "letterboxed": (BOXED, padded, (8, 16)),
    "one pixel": (SMALL, one_pixel, (64, 64)),
    "grey": (GREY, grey, (16, 16)),
}


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def task(root: Path, spec: Any, preprocess: Any, limits: Any, **options: Any) -> Task[Any, Any]:
    model = KycModel("model.onnx", preprocess=preprocess, task=spec, **options)
    return task_of(model, limits, lambda path, _: root / path)


def wrong(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return labels == "no"


def check(made: Task[Any, Any], store: Any = None) -> Inputs:
    found = Inputs(made, store or Scratch())
    found.check(made.load())
    return found


def faces(root: Path, kind: str, **options: Any) -> Task[Any, Any]:
    _, _, size = KINDS[kind]
    for number, name in enumerate(("ann", "ann", "bob", "bob")):
        save(root / "faces" / name / f"{number}.png", photograph(number, *size))
    for number, name in enumerate(("carl", "carl", "dora", "dora")):
        save(root / "selection" / name / f"{number}.png", photograph(100 + number, *size))
    for number in range(100):
        save(root / "calibration" / f"{number}.png", photograph(200 + number, *size))
    spec = FaceVerification("faces", selection="selection", **options)
    limits = FaceLimits()
    return task(root, spec, KINDS[kind][0], limits, calibration="calibration")


def copied(root: Path, kind: str, source: str, target: str) -> None:
    image = np.asarray(Image.open(root / source))
    copy = KINDS[kind][1](image)
    assert not np.array_equal(copy, image)
    save(root / target, copy)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["ann", "bob"])
def test_faces(tmp_path: Path, kind: str, target: str) -> None:
    made = faces(tmp_path, kind)
    check(made)
    copied(tmp_path, kind, "faces/ann/0.png", f"faces/{target}/copy.png")
    with pytest.raises(DataError, match=r"same input from several images: ann/0\.png = ") as caught:
        check(made)
    assert f"{target}/copy.png" in caught.value.problem
    assert not isinstance(caught.value, LeakageError)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("faces/ann/0.png", "selection/carl/c.png", "for evaluation give .* for selection"),
        ("faces/ann/0.png", "calibration/c.png", "for calibration give .* for evaluation"),
        ("selection/dora/3.png", "calibration/c.png", "for calibration give .* for selection"),
    ],
)
def test_two_purposes(tmp_path: Path, kind: str, source: str, target: str, message: str) -> None:
    made = faces(tmp_path, kind)
    copied(tmp_path, kind, source, target)
    with pytest.raises(LeakageError, match=rf"1 of its images {message}"):
        check(made)


def test_selection_and_calibration_among_themselves(tmp_path: Path) -> None:
    made = faces(tmp_path, "one pixel")
    copied(tmp_path, "one pixel", "calibration/0.png", "calibration/copy.png")
    check(made)  # harmless there
    copied(tmp_path, "one pixel", "selection/carl/0.png", "selection/carl/copy.png")
    with pytest.raises(DataError, match=r"selection: the model gets the same input"):
        check(made)


def test_flat_images_are_no_exception(tmp_path: Path) -> None:
    """The second one tells no more about the model than the first."""
    made = faces(tmp_path, "one pixel")
    for side in (20, 30):
        save(tmp_path / "faces" / "ann" / f"{side}.png", np.full((side, side, 3), 9, np.uint8))
    with pytest.raises(DataError, match=r"ann/20\.png = ann/30\.png"):
        check(made)


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_labels(tmp_path: Path, kind: str) -> None:
    preprocess, _, size = KINDS[kind]
    for number in range(4):
        save(tmp_path / "images" / f"{number}.png", photograph(number, *size))
    for spec, limits in (
        (FaceVerification("images", threshold=0.3, labelled=False), FaceLimits()),
        (LivenessDetection("images", threshold=0.5, labelled=False), LivenessLimits()),
        (ObjectDetection("images", labelled=False, confidence=0.5, classes=("a",)),
         DetectionLimits()),
    ):  # fmt: skip
        made = task(tmp_path, spec, preprocess, limits)
        check(made)
        copied(tmp_path, kind, "images/1.png", "images/copy.png")
        with pytest.raises(DataError, match=r"same input from several images: 1\.png = copy"):
            check(made)
        (tmp_path / "images" / "copy.png").unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_custom(tmp_path: Path, kind: str) -> None:
    preprocess, _, size = KINDS[kind]
    for number, label in enumerate(("yes", "yes", "no", "no")):
        save(tmp_path / "images" / label / f"{number}.png", photograph(number, *size))
    spec = CustomTask("images", metric=wrong)
    made = task(tmp_path, spec, preprocess, CustomLimits(metric=0.5))
    check(made)
    copied(tmp_path, kind, "images/yes/1.png", "images/no/copy.png")
    with pytest.raises(DataError, match=r"no/copy\.png = yes/1\.png"):
        check(made)


@pytest.mark.parametrize("kind", KINDS)
def test_scenes(tmp_path: Path, kind: str) -> None:
    preprocess, _, size = KINDS[kind]
    lines = ["file,class,x1,y1,x2,y2"]
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", photograph(number, *size))
        lines.append(f"{number}.png,card,1,1,9,9")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    spec = ObjectDetection("images", "labels.csv", classes=("card",), confidence=0.5)
    made = task(tmp_path, spec, preprocess, DetectionLimits())
    check(made)
    copied(tmp_path, kind, "images/1.png", "images/copy.png")
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "copy.png,card,1,1,9,9"]))
    with pytest.raises(DataError, match=r"same input from several images: 1\.png = copy"):
        check(made)


def crops(root: Path, scales: Any) -> Task[Any, Any]:
    """Captures of 60 x 60 pixels with a face of 12 x 12 in the middle."""
    lines = ["file,x1,y1,x2,y2"]
    for number, name in enumerate(("live/0", "live/1", "print/2", "print/3", "screen/4", "live/5")):
        save(root / "captures" / f"{name}.png", photograph(number, 60, 60))
        lines.append(f"{name}.png,24,24,36,36")
    (root / "captures" / "boxes.csv").write_text("\n".join(lines))
    several = isinstance(scales, tuple)
    spec = LivenessDetection(
        "captures", boxes="captures/boxes.csv", crop_scale=scales, threshold=0.5
    )
    paths = ("a.onnx", "b.onnx") if several else "a.onnx"
    model = KycModel(paths, preprocess=SMALL, task=spec, name="liveness")
    return task_of(model, LivenessLimits(), lambda path, _: root / path)


def outside(root: Path, margin: int) -> None:
    """Copy a capture, and change what lies more than `margin` pixels from the face."""
    image = photograph(77, 60, 60)
    inner = slice(24 - margin, 36 + margin)
    image[inner, inner] = photograph(0, 60, 60)[inner, inner]
    save(root / "captures" / "live" / "5.png", image)


def test_photographs_that_differ_outside_of_the_crop(tmp_path: Path) -> None:
    made = crops(tmp_path, 2.0)
    check(made)
    outside(tmp_path, 2)
    check(made)
    outside(tmp_path, 8)
    with pytest.raises(DataError, match=r"same input from several images: live/0\.png = live/5"):
        check(made)


def test_every_file_of_a_model_must_see_the_same(tmp_path: Path) -> None:
    made = crops(tmp_path, (2.0, 4.0))
    outside(tmp_path, 8)
    check(made)  # the second file sees a larger region
    outside(tmp_path, 20)
    with pytest.raises(DataError, match=r"live/0\.png = live/5\.png"):
        check(made)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded."""
    names: list[str] = []
    pixels_of = ImageSet.pixels

    def counted(images: ImageSet, index: int) -> np.ndarray:
        names.append(images.names[index])
        return pixels_of(images, index)

    monkeypatch.setattr(ImageSet, "pixels", counted)
    return names


def test_digests_are_remembered(tmp_path: Path, decoded: list[str]) -> None:
    store = Scratch()
    made = faces(tmp_path, "grey")
    data = made.load()
    Inputs(made, store).check(data)
    assert set(decoded) >= set(data.evaluation.images.names)
    again = faces(tmp_path, "grey")
    decoded.clear()
    Inputs(again, store).check(data)
    assert not decoded


def test_digests_depend_on_preprocessing_and_regions(tmp_path: Path) -> None:
    store = Scratch()
    made = faces(tmp_path, "grey")
    copied(tmp_path, "grey", "faces/ann/0.png", "faces/ann/copy.png")
    coloured = task(tmp_path, made.model.task, SMALL, FaceLimits(), calibration="calibration")
    check(coloured, store)
    with pytest.raises(DataError, match="same input"):
        check(made, store)
    wide = crops(tmp_path, 4.0)
    outside(tmp_path, 8)
    check(wide, store)
    narrow = crops(tmp_path, 2.0)
    outside(tmp_path, 8)
    with pytest.raises(DataError, match="same input"):
        check(narrow, store)


def test_inputs_that_differ_from_what_is_remembered_are_named(tmp_path: Path) -> None:
    made = faces(tmp_path, "one pixel")
    found = check(made)
    images = made.load().evaluation.images
    named = list(made.tensors(images))
    assert list(found.differing(images, 0, named)) == []
    name, tensor = named[2]
    assert list(found.differing(images, 0, [(name, tensor + 1)])) == [name]
