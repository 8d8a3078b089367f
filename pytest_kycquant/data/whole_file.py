"""Image files that lost a part of their picture, which Pillow decodes without complaint."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .whole_jpeg import check_jpeg
from .whole_tiff import check_tiff

_PIECE = 1 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type of PNG
# Left, top and steps of the passes of an interlaced PNG (ISO/IEC 15948, 8.2).
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_RLE8, _RLE4 = 1, 2  # compressions of BMP
_ANIMATED = 0x02  # flag of WebP


def check_whole(image: Any, content: bytes) -> None:
    """Make sure that a file holds every pixel of its picture.

    Pillow refuses most files that end early. This looks for what Pillow overlooks.

    Args:
        image: the file, opened with Pillow.
        content: the whole file.

    Raises:
        ValueError: a part of the picture is missing or damaged; the message says what.
        OSError: the same.
    """
    if check := _CHECKS.get(image.format):
        check(image, content)


def _check_jpeg(image: Any, content: bytes) -> None:
    check_jpeg(content)


def _check_png(image: Any, content: bytes) -> None:
    """Inflate the data and count the bytes, because a stream may end early but properly."""
    width, height, depth, colours = struct.unpack(">IIBB", content[16:26])
    wanted = 0
    for left, top, across, down in _ADAM7 if content[28] else ((0, 0, 1, 1),):
        columns, rows = (width - left + across - 1) // across, (height - top + down - 1) // down
        if columns:
            wanted += rows * (1 + (columns * depth * _CHANNELS[colours] + 7) // 8)
    inflate, found = zlib.decompressobj(), 0
    for piece in _png_data(content):
        while piece and not inflate.eof:
            found += len(inflate.decompress(piece, _PIECE))
            piece = inflate.unconsumed_tail
    if found + len(inflate.flush()) < wanted:
        raise ValueError(f"image file is truncated: it holds {found:,} of {wanted:,} bytes")


def _png_data(content: bytes) -> Iterator[bytes]:
    place = 8
    while place + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        if name == b"IDAT":
            yield content[place + 8 : place + 8 + size]
        place += 12 + size


def _check_webp(image: Any, content: bytes) -> None:
    """Refuse an animation of one frame, because the frame may cover a part of the image."""
    if content[12:16] == b"VP8X" and content[20] & _ANIMATED:
        raise ValueError("is an animation")


def _check_bmp(image: Any, content: bytes) -> None:
    """Make sure that run-length codes define every pixel: they may skip some."""
    place, size = struct.unpack_from("<II", content, 10)
    compression = struct.unpack_from("<I", content, 30)[0] if size >= 40 else 0
    if compression not in (_RLE8, _RLE4):
        return
    width, height = image.size
    per_byte = compression
    column = rows = 0
    while rows < height:
        count, value = content[place : place + 2]
        place += 2
        if count:
            column += count
        elif value > 2:
            column += value
            place += (-(-value // per_byte) + 1) // 2 * 2
        elif column < width or value == 2:
            raise ValueError(f"image file is truncated: row {rows + 1} lacks pixels")
        else:
            column, rows = 0, rows + 1
            if value == 1 and rows < height:
                raise ValueError(f"image file is truncated: it has {rows} of {height} rows")


_CHECKS: Mapping[str, Callable[[Any, bytes], None]] = {
    "BMP": _check_bmp,
    "JPEG": _check_jpeg,
    "MPO": _check_jpeg,
    "PNG": _check_png,
    "TIFF": check_tiff,
    "WEBP": _check_webp,
}
