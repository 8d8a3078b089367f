"""Images that are damaged, of another format, too large, or the same as others."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.corpus.case import Case
from tests.corpus.judge import FAILING, PASSING, SAME_VERDICTS, Expect, refused
from tests.corpus.trial import Trial

# How each format is written so that it has something to lose.
_FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 95}),
    "webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {"compression": "tiff_lzw"}),
    "ppm": ("PPM", {}),
}
REFUSED = refused("faces/", "selection/", "calibration/")


def encoded(pixels: np.ndarray, ending: str, **options: object) -> bytes:
    """An image in the format of an ending."""
    form, usual = _FORMATS[ending]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **{**usual, **options})
    return buffer.getvalue()


def drawn(trial: Trial, folder: str = "") -> Path:
    """An image of the project, drawn by chance."""
    folder = folder or trial.rng.choice(("faces", "selection", "calibration"))
    return trial.rng.choice(sorted(trial.file(folder).rglob("*.png")))


def pixels_of(path: Path) -> np.ndarray:
    """Its pixels, (16, 16, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB"))


def large(path: Path, trial: Trial) -> np.ndarray:
    """The same image four times as large, with more to lose; (64, 64, 3) uint8."""
    noise = np.random.default_rng(trial.rng.randrange(2**32)).integers(-9, 9, (64, 64, 3))
    big = pixels_of(path).repeat(4, axis=0).repeat(4, axis=1)
    return (big + noise).clip(0, 255).astype(np.uint8)


def instead(
    make: Callable[[np.ndarray, Trial], bytes], ending: str = "png"
) -> Callable[[Trial], None]:
    """Put other bytes in the place of an image; new pixels need a new baseline."""

    def damage(trial: Trial) -> None:
        path = drawn(trial)
        content = make(large(path, trial), trial)
        path.unlink()
        path.with_suffix(f".{ending}").write_bytes(content)
        _rename(trial, path, ending)
        trial.update_golden()

    return damage


def _rename(trial: Trial, path: Path, ending: str) -> None:
    """The list of pairs follows."""
    pairs = trial.file("pairs.csv")
    text = pairs.read_text(encoding="utf-8")
    pairs.write_text(text.replace(path.name, f"{path.stem}.{ending}"), encoding="utf-8")


def _cut(ending: str, **options: object) -> Callable[[np.ndarray, Trial], bytes]:
    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        content = encoded(pixels, ending, **options)
        return content[: int(len(content) * trial.rng.uniform(0.05, 0.9))]

    return make


def _jpeg_with_end(progressive: bool) -> Callable[[np.ndarray, Trial], bytes]:
    """Most of the content is gone, but not the end marker."""

    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        content = encoded(pixels, "jpg", progressive=progressive)
        start = content.rindex(b"\xff\xda") if not progressive else content.index(b"\xff\xda")
        rest = len(content) - start
        return content[: start + int(rest * trial.rng.uniform(0.1, 0.6))] + b"\xff\xd9"

    return make


def _jpeg_first_scans(pixels: np.ndarray, trial: Trial) -> bytes:
    """A progressive JPEG that ends in order after its first scans."""
    content = encoded(pixels, "jpg", progressive=True)
    scans = [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xda"]
    return content[: scans[trial.rng.randrange(1, 4)]] + b"\xff\xd9"


def _jpeg_zeros(pixels: np.ndarray, trial: Trial) -> bytes:
    content = bytearray(encoded(pixels, "jpg"))
    start = content.index(b"\xff\xda") + 200
    length = (len(content) - start) // 2
    content[start : start + length] = bytes(length)
    return bytes(content)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _png(head: tuple[int, ...], data: bytes) -> bytes:
    """A PNG whose checksums fit, whatever it holds."""
    parts = (
        _chunk(b"IHDR", struct.pack(">IIBBBBB", *head)),
        _chunk(b"IDAT", data),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _rows(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def _png_short(pixels: np.ndarray, trial: Trial) -> bytes:
    """The compressed stream ends early, and in order."""
    rows = pixels[: trial.rng.randrange(1, 60)]
    return _png((64, 64, 8, 2, 0, 0, 0), zlib.compress(_rows(rows)))


def _png_stream_cut(pixels: np.ndarray, trial: Trial) -> bytes:
    stream = zlib.compress(_rows(pixels))
    return _png((64, 64, 8, 2, 0, 0, 0), stream[: trial.rng.randrange(20, len(stream) - 20)])


def _png_bomb(side: int) -> Callable[[np.ndarray, Trial], bytes]:
    """Claims to be huge; a run of zeros compresses to nothing."""

    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        return _png((side, side, 8, 0, 0, 0, 0), zlib.compress(bytes(50_000_000), 9))

    return make


def _webp_cut(pixels: np.ndarray, trial: Trial) -> bytes:
    """Shortened, with sizes that fit again."""
    content = encoded(pixels, "webp")
    kept = content[12 : 12 + int((len(content) - 12) * trial.rng.uniform(0.2, 0.7)) // 2 * 2]
    kept = kept[:4] + struct.pack("<I", len(kept) - 8) + kept[8:]
    return b"RIFF" + struct.pack("<I", len(kept) + 4) + b"WEBP" + kept


def _tiff_short_strip(pixels: np.ndarray, trial: Trial) -> bytes:
    """The table says that a compressed strip has fewer bytes."""
    kinds = ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    content = bytearray(encoded(pixels, "tif", compression=trial.rng.choice(kinds)))
    at = struct.unpack_from("<I", content, 4)[0]
    for index in range(struct.unpack_from("<H", content, at)[0]):
        entry = at + 2 + 12 * index
        if struct.unpack_from("<H", content, entry)[0] == 279:  # StripByteCounts
            struct.pack_into("<HI", content, entry + 2, 4, 1)
            struct.pack_into("<I", content, entry + 8, trial.rng.randrange(1, 2_000))
    return bytes(content)


def _other(content: bytes) -> Callable[[np.ndarray, Trial], bytes]:
    return lambda pixels, trial: content


def _noise(pixels: np.ndarray, trial: Trial) -> bytes:
    return trial.rng.randbytes(trial.rng.choice((1, 30, 5_000)))


def _flip(ending: str) -> Callable[[np.ndarray, Trial], bytes]:
    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        content = bytearray(encoded(pixels, ending))
        content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
        return bytes(content)

    return make


def _sixteen(pixels: np.ndarray, trial: Trial) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(buffer, "PNG")
    return buffer.getvalue()


def _animated(form: str) -> Callable[[np.ndarray, Trial], bytes]:
    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())]
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        return buffer.getvalue()

    return make


def _mode(mode: str, form: str) -> Callable[[np.ndarray, Trial], bytes]:
    def make(pixels: np.ndarray, trial: Trial) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, form)
        return buffer.getvalue()

    return make


def _placed(make: Callable[[str], object]) -> Callable[[Trial], None]:
    """Something that is not a file lies in the place of an image."""

    def damage(trial: Trial) -> None:
        path = drawn(trial, trial.rng.choice(("faces", "calibration")))
        path.unlink()
        make(os.fspath(path))

    return damage


def _unreadable(trial: Trial) -> None:
    drawn(trial).chmod(0)
    trial.unprivileged = True


def _renamed(name: bytes) -> Callable[[Trial], None]:
    """A person's folder has an odd name."""

    def damage(trial: Trial) -> None:
        folder = trial.rng.choice(sorted(trial.file("faces").iterdir()))
        os.rename(os.fsencode(folder), os.path.join(os.fsencode(folder.parent), name))
        trial.edit("test_gate.py", ', pairs="pairs.csv"', "")
        trial.edit("test_gate.py", 'groups="groups.csv",', "")
        trial.edit("test_gate.py", "group_far_degradation=0.9, group_frr_degradation=0.9, ", "")
        trial.update_golden()

    return damage


def _strange_file(name: bytes) -> Callable[[Trial], None]:
    """A file of an odd name is damaged, so that a message has to name it."""

    def damage(trial: Trial) -> None:
        folder = os.fsencode(trial.file("calibration"))
        with open(os.path.join(folder, name + b".png"), "wb") as file:
            file.write(b"nothing")

    return damage


_CONTENT: dict[str, tuple[Callable[[np.ndarray, Trial], bytes], str]] = {
    **{f"cut-{ending}": (_cut(ending), ending) for ending in _FORMATS},
    "cut-progressive": (_cut("jpg", progressive=True), "jpg"),
    "end-marker": (_jpeg_with_end(progressive=False), "jpg"),
    "end-marker-progressive": (_jpeg_with_end(progressive=True), "jpg"),
    "first-scans": (_jpeg_first_scans, "jpg"),
    "zeros-in-jpeg": (_jpeg_zeros, "jpg"),
    "png-short": (_png_short, "png"),
    "png-stream-cut": (_png_stream_cut, "png"),
    "webp-sizes-fit": (_webp_cut, "webp"),
    "tiff-short-strip": (_tiff_short_strip, "tif"),
    "bomb-60000": (_png_bomb(60_000), "png"),
    "bomb-2-31": (_png_bomb(2**31 - 1), "png"),
    "no-pixels": (lambda pixels, trial: _png((0, 0, 8, 2, 0, 0, 0), zlib.compress(b"")), "png"),
    "text": (_other(b"this is not an image"), "png"),
    "svg": (_other(b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"), "png"),
    "heic": (_other(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)), "jpg"),
    "postscript": (_other(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "png"),
    "empty": (_other(b""), "jpg"),
    "noise": (_noise, "png"),
    "sixteen-bits": (_sixteen, "png"),
    "animated-png": (_animated("PNG"), "png"),
    "animated-webp": (_animated("WEBP"), "webp"),
    "float-tiff": (_mode("F", "TIFF"), "tif"),
    "whole-numbers-tiff": (_mode("I", "TIFF"), "tif"),
}
_MAYBE: dict[str, tuple[Callable[[np.ndarray, Trial], bytes], str]] = {
    **{f"flip-{ending}": (_flip(ending), ending) for ending in _FORMATS},
    "cmyk": (_mode("CMYK", "JPEG"), "jpg"),
    "palette": (_mode("P", "PNG"), "png"),
    "grey": (_mode("L", "PNG"), "png"),
    "alpha": (_mode("RGBA", "PNG"), "png"),
    "gif-as-png": (_mode("P", "GIF"), "png"),  # what is in a file tells its format
    "one-bit": (_mode("1", "PNG"), "png"),  # scanners of documents save such
}
_PLACES: dict[str, Callable[[str], object]] = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "dangling-link": lambda path: os.symlink("nowhere", path),
    "link-to-itself": lambda path: os.symlink(path, path),
}
_ODD_NAMES = {
    "escape": b"\x1b[2Jgone",
    "not-utf-8": b"\xff\xfe-person",
    "newline": b"a\nnext: pytest",
    "bidi": "\u202eevil".encode(),
    "long": b"x" * 240,
}


def cases(rng: random.Random) -> Iterator[Case]:
    """One bad image among many, or many that are not what they seem."""
    for name, (make, ending) in _CONTENT.items():
        for index in range(2 if name.startswith(("cut", "end", "png", "webp")) else 1):
            yield Case(f"image-{name}-{index}", "folders", instead(make, ending), REFUSED)
    maybe: Expect = REFUSED | FAILING | PASSING
    for name, (make, ending) in _MAYBE.items():
        yield Case(f"image-{name}", "folders", instead(make, ending), maybe)
    for name, place in _PLACES.items():
        yield Case(
            f"image-{name}",
            "folders",
            _placed(place),
            refused("faces", "calibration", "pairs.csv", "face.json"),
        )
    yield Case("image-unreadable", "folders", _unreadable, REFUSED)
    for name, text in _ODD_NAMES.items():
        yield Case(f"image-person-{name}", "folders", _renamed(text), REFUSED | PASSING | FAILING)
        yield Case(f"image-file-{name}", "folders", _strange_file(text), refused("calibration"))
    harmless = SAME_VERDICTS | REFUSED
    yield Case(
        "image-thumbs-db",
        "folders",
        lambda trial: (trial.file("faces") / "Thumbs.db").write_bytes(b"x"),
        harmless,
    )
    yield Case(
        "image-hidden-file",
        "folders",
        lambda trial: (trial.file("calibration") / ".DS_Store").write_bytes(b"x"),
        harmless,
    )
