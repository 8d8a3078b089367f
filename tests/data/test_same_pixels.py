"""Equal pixels are one image, whatever format, metadata or compression they are stored in."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pytest_kycquant.context.scratch import Scratch
from pytest_kycquant.data.calibration import load_calibration
from pytest_kycquant.data.detections import load_detections
from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.facts_store import remembering
from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.labelled import load_labelled
from pytest_kycquant.data.leakage import check_disjoint
from pytest_kycquant.data.liveness_files import load_liveness
from pytest_kycquant.data.unlabelled import check_copies, load_images
from pytest_kycquant.errors import CalibrationWarning, DataError, LeakageError
from tests.worlds.pictures import encoded, pixels, write_captures, write_faces, write_image

GREY = np.repeat(pixels(9)[..., :1], 3, axis=2)
SIXTEEN = np.asarray(Image.fromarray(pixels(9)).quantize(16).convert("RGB"))


def text() -> bytes:
    info = PngInfo()
    info.add_text("comment", "another file")
    return encoded(pixels(9), pnginfo=info)


def turned() -> bytes:
    """Stored lying on its side, and turned upright by its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(np.rot90(pixels(9)), exif=exif)


def alpha() -> bytes:
    image = Image.fromarray(pixels(9))
    image.putalpha(Image.new("L", image.size, 77))
    return encoded(np.asarray(image))


def palette() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(SIXTEEN).quantize(16).save(buffer, "PNG")
    return buffer.getvalue()


def compressed_tiff() -> bytes:
    return encoded(pixels(9), "TIFF", compression="tiff_lzw")


COPIES: dict[str, tuple[np.ndarray, Callable[[], bytes], str]] = {
    "the same bytes": (pixels(9), lambda: encoded(pixels(9)), "png"),
    "text chunk": (pixels(9), text, "png"),
    "other compression": (pixels(9), lambda: encoded(pixels(9), compress_level=0), "png"),
    "BMP": (pixels(9), lambda: encoded(pixels(9), "BMP"), "bmp"),
    "PPM": (pixels(9), lambda: encoded(pixels(9), "PPM"), "ppm"),
    "TIFF": (pixels(9), compressed_tiff, "tif"),
    "lossless WebP": (pixels(9), lambda: encoded(pixels(9), "WEBP", lossless=True), "webp"),
    "orientation": (pixels(9), turned, "png"),
    "alpha channel": (pixels(9), alpha, "png"),
    "bytes behind the end": (pixels(9), lambda: encoded(pixels(9)) + b"x", "png"),
    "another name of the format": (pixels(9), lambda: encoded(pixels(9)), "jpg"),
    "grey": (GREY, lambda: encoded(GREY[..., 0]), "png"),
    "palette": (SIXTEEN, palette, "png"),
}


def place(folder: Path, kind: str, name: str = "copy") -> str:
    """Write a copy of image 9, and return its name."""
    folder.mkdir(parents=True, exist_ok=True)
    _, content, suffix = COPIES[kind]
    (folder / f"{name}.{suffix}").write_bytes(content())
    return f"{name}.{suffix}"


def original(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(COPIES[kind][0]))


@pytest.mark.parametrize("kind", COPIES)
def test_faces(tmp_path: Path, kind: str) -> None:
    root = write_faces(tmp_path, {"ann": 2, "bob": 2})
    original(root / "ann/nine.png", kind)
    load_faces(root)
    name = place(root / "ann", kind)
    with pytest.raises(DataError, match=f"appears twice: .*ann/{name}"):
        load_faces(root)
    (root / "ann" / name).rename(root / "bob" / name)
    with pytest.raises(DataError, match=r"under two identities: ann/nine\.png = bob/copy"):
        load_faces(root)


@pytest.mark.parametrize("kind", COPIES)
def test_captures(tmp_path: Path, kind: str) -> None:
    root = write_captures(tmp_path, {"live": 2, "print": 2})
    original(root / "live/nine.png", kind)
    name = place(root / "live", kind)
    with pytest.raises(DataError, match=f"appears twice: .*live/{name}"):
        load_liveness(root)
    (root / "live" / name).rename(root / "print" / name)
    with pytest.raises(DataError, match=r"under two labels: live/nine\.png = print/copy"):
        load_liveness(root)


@pytest.mark.parametrize("kind", COPIES)
def test_custom(tmp_path: Path, kind: str) -> None:
    for label, seed in (("yes", 1), ("no", 2)):
        write_image(tmp_path / label / "1.png", seed)
    original(tmp_path / "yes/nine.png", kind)
    place(tmp_path / "no", kind)
    with pytest.raises(DataError, match="appears twice: no/copy"):
        load_labelled(tmp_path)


