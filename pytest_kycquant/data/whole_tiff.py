"""TIFF files that lost strips or tiles, which Pillow leaves black, or hold one of them twice."""

from __future__ import annotations

import lzma
import zlib
from itertools import pairwise
from typing import Any

from .whole_jpeg import check_jpeg

# Tags and values of TIFF 6.0 and its supplements.
_WIDTH, _LENGTH, _BITS, _COMPRESSION = 256, 257, 258, 259
_ROWS_PER_STRIP, _PLANES, _JPEG_TABLES = 278, 284, 347
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_RAW, _JPEG = 1, 7
_DEFLATE, _LZMA = (8, 32946), 34925
# LZW, PackBits, Zstandard and WebP: their decoders notice missing data.
_STRICT = frozenset({*_DEFLATE, _LZMA, 5, 32773, 50000, 50001})
_FILL_ORDER, _LOW_BIT_FIRST = 266, 2
_TURNED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_PIECE = 1 << 20


def check_tiff(image: Any, content: bytes) -> None:
    """Make sure that a TIFF file holds its whole picture.

    Args:
        image: the file, opened with Pillow.
        content: the whole file.

    Raises:
        ValueError: a part of the picture is missing or damaged; the message says what.
        OSError: the same.
    """
    tags = image.tag_v2
    kind = tags.get(_COMPRESSION, _RAW)
    if kind not in (_RAW, _JPEG, *_STRICT):
        raise ValueError(
            f"compression {kind} of TIFF would hide missing data: save it with another"
        )
    width, rows, wanted = _grid(tags)
    bits = tags.get(_BITS, (1,))
    planes = tags.get(_PLANES, 1) == 2
    row = (width * (max(bits) if planes else sum(bits)) + 7) // 8
    tiled = _TILE_OFFSETS in tags
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ())
    sizes = tags.get(_TILE_SIZES if tiled else _STRIP_SIZES, ())
    if kind == _RAW:
        sizes = [row * height for height in rows]
    if len(offsets) != wanted or len(sizes) < wanted:
        raise ValueError(f"image file is truncated: it has {len(offsets)} of {wanted} strips")
    places = sorted(zip(offsets, sizes, strict=False))
    if any(one + size > two for (one, size), (two, _) in pairwise(places)):
        raise ValueError("image file is truncated: some of its strips are the same")
    if kind in (*_DEFLATE, _LZMA):
        for offset, size in zip(offsets, sizes, strict=False):
            strip = content[offset : offset + size]
            if tags.get(_FILL_ORDER) == _LOW_BIT_FIRST:
                strip = strip.translate(_TURNED)
            _check_stream(strip, kind, 2 * row * max(rows) + _PIECE)
    if kind == _JPEG:
        tables = bytes(tags.get(_JPEG_TABLES, b""))[:-2]
        for (offset, size), height in zip(zip(offsets, sizes, strict=False), rows, strict=True):
            strip = content[offset : offset + size]
            found = check_jpeg(tables + strip[2:] if tables else strip)
            if found[0] < height or found[1] < width:
                raise ValueError("image file is truncated: a strip is smaller than its place")


def _check_stream(strip: bytes, kind: int, most: int) -> None:
    """Inflate a strip to its end, where the checksum is: libtiff stops when the strip is full.

    Args:
        strip: the compressed strip or tile.
        kind: its compression.
        most: number of bytes after which it is taken for a decompression bomb.
    """
    lost = "image file is truncated: the compressed data of a strip do not end as they should"
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ) if kind == _LZMA else zlib.decompressobj()
    found, piece = 0, strip
    try:
        while not stream.eof:
            part = stream.decompress(piece, _PIECE)
            found += len(part)
            # One of the decoders keeps what it has not read yet, the other one hands it back.
            piece = getattr(stream, "unconsumed_tail", b"")
            if not part and not piece and not stream.eof:
                raise ValueError(lost)
            if found > most:
                raise ValueError("its compressed data hold far more than its picture")
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(lost) from error


def _grid(tags: Any) -> tuple[int, list[int], int]:
    """Return width in pixels and rows of each strip or tile, and their number."""
    width, length = tags[_WIDTH], tags[_LENGTH]
    if _TILE_OFFSETS in tags:
        across, down = -(-width // tags[_TILE_WIDTH]), -(-length // tags[_TILE_LENGTH])
        width, rows = tags[_TILE_WIDTH], [tags[_TILE_LENGTH]] * (across * down)
    else:
        each = min(tags.get(_ROWS_PER_STRIP, length), length)
        rows = [min(each, length - top) for top in range(0, length, each)]
    if tags.get(_PLANES, 1) == 2:
        rows *= len(tags.get(_BITS, (1,)))
    return width, rows, len(rows)
