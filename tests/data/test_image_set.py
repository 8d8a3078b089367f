"""A set of images loads lazily and is identified by what it contains."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.files import find_images
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import encoded, pixels, write_image


@pytest.fixture
def files(tmp_path: Path) -> ImageSet:
    for seed, name in enumerate(("a/1.png", "a/2.png", "b/1.png")):
        write_image(tmp_path / name, seed)
    return ImageSet.from_files(tmp_path, find_images(tmp_path))


@pytest.fixture
def rows(tmp_path: Path) -> ImageSet:
    stack = np.stack([pixels(seed) for seed in range(4)])
    return ImageSet.from_array(stack, tmp_path / "faces.npz")


def test_names_and_pixels_of_files(files: ImageSet, tmp_path: Path) -> None:
    assert files.names == ("a/1.png", "a/2.png", "b/1.png")
    assert (len(files), files.origin, files.is_array) == (3, tmp_path, False)
    np.testing.assert_array_equal(files.pixels(2), pixels(2))
    assert files.where(2) == str(tmp_path / "b/1.png")


def test_names_and_pixels_of_rows(rows: ImageSet, tmp_path: Path) -> None:
    assert rows.names[3] == "faces.npz[3]"
    assert (len(rows), rows.is_array) == (4, True)
    np.testing.assert_array_equal(rows.pixels(3), pixels(3))
    assert rows.where(3) == str(tmp_path / "faces.npz[3]")


def test_changing_pixels_leaves_the_set_alone(rows: ImageSet) -> None:
    rows.pixels(0)[:] = 0
    np.testing.assert_array_equal(rows.pixels(0), pixels(0))


def test_greyscale_rows_become_rgb() -> None:
    grey = pixels(0)[..., 0]
    shown = ImageSet.from_array(grey[np.newaxis], Path("a.npz")).pixels(0)
    np.testing.assert_array_equal(shown, np.dstack([grey] * 3))


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    images = ImageSet.from_files(tmp_path, [tmp_path / "gone.png"])
    assert images.names == ("gone.png",)
    with pytest.raises(DataError, match=r"gone\.png: does not exist; check the path"):
        images.pixels(0)
    with pytest.raises(DataError, match=r"gone\.png: does not exist; check the path"):
        _ = images.digests


def test_digest_of_a_file_is_that_of_its_bytes(files: ImageSet) -> None:
    assert files.digests[1] == hashlib.sha256(encoded(pixels(1))).hexdigest()


def test_digest_of_a_row_depends_on_its_shape() -> None:
    flat = np.zeros((1, 2, 6, 3), dtype=np.uint8)
    tall = np.zeros((1, 6, 2, 3), dtype=np.uint8)
    one, other = (ImageSet.from_array(array, Path("a.npz")) for array in (flat, tall))
    assert one.digests != other.digests


def test_digest_of_the_set_ignores_order_and_place(files: ImageSet, tmp_path: Path) -> None:
    for seed, name in enumerate(("a/1.png", "a/2.png", "b/1.png")):
        write_image(tmp_path / "copy" / name, seed)
    copy = tmp_path / "copy"
    assert ImageSet.from_files(copy, find_images(copy)).digest == files.digest
    assert files.subset([2, 0, 1]).digest == files.digest


def test_digest_of_the_set_sees_names_and_contents(files: ImageSet, tmp_path: Path) -> None:
    before = files.digest
    paths = find_images(tmp_path)
    (tmp_path / "a/1.png").rename(tmp_path / "a/0.png")
    renamed = ImageSet.from_files(tmp_path, find_images(tmp_path)).digest
    write_image(tmp_path / "a/1.png", 9)
    changed = ImageSet.from_files(tmp_path, paths).digest
    assert len({before, renamed, changed, files.subset([0, 1]).digest}) == 4


def test_unicode_forms_of_a_name_are_one_name(tmp_path: Path) -> None:
    composed, decomposed = "Zo\u00eb/1.png", "Zoe\u0308/1.png"
    sets = [ImageSet.from_files(tmp_path, [tmp_path / name]) for name in (composed, decomposed)]
    assert sets[0].names == sets[1].names == (composed,)


def test_file_that_changed_under_its_digest(files: ImageSet, tmp_path: Path) -> None:
    assert files.digests
    write_image(tmp_path / "a/1.png", 9)
    with pytest.raises(DataError, match=r"1\.png: changed while it was in use; run again"):
        files.pixels(0)


@pytest.mark.parametrize("kind", ["files", "rows"])
@pytest.mark.parametrize("warm", [False, True])
def test_subset(kind: str, warm: bool, request: pytest.FixtureRequest) -> None:
    images: ImageSet = request.getfixturevalue(kind)
    if warm:
        assert images.digests
    part = images.subset(np.array([2, 0]))
    assert part.names == (images.names[2], images.names[0])
    assert part.digests == (images.digests[2], images.digests[0])
    np.testing.assert_array_equal(part.pixels(0), images.pixels(2))


def test_subset_by_mask(files: ImageSet) -> None:
    assert files.subset(np.array([True, False, True])).names == ("a/1.png", "b/1.png")


def test_no_images(files: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no images; add images"):
        ImageSet.from_files(tmp_path, [])
    with pytest.raises(DataError, match="contains no images; add images"):
        files.subset([])


@pytest.mark.parametrize(
    ("array", "problem", "remedy"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), "images are float32, not uint8", "raw pixels 0..255"),
        (np.zeros((2, 4, 4, 3), np.int64), "images are int64, not uint8", "raw pixels 0..255"),
        (np.zeros((2, 3, 4, 4), np.uint8), "the shape (2, 3, 4, 4)", "channels last"),
        (np.zeros((2, 4, 4, 4), np.uint8), "the shape (2, 4, 4, 4)", "channels last"),
        (np.zeros((4, 4), np.uint8), "the shape (4, 4)", "N x H x W x 3"),
        (np.zeros((0, 4, 4, 3), np.uint8), "contains no pixels", "add images"),
        (np.zeros((2, 0, 4), np.uint8), "contains no pixels", "add images"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageSet.from_array(array, Path("d/faces.npz"))
    assert caught.value.where == "d/faces.npz"
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_repr_is_short(files: ImageSet, tmp_path: Path) -> None:
    assert repr(files) == f"ImageSet(3 images from {str(tmp_path)!r})"


def test_sizes_are_those_of_the_pixels(tmp_path: Path, rows: ImageSet) -> None:
    for name, height, width in (("1.png", 3, 9), ("2.png", 7, 2)):
        (tmp_path / name).write_bytes(encoded(pixels(0, height, width)))
    images = ImageSet.from_files(tmp_path, find_images(tmp_path))
    assert images.sizes == ((3, 9), (7, 2))
    (tmp_path / "1.png").unlink()  # known already
    assert images.subset([1, 0]).sizes == ((7, 2), (3, 9))
    assert rows.subset([0, 2]).sizes == ((8, 6), (8, 6))


def test_size_of_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"text")
    images = ImageSet.from_files(tmp_path, find_images(tmp_path))
    with pytest.raises(DataError, match=r"1\.png: is not an image"):
        _ = images.sizes
