"""A file that lost a part of its picture is refused, however whole it looks; sound files pass."""

import io
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant.data.decoding import decode
from pytest_kycquant.errors import DataError
from tests.worlds import damage
from tests.worlds.damage import END_OF_JPEG, IMAGE, SCENE, refuse, same, saved, scene

SHARES = (0.02, 0.1, 0.5, 0.9)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    return saved(IMAGE.convert(mode), "JPEG", **options)


BASELINE: dict[str, bytes] = {
    "default": jpeg(),
    "4:4:4": jpeg(subsampling=0, quality=95),
    "optimized": jpeg(optimize=True),
    "grey": jpeg("L"),
    "CMYK": jpeg("CMYK"),
    "unusual chroma": jpeg("CMYK", subsampling=1),
    "restarts": jpeg(restart_marker_rows=1),
}
PROGRESSIVE = {mode: jpeg(mode, progressive=True) for mode in ("RGB", "L", "CMYK")}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", BASELINE)
def test_jpeg_cut_with_its_end_marker_behind(kind: str, share: float) -> None:
    refuse(damage.cut_jpeg(BASELINE[kind], share))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", PROGRESSIVE)
def test_progressive_jpeg_cut_with_its_end_marker_behind(kind: str, share: float) -> None:
    content = PROGRESSIVE[kind]
    refuse(content[: int(share * len(content))] + END_OF_JPEG)


@pytest.mark.parametrize("kind", PROGRESSIVE)
def test_progressive_jpeg_without_its_last_scans(kind: str) -> None:
    content = PROGRESSIVE[kind]
    for end in damage.scans(content)[1:]:
        refuse(content[:end] + END_OF_JPEG)


@pytest.mark.parametrize("kind", PROGRESSIVE)
def test_progressive_jpeg_without_a_scan(kind: str) -> None:
    content = PROGRESSIVE[kind]
    ends = [*damage.scans(content), len(content) - 2]
    for start, end in pairwise(ends):
        refuse(content[:start] + content[end:])


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_jpeg_without_some_of_its_restart_segments(lost: int) -> None:
    content = BASELINE["restarts"]
    marks = damage.restarts(content)
    refuse(content[: marks[0]] + content[marks[lost] :])


def test_jpeg_without_as_many_restart_segments_as_there_are_numbers() -> None:
    content = saved(Image.fromarray(scene(400)), "JPEG", restart_marker_rows=1)
    marks = damage.restarts(content)
    refuse(content[: marks[0]] + content[marks[8] :])  # the markers' numbers fit


@pytest.mark.parametrize("at", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("length", [64, 400])
@pytest.mark.parametrize("kind", sorted(set(BASELINE) - {"unusual chroma"}))
def test_zeros_over_a_part_of_a_jpeg(kind: str, length: int, at: float) -> None:
    refuse(damage.overwritten(BASELINE[kind], bytes(length), at))


@pytest.mark.parametrize("kind", sorted(set(BASELINE) - {"unusual chroma"}))
def test_random_bytes_over_a_jpeg_are_nearly_always_refused(kind: str) -> None:
    """Some decode without a warning: no decoder can know."""
    rng = np.random.default_rng(1)
    content, refused = BASELINE[kind], 0
    for at in np.linspace(0.1, 0.6, 40):
        try:
            decode(damage.overwritten(content, rng.bytes(300), at), "a")
        except DataError:
            refused += 1
    assert refused >= 32


@pytest.mark.parametrize("more", [8, 16, 500])
def test_jpeg_whose_header_promises_more_rows(more: int) -> None:
    content = bytearray(BASELINE["grey"])
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 2] = (96 + more).to_bytes(2)
    refuse(bytes(content))


def test_jpeg_whose_header_promises_fewer_rows() -> None:
    content = bytearray(BASELINE["grey"])
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 2] = (48).to_bytes(2)
    refuse(bytes(content))


@pytest.mark.parametrize("rows", [1, 24, 95])
def test_png_whose_stream_ends_early_but_properly(rows: int) -> None:
    np.testing.assert_array_equal(decode(damage.png(SCENE), "a"), SCENE)
    refuse(damage.png(SCENE, rows=rows))


@pytest.mark.parametrize("passes", range(1, 7))
def test_interlaced_png_without_its_last_passes(passes: int) -> None:
    np.testing.assert_array_equal(decode(damage.png(SCENE, passes=7), "a"), SCENE)
    refuse(damage.png(SCENE, passes=passes))


