"""Every picture a phone or scanner writes becomes RGB; every other file is rejected by name."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from pytest_kycquant.data.decoding import decode
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import encoded, pixels

RGB = pixels(1, height=24, width=16)
SMOOTH = np.asarray(Image.fromarray(pixels(2, 4, 4)).resize((64, 64)))


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def refuse(content: bytes, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(content, "people/a.jpg")
    message = str(caught.value)
    assert message.startswith("people/a.jpg: ")
    assert problem in message
    assert remedy in caught.value.remedy
    assert "\n" not in message
    assert "0x" not in message  # no addresses: the same file gives the same message


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_give_their_pixels(form: str) -> None:
    decoded = decode(encoded(RGB, form), "a")
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, RGB)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_formats_give_what_pillow_gives(form: str) -> None:
    content = encoded(SMOOTH, form)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content, "a"), expected)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, RGB),
        (2, RGB[:, ::-1]),
        (3, RGB[::-1, ::-1]),
        (4, RGB[::-1]),
        (5, RGB.transpose(1, 0, 2)),
        (6, np.rot90(RGB, -1)),
        (7, np.rot90(RGB.transpose(1, 0, 2), 2)),
        (8, np.rot90(RGB)),
    ],
)
def test_orientation_of_phones_is_applied(orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(RGB, "PNG", exif=exif), "a"), upright)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_other_eight_bit_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    content = saved(image, "TIFF" if mode == "CMYK" else "PNG")
    expected = np.asarray(image.convert("RGBA" if mode == "P" else mode).convert("RGB"))
    np.testing.assert_array_equal(decode(content, "a"), expected)


def test_transparent_palette_becomes_rgb_without_a_warning() -> None:
    image = Image.fromarray(RGB).quantize(8)
    content = saved(image, "PNG", transparency=bytes(range(8)))
    np.testing.assert_array_equal(decode(content, "a"), np.asarray(image.convert("RGB")))


def test_phone_picture_with_a_second_picture_gives_the_first() -> None:
    first, second = Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)
    content = saved(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(decode(content, "a").astype(int) - SMOOTH).mean() < 10


def test_empty_file() -> None:
    refuse(b"", "is an empty file", "replace it")


@pytest.mark.parametrize("content", [b"no image at all", b"\0" * 99])
def test_no_image(content: bytes) -> None:
    refuse(content, "is not an image: unknown format", "replace it")


@pytest.mark.parametrize("form", ["EPS", "PCX"])
def test_format_that_nobody_asked_for_reaches_no_decoder(form: str) -> None:
    refuse(encoded(RGB, form), "is not an image: unknown format", "replace it")


@pytest.mark.parametrize("form", ["BMP", "JPEG", "PPM"])
def test_zero_sized(form: str) -> None:
    content = bytearray(encoded(RGB, form))
    width = {"BMP": 18, "JPEG": content.find(b"\xff\xc0") + 7, "PPM": 3}[form]
    zero = b"00" if form == "PPM" else b"\0\0"
    content[width : width + 2] = zero
    refuse(bytes(content), "no pixels", "replace it")


WHOLE = {
    "baseline": encoded(SMOOTH, "JPEG", quality=90),
    "progressive": encoded(SMOOTH, "JPEG", quality=90, progressive=True),
    "png": encoded(SMOOTH, "PNG"),
    "webp": encoded(SMOOTH, "WEBP"),
    "tiff": encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    "gif": encoded(SMOOTH, "GIF"),
    "bmp": encoded(SMOOTH, "BMP"),
}


@given(kind=st.sampled_from(sorted(WHOLE)), share=st.floats(0.001, 0.999))
def test_truncated_file_is_refused_or_complete(kind: str, share: float) -> None:
    content = WHOLE[kind]
    try:
        decoded = decode(content[: int(share * len(content))], "a.jpg")
    except DataError as error:
        assert "replace it" in error.remedy  # noqa: PT017 - either outcome may be right
    else:  # only the end marker was cut off
        np.testing.assert_array_equal(decoded, decode(content, "a.jpg"))


def test_truncated_jpeg_names_the_cause() -> None:
    content = WHOLE["baseline"]
    refuse(content[: len(content) // 2], "truncated", "replace it with an intact image")


def test_truncated_jpeg_is_refused_where_a_test_suite_tolerates_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = WHOLE["baseline"]
    refuse(content[: len(content) // 2], "truncated", "replace it")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_jpeg_whose_end_was_never_written() -> None:
    noise = encoded(pixels(3, 300, 300), "JPEG", quality=90)
    refuse(noise[: len(noise) // 2] + bytes(len(noise) // 2), "a part of it is zeros", "replace it")


def test_jpeg_with_padding_after_its_end_is_complete() -> None:
    content = WHOLE["baseline"]
    np.testing.assert_array_equal(decode(content + bytes(64), "a"), decode(content, "a"))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_eight_bits(mode: str) -> None:
    content = saved(Image.new(mode, (4, 4)), "TIFF")
    refuse(content, f"is stored as {mode}", "convert it to 8-bit RGB")


def test_sixteen_bit_colour() -> None:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + bytes(12))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)
    refuse(content + chunk(b"IEND", b""), "other than 8 bits", "convert it to 8-bit RGB")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation(form: str) -> None:
    frames = [Image.fromarray(pixels(seed)) for seed in range(3)]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:])
    refuse(content, "of 3 frames", "save one as an image")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [100, 300])  # above twice the limit, above the limit: two paths
def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    refuse(encoded(RGB), "so many pixels that it may be a decompression bomb", "scale it down")


@pytest.mark.filterwarnings("ignore")  # the user's filters must not let the file pass
def test_damaged_metadata_may_hide_the_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    damaged = exif.tobytes()[:-12]
    refuse(encoded(SMOOTH, "JPEG", exif=damaged), "Corrupt EXIF data", "replace it")
