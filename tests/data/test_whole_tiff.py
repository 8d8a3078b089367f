"""A TIFF that lost a part of its picture is refused, however whole it looks; sound ones pass."""

import io
import lzma
import struct
import zlib
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pytest_kycquant.data.decoding import decode, image_size
from pytest_kycquant.errors import DataError
from tests.worlds import damage
from tests.worlds.damage import IMAGE, SCENE, refuse, same, saved

COMPRESSIONS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff_that_lacks_strips(compression: str | None) -> None:
    same(damage.tiff(SCENE, compression))
    for kept in (1, 3, 5):
        refuse(damage.tiff(SCENE, compression, kept=kept))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff_that_holds_one_strip_several_times(compression: str | None) -> None:
    refuse(damage.tiff(SCENE, compression, same=True))


@pytest.mark.parametrize("sizes", [0.001, 0.5, 0.9])
@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_tiff_with_short_strips(compression: str, sizes: float) -> None:
    refuse(damage.tiff(SCENE, compression, sizes=sizes))


STREAMS = ["tiff_deflate", "tiff_adobe_deflate", "lzma"]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
FLAT = np.full((40, 40, 3), 90, np.uint8)


def strips(content: bytes) -> list[tuple[int, int]]:
    tags = Image.open(io.BytesIO(content)).tag_v2
    return list(zip(tags[273], tags[279], strict=True))


def tails(content: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of the ends of each strip, of all short and some long lengths."""
    for start, size in strips(content):
        for tail in {*range(1, min(size, 24)), *np.linspace(1, size, 20).astype(int).tolist()}:
            yield start + size - tail, start + size


def with_strip(content: bytes, data: bytes) -> bytes:
    """Give a TIFF of one strip other data."""
    ((start, size),) = strips(content)
    order = "<" if content[:2] == b"II" else ">"
    changed = content + data
    for tag, before, after in ((273, start, len(content)), (279, size, len(data))):
        for kind, letter in ((3, "H2x"), (4, "I")):
            entry = struct.pack(f"{order}HHI{letter}", tag, kind, 1, before)
            changed = changed.replace(entry, struct.pack(f"{order}HHII", tag, 4, 1, after))
    assert strips(changed) == [(len(content), len(data))]
    return changed


@pytest.mark.parametrize("pixels", [SCENE, NOISE, FLAT], ids=["scene", "noise", "flat"])
@pytest.mark.parametrize("compression", STREAMS)
def test_tiff_whose_data_end_in_something_else(compression: str, pixels: np.ndarray) -> None:
    """libtiff stops when a strip is full: it reads neither what is behind nor the checksum."""
    good = damage.tiff(pixels, compression)
    same(good)
    random = np.random.default_rng(1)
    for start, end in tails(good):
        for fill in (bytes(end - start), b"\xff" * (end - start), random.bytes(end - start)):
            content = good[:start] + fill + good[end:]
            if content != good:
                refuse(content)


@pytest.mark.parametrize("compression", STREAMS[:2])
def test_deflated_tiff_with_one_changed_byte(compression: str) -> None:
    good = damage.tiff(NOISE, compression)
    for start, size in strips(good):
        for place in range(start + size // 3, start + size, 97):
            refuse(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])


@pytest.mark.parametrize(
    ("mode", "predictor"),
    [("1", 1), *product(["L", "LA", "P", "RGB", "RGBA", "CMYK"], [1, 2])],
)
@pytest.mark.parametrize("compression", STREAMS)
def test_sound_tiff_streams(compression: str, predictor: int, mode: str) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[317], info[278] = predictor, 7
    for size in ((64, 48), (1, 1), (3, 100)):
        same(saved(IMAGE.resize(size).convert(mode), "TIFF", compression=compression, tiffinfo=info,
                   strip_size=64))  # fmt: skip


def test_tiff_whose_stream_is_low_bit_first() -> None:
    """FillOrder 2 turns every byte around, also those of compressed data."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[266] = 2
    content = saved(IMAGE, "TIFF", compression="tiff_adobe_deflate", tiffinfo=info)
    assert Image.open(io.BytesIO(content)).tag_v2[266] == 2
    same(content)


def test_tiff_with_bytes_behind_its_stream() -> None:
    """Some writers pad strips."""
    content = saved(IMAGE, "TIFF", compression="tiff_adobe_deflate")
    ((start, size),) = strips(content)
    same(with_strip(content, content[start : start + size] + bytes(3)))


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_tiff_with_more_sizes_than_strips(compression: str) -> None:
    """Readers leave those without a strip out."""
    content = saved(IMAGE.resize((40, 40)), "TIFF", compression=compression)
    ((_, size),) = strips(content)
    entries = [
        struct.pack("<HHI" + end, 279, kind, 1, size) for kind, end in ((3, "H2x"), (4, "I"))
    ]
    (entry,) = [entry for entry in entries if entry in content]
    same(content.replace(entry, struct.pack("<HHIHH", 279, 3, 2, size, 0)))


@pytest.mark.parametrize("compression", STREAMS)
def test_tiff_that_is_a_bomb(compression: str) -> None:
    content = saved(Image.new("RGB", (16, 16)), "TIFF", compression=compression)
    zeros = bytes(1 << 27)
    bomb = lzma.compress(zeros) if compression == "lzma" else zlib.compress(zeros)
    with pytest.raises(DataError, match="hold far more than its picture"):
        decode(with_strip(content, bomb), "a")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_turned_tiff_is_whole(compression: str | None, orientation: int) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[274], info[278] = orientation, 16
    wide = IMAGE.resize((64, 32))
    content = saved(wide, "TIFF", compression=compression, tiffinfo=info, strip_size=16 * 64 * 3)
    decoded = decode(content, "a")
    assert decoded.shape == ((64, 32, 3) if orientation > 4 else (32, 64, 3))
    assert image_size(content, "a") == decoded.shape[:2]


def test_tiff_of_tiles() -> None:
    np.testing.assert_array_equal(decode(damage.tiled_tiff(SCENE), "a"), SCENE)
    refuse(damage.tiled_tiff(SCENE, same=True))
    refuse(damage.tiled_tiff(SCENE, kept=2))


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_tiff_whose_compression_hides_damage(compression: str) -> None:
    with pytest.raises(DataError, match="would hide missing data"):
        decode(saved(IMAGE.convert("1"), "TIFF", compression=compression), "a")
