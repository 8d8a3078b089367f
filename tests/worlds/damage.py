"""Image files that lost a part of their picture, but whose ends and checksums are right."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pytest_kycquant.data.decoding import decode
from pytest_kycquant.errors import DataError

END_OF_JPEG = b"\xff\xd9"
ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip


def scene(side: int = 96, seed: int = 5) -> np.ndarray:
    """Make something like a photograph: smooth shapes with some noise, RGB."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side)), np.int64)
    return np.clip(smooth + rng.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)


SCENE = scene()
IMAGE = Image.fromarray(SCENE)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scan_start(content: bytes) -> int:
    """First byte of the compressed data of a baseline JPEG of one scan."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4])


def cut_jpeg(content: bytes, share: float) -> bytes:
    """Keep a share of the compressed data, and put the end marker behind it."""
    start = scan_start(content)
    return content[: start + int(share * (len(content) - start))] + END_OF_JPEG


def overwritten(content: bytes, filling: bytes, at: float) -> bytes:
    """Lay `filling` over the compressed data of a JPEG."""
    place = scan_start(content)
    place += int(at * (len(content) - place))
    return content[:place] + filling + content[place + len(filling) :]


def scans(content: bytes) -> list[int]:
    """Places of the markers of all scans, of a JPEG without thumbnails."""
    return [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xda"]


def restarts(content: bytes) -> list[int]:
    """Places of all restart markers."""
    first = scan_start(content)
    pairs = ((i, content[i + 1]) for i in range(first, len(content) - 1) if content[i] == 0xFF)
    return [i for i, marker in pairs if 0xD0 <= marker <= 0xD7]


def png(pixels: np.ndarray, *, rows: int | None = None, passes: int | None = None) -> bytes:
    """Write a PNG whose stream holds only some `rows`, or some `passes` if interlaced."""
    height, width = pixels.shape[:2]
    parts = [(0, 0, 1, 1)] if passes is None else ADAM7[:passes]
    raw = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in parts
        for row in pixels[top:rows:down, left::across]
        if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(passes is not None))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    )


def gif(pixels: np.ndarray, count: int | None = None, frame_rows: int | None = None) -> bytes:
    """Write a GIF whose stream ends properly after `count` pixels, or whose frame is smaller."""
    image = Image.fromarray(pixels).quantize(256)
    height, width = pixels.shape[:2]
    bits, number, packed = 0, 0, bytearray()
    for code in _gif_codes(np.asarray(image).ravel()[:count]):
        bits |= code << number
        number += 9
        while number >= 8:
            packed.append(bits & 255)
            bits, number = bits >> 8, number - 8
    packed.append(bits & 255)
    blocks = [bytes(packed[i : i + 255]) for i in range(0, len(packed), 255)]
    palette = bytes((image.getpalette() or []) + [0] * 768)[:768]
    return b"".join(
        [
            b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + palette,
            b"," + struct.pack("<HHHHB", 0, 0, width, frame_rows or height, 0) + b"\x08",
            *(bytes([len(block)]) + block for block in blocks),
            b"\0;",
        ]
    )


def _gif_codes(values: np.ndarray) -> Iterator[int]:
    """Nine bits each, with the table cleared before codes become longer."""
    for place, value in enumerate(values):
        if place % 250 == 0:
            yield 256
        yield int(value)
    yield 257


def tiff(
    pixels: np.ndarray,
    compression: str | None,
    *,
    kept: int | None = None,
    sizes: float = 1.0,
    same: bool = False,
) -> bytes:
    """Write a TIFF of strips of 16 rows, and damage its lists of them.

    Args:
        pixels: the picture.
        compression: a name of Pillow's.
        kept: number of strips that the lists keep.
        sizes: factor for the size of each strip.
        same: let all strips be the first one.
    """
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[278] = 16
    size = 16 * pixels.shape[1] * 3
    content = bytearray(
        saved(
            Image.fromarray(pixels),
            "TIFF",
            compression=compression,
            tiffinfo=info,
            strip_size=size,
        )
    )
    order = "<" if content[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (entries,) = struct.unpack_from(f"{order}H", content, start)
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, entry)
        if tag not in (273, 279):
            continue
        letter = f"{order}{count}{'H' if kind == 3 else 'I'}"
        place = entry + 8
        if struct.calcsize(letter) > 4:
            (place,) = struct.unpack_from(f"{order}I", content, entry + 8)
        values = list(struct.unpack_from(letter, content, place))
        if same:
            values = values[:1] * count
        if tag == 279:
            values = [max(1, int(value * sizes)) for value in values]
        struct.pack_into(letter, content, place, *values)
        if kept is not None:
            struct.pack_into(f"{order}I", content, entry + 4, kept)
            if kept == 1:
                struct.pack_into(f"{order}{'HH' if kind == 3 else 'I'}", content, entry + 8,
                                 *values[:1], *([0] if kind == 3 else []))  # fmt: skip
    return bytes(content)


def tiled_tiff(pixels: np.ndarray, *, same: bool = False, kept: int | None = None) -> bytes:
    """Write an uncompressed TIFF of tiles of 48 x 48 pixels."""
    height, width = pixels.shape[:2]
    tiles = [
        pixels[top : top + 48, left : left + 48].tobytes()
        for top in range(0, height, 48)
        for left in range(0, width, 48)
    ]
    data = 8 + 2 + 12 * 10 + 4 + 6 + 8 * len(tiles)
    offsets = [data + (0 if same else number * len(tiles[0])) for number in range(len(tiles))]
    number = kept or len(tiles)
    lists = 8 + 2 + 12 * 10 + 4
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, lists), (259, 3, 1, 1),
        (262, 3, 1, 2), (277, 3, 1, 3), (322, 3, 1, 48), (323, 3, 1, 48),
        (324, 4, number, lists + 6), (325, 4, number, lists + 6 + 4 * len(tiles)),
    ]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    head += struct.pack("<3H", 8, 8, 8)
    head += struct.pack(f"<{len(tiles)}I", *offsets)
    head += struct.pack(f"<{len(tiles)}I", *[len(tile) for tile in tiles])
    return head + b"".join(tiles)


def cut_webp(content: bytes, share: float) -> bytes:
    """Cut a WebP file of one chunk, and adapt the sizes in its header."""
    body = content[20 : 20 + int(share * (len(content) - 20)) // 2 * 2]
    chunk = content[12:16] + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def rle_bmp(pixels: np.ndarray, body: bytes) -> bytes:
    """Write a BMP of eight bits whose run-length codes are `body`, with a palette of greys."""
    height, width = pixels.shape[:2]
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))
    start = 14 + 40 + len(palette)
    sizes = (40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    info = struct.pack("<IiiHHIIiiII", *sizes)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + palette + body


def rle_rows(pixels: np.ndarray, rows: int, columns: int | None = None) -> bytes:
    """Encode the lowest `rows` of greys, of each of which only some `columns`."""
    greys = pixels[::-1, :columns, 0][:rows]
    return b"".join(b"".join(bytes((1, int(v))) for v in row) + b"\0\0" for row in greys)


def refuse(content: bytes) -> None:
    """Make sure that a damaged image is refused, in one short error that says what to do."""
    with pytest.raises(DataError) as caught:
        decode(content, "people/a.jpg")
    assert str(caught.value).startswith("people/a.jpg: ")
    assert "replace it with an intact image" in caught.value.remedy
    assert len(str(caught.value)) < 300


def same(content: bytes) -> None:
    """Make sure that an image gives the pixels that Pillow reads."""
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content, "a"), expected)
