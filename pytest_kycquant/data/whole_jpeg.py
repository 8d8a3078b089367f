"""JPEG files that lost a part of their picture, which decoders fill in and only warn about."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

# Markers of ITU-T T.81, table B.1.
_DHT, _EOI, _SOS = 0xC4, 0xD9, 0xDA
_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NOT_PIXELS = frozenset({*range(0xE0, 0xF0), 0xFE})  # applications' own data, and comments
_COEFFICIENTS = 64
_UNKNOWN = 255
_COUNTS = 16  # of the codes of each length, at the beginning of a Huffman table
_HOLE = bytes(32)  # more than a block, whichever code the zeros stand for
# Compressed data end at a marker that is neither a restart nor an escaped or padding 0xFF.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class _Segment(NamedTuple):
    """A marker with its parameters and, for a scan, the compressed data behind them."""

    marker: int
    body: bytes
    scan: bytes


def check_jpeg(content: bytes) -> tuple[int, int]:
    """Make sure that a JPEG file holds its whole picture.

    Two kinds of loss exist: the compressed data of a scan ends early or is damaged, of which
    libjpeg warns; or whole scans are missing, of which nobody does.

    Args:
        content: the file, up to its end marker or beyond.

    Returns:
        (height, width) of the picture.

    Raises:
        ValueError: a part of the picture is missing or damaged; the message says what.
        OSError: the same, for unusual files.
    """
    import simplejpeg
    from PIL import Image

    segments = list(_segments(content))
    frames = [segment for segment in segments if segment.marker in _FRAMES]
    if len(frames) != 1:
        raise ValueError(f"{len(frames)} frames in one picture")
    scans = [segment for segment in segments if segment.marker == _SOS]
    _check_scans(frames[0], scans)
    if frames[0].marker not in _PROGRESSIVE:
        _check_zeros(segments)
    bare = _bare(segments)
    # At the smallest scale all data are read, but hardly a pixel is computed.
    colours = "CMYK" if frames[0].body[5:6] == b"\x04" else "GRAY"
    try:
        simplejpeg.decode_jpeg(bare + _END, colours, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        # Chroma resolutions that TurboJPEG does not know. Without an end marker, Pillow waits
        # for more data where it would otherwise fill in grey, and raises an OSError; it reads
        # a few bytes ahead.
        if len(scans) == 1:
            Image.open(io.BytesIO(bare + bytes(8)), formats=["JPEG"]).load()
    height, width = struct.unpack_from(">HH", frames[0].body, 1)
    return height, width


def _segments(content: bytes) -> Iterator[_Segment]:
    """Split the first picture of a file at its markers, up to the end marker."""
    place = 2
    while (place := content.find(b"\xff", place)) >= 0:
        marker = content[place + 1] if place + 1 < len(content) else _EOI
        place += 1 if marker == 0xFF else 2
        if marker == _EOI:
            return
        if marker in (0x00, 0xFF) or marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(content[place : place + 2])
        body = content[place + 2 : place + length]
        place += max(length, 2)
        scan = b""
        if marker == _SOS:
            end = _END_OF_SCAN.search(content, place)
            stop = end.start() if end else len(content)
            scan, place = content[place:stop], stop
        yield _Segment(marker, body, scan)


def _check_scans(frame: _Segment, scans: list[_Segment]) -> None:
    """Make sure that the scans bring every coefficient of every component to its last bit."""
    progressive = frame.marker in _PROGRESSIVE
    # The lowest bit that is known so far, for each coefficient.
    known = {component: [_UNKNOWN] * _COEFFICIENTS for component in frame.body[6::3]}
    for scan in scans:
        count = scan.body[0] if scan.body else 0
        first, last, bits = scan.body[-3:] if progressive else (0, _COEFFICIENTS - 1, 0)
        for component in scan.body[1 : 1 + 2 * count : 2]:
            if component in known:
                known[component][first : last + 1] = [bits & 0x0F] * (last + 1 - first)
    lost = sum(any(bits) for bits in known.values())
    if lost:
        raise ValueError(
            f"image file is truncated: scans are missing for {lost} of {len(known)} components"
        )


def _check_zeros(segments: list[_Segment]) -> None:
    """Make sure that no scan has a hole of zeros, as an interrupted copy leaves them.

    Zeros are valid: they stand for the commonest coefficient. Unless that is "the rest is zero",
    they fill whole blocks with equal coefficients, which no picture has.
    """
    commonest: dict[int, int] = {}
    for marker, body, scan in segments:
        if marker == _DHT:
            commonest.update(_commonest(body))
        tables = {table & 0x0F for table in body[2:-3:2]} if marker == _SOS else ()
        if any(commonest.get(table, 0) & 0x0F for table in tables) and _HOLE in scan:
            raise ValueError("image file is truncated: a part of it is zeros")


def _commonest(tables: bytes) -> Iterator[tuple[int, int]]:
    """Yield each table of AC coefficients with the symbol whose code is all zeros."""
    while len(tables) > _COUNTS:
        size = sum(tables[1 : 1 + _COUNTS])
        if tables[0] & 0x10 and size:
            yield tables[0] & 0x0F, tables[1 + _COUNTS]
        tables = tables[1 + _COUNTS + size :]


def _bare(segments: list[_Segment]) -> bytes:
    """Join what decides about pixels, without an end marker.

    Strict decoding would refuse oddities elsewhere, too.
    """
    parts = [_START]
    progressive = any(segment.marker in _PROGRESSIVE for segment in segments)
    for marker, body, scan in segments:
        if marker in _NOT_PIXELS:
            continue
        if marker == _SOS and not progressive:
            # Some encoders leave the spectral range, which means nothing here, at zero.
            body = body[:-3] + bytes((0, _COEFFICIENTS - 1, 0))
        parts += [bytes((0xFF, marker)), (len(body) + 2).to_bytes(2), body, scan]
    return b"".join(parts)