@pytest.mark.parametrize("kind", COPIES)
def test_scenes(tmp_path: Path, kind: str) -> None:
    images = tmp_path / "images"
    write_image(images / "1.png", 1)
    original(images / "nine.png", kind)
    names = ["1.png", "nine.png", place(images, kind)]
    table = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 0, "bbox": [1, 1, 2, 2]}
                        for i in range(3)],
        "categories": [{"id": 0, "name": "face"}],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match=r"appears twice: .*copy"):
        load_detections(images, tmp_path / "labels.json", ("face",))


@pytest.mark.parametrize("kind", COPIES)
def test_unlabelled(tmp_path: Path, kind: str) -> None:
    original(tmp_path / "nine.png", kind)
    place(tmp_path, kind)
    with pytest.raises(DataError, match="appears twice"):
        check_copies(load_images(tmp_path))


@pytest.mark.parametrize("kind", COPIES)
def test_between_splits(tmp_path: Path, kind: str) -> None:
    original(tmp_path / "a/nine.png", kind)
    place(tmp_path / "b", kind)
    one, other = (ImageSet.from_files(root, find_images(root)) for root in
                  (tmp_path / "a", tmp_path / "b"))  # fmt: skip
    with pytest.raises(LeakageError, match=r"1 of its images for calibration .*nine\.png = copy"):
        check_disjoint(one, "calibration", other, "evaluation")


@pytest.mark.parametrize("grey", [False, True])
def test_rows_of_an_array(tmp_path: Path, grey: bool) -> None:
    array = np.stack([GREY, 255 - GREY])
    rows = ImageSet.from_array(array[..., 0] if grey else array, tmp_path / "a.npz")
    original(tmp_path / "b/nine.png", "grey")
    files = ImageSet.from_folder(tmp_path / "b", "")
    with pytest.raises(LeakageError, match=r"a\.npz\[0\] = nine\.png"):
        check_disjoint(rows, "calibration", files, "evaluation")


def test_array_of_grey_and_array_of_colour(tmp_path: Path) -> None:
    one = ImageSet.from_array(np.stack([GREY])[..., 0], tmp_path / "a.npz")
    other = ImageSet.from_array(np.stack([GREY]), tmp_path / "b.npz")
    with pytest.raises(LeakageError):
        check_disjoint(one, "selection", other, "evaluation")


def test_shape_matters(tmp_path: Path) -> None:
    """The same bytes in another shape are another image."""
    one = ImageSet.from_array(np.stack([pixels(9, 4, 6)]), tmp_path / "a.npz")
    other = ImageSet.from_array(np.stack([pixels(9, 4, 6).reshape(6, 4, 3)]), tmp_path / "b.npz")
    check_disjoint(one, "selection", other, "evaluation")


def test_calibration_counts_different_images(tmp_path: Path) -> None:
    for number in range(99):
        write_image(tmp_path / f"{number}.png", number)
    place(tmp_path, "text chunk")
    with pytest.warns(CalibrationWarning, match="99 different calibration images"):
        load_calibration(tmp_path)


def test_facts_survive_subsets_and_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write_image(tmp_path / f"{number}.png", number)
    direct = ImageSet.from_folder(tmp_path, "").facts
    prepare = remembering(Scratch().load)
    decoded: list[int] = []
    pixels_of = ImageSet.pixels

    def counted(images: ImageSet, index: int) -> Any:
        decoded.append(index)
        return pixels_of(images, index)

    monkeypatch.setattr(ImageSet, "pixels", counted)
    first = ImageSet.from_folder(tmp_path, "")
    prepare(first)
    assert sorted(decoded) == list(range(5))
    again = ImageSet.from_folder(tmp_path, "").subset([4, 2, 0, 1, 3])
    prepare(again)
    part = again.subset([1, 0])
    assert len(decoded) == 5  # the second set is remembered, whatever its order
    assert part.facts.digests == (direct.digests[2], direct.digests[4])
    np.testing.assert_array_equal(part.facts.thumbnails, direct.thumbnails[[2, 4]])
    assert first.facts.digests == direct.digests


def test_changed_image_is_looked_at_again(tmp_path: Path) -> None:
    prepare = remembering(Scratch().load)
    write_image(tmp_path / "a.png", 1)
    before = ImageSet.from_folder(tmp_path, "")
    prepare(before)
    write_image(tmp_path / "a.png", 2)
    after = ImageSet.from_folder(tmp_path, "")
    prepare(after)
    assert before.facts.digests != after.facts.digests
