"""The region around a face: worked out by hand, inside the image, and centred where possible."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pytest_kycquant.data.crops import (
    Box,
    FaceCrops,
    crop_box,
    crop_faces,
    load_boxes,
)
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import DataError


def test_inside() -> None:
    """A 40 x 50 face at (100, 80) in 640 x 480, scale 2: centre (120, 105), region 80 x 100.

    From (120 - 40, 105 - 50) = (80, 55) to (160, 155), both ends included.
    """
    assert crop_box(640, 480, Box(100, 80, 140, 130), 2.0) == (80, 55, 161, 156)


def test_shifted_right_and_down() -> None:
    """The same face at (10, 5), scale 2: centre (30, 30), from (-10, -20) to (70, 80).

    It is shifted by 10 and by 20, so that it starts at 0 and keeps its size: to (80, 100).
    """
    assert crop_box(640, 480, Box(10, 5, 50, 55), 2.0) == (0, 0, 81, 101)


def test_shifted_left_and_up() -> None:
    """A 40 x 50 face at (590, 420), scale 2: centre (610, 445), from (570, 395) to (650, 495).

    The last pixel is (639, 479): shifted by 11 and by 16, it starts at (559, 379).
    """
    assert crop_box(640, 480, Box(590, 420, 630, 470), 2.0) == (559, 379, 640, 480)


def test_scale_clamped_by_the_height() -> None:
    """A 200 x 250 face at (100, 100) in 640 x 480, scale 2.7.

    min(479 / 250, 639 / 200, 2.7) = 479 / 250 = 1.916: the region is 383.2 x 479. Centre (200,
    225): x from 200 - 191.6 = 8.4 to 391.6, truncated to 8 and 391; y from 225 - 239.5 = -14.5
    to 464.5, shifted to 0 and 479.
    """
    assert crop_box(640, 480, Box(100, 100, 300, 350), 2.7) == (8, 0, 392, 480)


def test_scale_clamped_by_the_width() -> None:
    """A 100 x 60 face at (150, 20) in 320 x 400, scale 4.

    min(399 / 60, 319 / 100, 4) = 3.19: the region is 319 x 191.4. Centre (200, 50): x from 40.5
    to 359.5, shifted by 40.5 to 0 and 319; y from -45.7 to 145.7, shifted to 0 and 191.4.
    """
    assert crop_box(320, 400, Box(150, 20, 250, 80), 4.0) == (0, 0, 320, 192)


def test_face_as_large_as_the_image() -> None:
    """Scale min(479 / 480, 639 / 640, 2.7) = 479 / 480: a column is lost, as in the original.

    The region is 638.67 x 479 around (320, 240): x from .67 to 639.33, shifted by .33 to .33 and
    639; y from .5 to 479.5, shifted to 0 and 479.
    """
    assert crop_box(640, 480, Box(0, 0, 640, 480), 2.7) == (0, 0, 640, 480)


def test_fractions_are_truncated() -> None:
    """Centre (20.25, 20.25), sides 10.5 * 2 = 21: from 9.75 to 30.75 on both axes."""
    assert crop_box(100, 100, Box(15.0, 15.0, 25.5, 25.5), 2.0) == (9, 9, 31, 31)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, int, Box, float]:
    width, height = draw(st.integers(2, 900)), draw(st.integers(2, 900))
    x, y = draw(st.floats(-5, width - 1)), draw(st.floats(-5, height - 1))
    sides = draw(st.floats(1, 1000)), draw(st.floats(1, 1000))
    return width, height, Box(x, y, x + sides[0], y + sides[1]), draw(st.floats(1, 5))


@given(scene=scenes())
def test_region_lies_inside_and_has_the_size_it_should(
    scene: tuple[int, int, Box, float],
) -> None:
    width, height, box, scale = scene
    left, top, right, bottom = crop_box(*scene)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    used = min((height - 1) / box.height, (width - 1) / box.width, scale)
    # From truncated first to truncated last pixel, both included: within one pixel of side + 1.
    assert abs((right - left) - (box.width * used + 1)) < 1 + 1e-6
    assert abs((bottom - top) - (box.height * used + 1)) < 1 + 1e-6


@given(scene=scenes())
def test_region_is_centred_unless_it_touches_the_border(
    scene: tuple[int, int, Box, float],
) -> None:
    width, height, box, _ = scene
    left, top, right, bottom = crop_box(*scene)
    if left > 0 and right < width:
        assert abs((left + right) / 2 - (box.x1 + box.x2) / 2) <= 1 + 1e-6
    if top > 0 and bottom < height:
        assert abs((top + bottom) / 2 - (box.y1 + box.y2) / 2) <= 1 + 1e-6


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """20 x 30 pixels (height x width), red = row, green = column."""
    rows, columns = np.mgrid[:20, :30].astype(np.uint8)
    pixels = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path


def boxes_file(folder: Path, *lines: str, header: str = "file,x1,y1,x2,y2") -> Path:
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def crops(folder: Path, line: str, scale: float = 2.0) -> FaceCrops:
    images = ImageSet.from_files(folder, [folder / "photo.png"])
    return crop_faces(images, load_boxes(boxes_file(folder, line)), scale)


def test_pixels_are_those_of_the_region(photo: Path) -> None:
    found = crops(photo, "photo.png,10,8,14,12").pixels(0)
    # Centre (12, 10), sides 8: columns 8 to 16, rows 6 to 14.
    assert found.shape == (9, 9, 3)
    assert found[:, 0, 0].tolist() == list(range(6, 15))
    assert found[0, :, 1].tolist() == list(range(8, 17))
    assert found.flags.c_contiguous


def test_digest_covers_box_and_scale_but_contents_are_whole_images(photo: Path) -> None:
    one = crops(photo, "photo.png,10,8,14,12")
    assert one.digest == crops(photo, "photo.png,10,8,14,12").digest
    assert one.digest != crops(photo, "photo.png,10,8,14,13").digest
    assert one.digest != crops(photo, "photo.png,10,8,14,12", 2.7).digest
    whole = ImageSet.from_files(photo, [photo / "photo.png"])
    assert one.digests == whole.digests
    assert one.digest != whole.digest


def test_subset_keeps_boxes(photo: Path) -> None:
    Image.open(photo / "photo.png").rotate(180).save(photo / "other.png")
    path = boxes_file(photo, "photo.png,10,8,14,12", "other.png,4,4,6,6")
    files = [photo / "photo.png", photo / "other.png"]
    both = crop_faces(ImageSet.from_files(photo, files), load_boxes(path), 2.0)
    part = both.subset(np.array([False, True]))
    assert part.names == ("other.png",)
    assert np.array_equal(part.pixels(0), both.pixels(1))
    assert part.pixels(0).shape == (5, 5, 3)


def test_a_file_that_changes_meanwhile(photo: Path) -> None:
    found = crops(photo, "photo.png,10,8,14,12")
    assert found.digest
    Image.open(photo / "photo.png").rotate(180).save(photo / "photo.png")
    with pytest.raises(DataError, match="changed while it was in use"):
        found.pixels(0)


def test_box_a_little_over_the_border(photo: Path) -> None:
    assert crops(photo, "photo.png,-2,8,6,12").pixels(0).shape == (9, 17, 3)


@pytest.mark.parametrize("box", ["40,8,44,12", "28,8,34,12", "10,-6,14,2", "-9,-9,-5,-5"])
def test_box_outside_the_image(photo: Path, box: str) -> None:
    with pytest.raises(DataError, match=r"photo\.png: its face box .* lies outside the image, wh"):
        crops(photo, f"photo.png,{box}").pixels(0)


@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ("photo.png,10,8,10,12", "without area: photo.png (line 2)", "write x1 < x2"),
        ("photo.png,10,8,14,7", "without area: photo.png (line 2)", "upper left corner first"),
        ("photo.png,10,8,14", "line 2 is malformed", "fill in file,x1"),
        ("photo.png,10,8,14,a", "line 2 is malformed", "with coordinates in pixels"),
        ("photo.png,10,8,14,nan", "line 2 is malformed", "with coordinates in pixels"),
        (",10,8,14,12", "line 2 is malformed", "fill in file,x1"),
        ("gone.png,10,8,14,12", "do not exist: gone.png (line 2)", "the folder of the CSV"),
        (
            "photo.png,10,8,14,12\n./photo.png,1,8,14,12",
            "lists images twice: photo.png (line 3)",
            "keep the line",
        ),
        ("", "has no entries", "list the face boxes"),
    ],
)
def test_lists_that_cannot_be_right(photo: Path, line: str, problem: str, remedy: str) -> None:
    path = boxes_file(photo, line)
    with pytest.raises(DataError) as caught:
        load_boxes(path)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_columns_of_another_tool(photo: Path) -> None:
    path = boxes_file(photo, "photo.png,10,8,4,4", header="file,x,y,w,h")
    with pytest.raises(DataError, match="unknown columns: x, y, w, h; use the columns file,x1,y1"):
        load_boxes(path)


def test_image_without_a_box(photo: Path) -> None:
    Image.open(photo / "photo.png").save(photo / "other.png")
    images = ImageSet.from_files(photo, [photo / "photo.png", photo / "other.png"])
    boxes = load_boxes(boxes_file(photo, "photo.png,10,8,14,12"))
    with pytest.raises(DataError, match=r"without face boxes: other\.png; add a line for each"):
        crop_faces(images, boxes, 2.7)


def test_rows_of_an_array_have_no_boxes() -> None:
    images = ImageSet.from_array(np.zeros((1, 4, 4, 3), np.uint8), Path("a.npz"))
    with pytest.raises(DataError, match=r"a\.npz: is an array, but face boxes need image files"):
        crop_faces(images, {}, 2.7)