@pytest.mark.parametrize("lost", range(3))
def test_png_without_a_chunk_of_data(lost: int) -> None:
    content = saved(IMAGE, "PNG")
    start = content.index(b"IDAT") - 4
    size = int.from_bytes(content[start : start + 4])
    data = content[start + 8 : start + 8 + size]
    pieces = [data[i : i + size // 3 + 1] for i in range(0, size, size // 3 + 1)]
    del pieces[lost]
    chunks = b"".join(
        struct.pack(">I", len(p)) + b"IDAT" + p + struct.pack(">I", zlib.crc32(b"IDAT" + p))
        for p in pieces
    )
    refuse(content[:start] + chunks + content[-12:])


@pytest.mark.parametrize("count", [1, 960, 9000])
def test_gif_whose_stream_ends_early_but_properly(count: int) -> None:
    same(damage.gif(SCENE))
    refuse(damage.gif(SCENE, count))


def test_gif_whose_frame_covers_a_part() -> None:
    refuse(damage.gif(SCENE, 96 * 48, frame_rows=48))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_cut_with_its_sizes_adapted(lossless: bool, share: float) -> None:
    content = saved(IMAGE, "WEBP", lossless=lossless)
    same(damage.cut_webp(content, 1))
    refuse(damage.cut_webp(content, share))


def test_webp_animation_of_one_frame() -> None:
    wide = saved(IMAGE, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")  # has flags
    assert decode(wide, "a").shape == SCENE.shape
    refuse(wide[:20] + bytes([wide[20] | 2]) + wide[21:])


RUNS = damage.rle_rows(SCENE, 96)
LOSSES: dict[str, Callable[[], bytes]] = {
    "ends early": lambda: damage.rle_rows(SCENE, 40) + b"\0\1",
    "short rows": lambda: damage.rle_rows(SCENE, 96, 10) + b"\0\1",
    "jump": lambda: damage.rle_rows(SCENE, 1) + b"\0\2\0\x5e" + damage.rle_rows(SCENE, 1) + b"\0\1",
    "no end": lambda: damage.rle_rows(SCENE, 40),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_bmp_whose_runs_leave_pixels_out(loss: str) -> None:
    np.testing.assert_array_equal(
        decode(damage.rle_bmp(SCENE, RUNS + b"\0\1"), "a")[..., 0], SCENE[..., 0]
    )
    refuse(damage.rle_bmp(SCENE, LOSSES[loss]()))


def test_bmp_with_runs_of_literal_pixels() -> None:
    rows = [bytes((0, 96)) + row.tobytes() + b"\0\0" for row in SCENE[::-1, :, 0]]
    content = damage.rle_bmp(SCENE, b"".join(rows) + b"\0\1")
    np.testing.assert_array_equal(decode(content, "a")[..., 0], SCENE[..., 0])


@pytest.mark.parametrize("form", ["PPM", "BMP"])
def test_uncompressed_file_cut(form: str) -> None:
    content = saved(IMAGE, form)
    refuse(content[: len(content) // 2])


def test_plain_ppm() -> None:
    text = b"P3\n96 96\n255\n" + b" ".join(b"%d" % value for value in SCENE.ravel())
    np.testing.assert_array_equal(decode(text, "a"), SCENE)
    refuse(text[: len(text) // 2])


EXIF = Image.Exif()
EXIF[0x0112] = 1
SOUND = {
    f"{mode} {quality} {chroma} {'progressive ' * progressive}{restarts}": (
        mode,
        {
            "quality": quality,
            "subsampling": chroma,
            "progressive": progressive,
            "optimize": bool(quality % 2),
            **({"restart_marker_rows": 1} if restarts == 1 else {}),
            **({"restart_marker_blocks": 3} if restarts == 3 else {}),
        },
    )
    for mode, quality, chroma, progressive, restarts in product(
        ("RGB", "L", "CMYK"), (1, 40, 75, 95, 100), (0, 1, 2), (False, True), (0, 1, 3)
    )
}


@pytest.mark.parametrize("size", [(96, 96), (17, 33)])
def test_no_sound_jpeg_is_refused(size: tuple[int, int]) -> None:
    small = saved(IMAGE.resize((24, 24)), "JPEG")
    for name, (mode, options) in SOUND.items():
        content = saved(
            IMAGE.resize(size).convert(mode),
            "JPEG",
            exif=EXIF,
            comment=b"marker \xff\xd9 inside, and " + small,
            icc_profile=b"profile" * 99,
            **options,
        )
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for behind in (b"", bytes(99), b"trailing \xff\xd9 bytes", content):
            np.testing.assert_array_equal(decode(content + behind, name), expected)


def test_flat_images_hold_long_runs_of_zeros() -> None:
    for mode, optimize in product(("RGB", "L", "CMYK"), (False, True)):
        flat = Image.new("RGB", (640, 640), (90, 90, 90)).convert(mode)
        same(saved(flat, "JPEG", optimize=optimize))


def test_grey_photograph_in_colour_is_sound() -> None:
    for optimize, chroma in product((False, True), (0, 2)):
        same(
            saved(IMAGE.convert("L").convert("RGB"), "JPEG", optimize=optimize, subsampling=chroma)
        )


def test_oddities_that_concern_no_pixel_are_sound() -> None:
    content = jpeg()
    revision = bytearray(content)
    revision[content.index(b"JFIF") + 5] = 9  # libjpeg warns of an unknown revision
    same(bytes(revision))
    spectral = bytearray(content)
    spectral[damage.scan_start(content) - 2] = 0  # some encoders leave the end of the range at 0
    same(bytes(spectral))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 2), (96, 96)])
def test_no_sound_png_is_refused(mode: str, size: tuple[int, int]) -> None:
    for colours in (2, 4, 16, 256) if mode == "P" else (0,):
        image = IMAGE.resize(size)
        image = image.quantize(colours) if mode == "P" else image.convert(mode)
        decode(saved(image, "PNG"), "a")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1), (4, 9)])
def test_no_sound_interlaced_png_is_refused(size: tuple[int, int]) -> None:
    small = np.asarray(IMAGE.resize(size))
    np.testing.assert_array_equal(decode(damage.png(small, passes=7), "a"), small)
