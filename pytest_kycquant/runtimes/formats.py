"""Model files that are not ONNX: how a format is recognised, and which files make up a model.

ONNX is read by `model_files.py`, because the quantizer works on it. Other formats are opened by
their runtimes only; here they are hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelError
from .model_files import hash_into, read_model, read_whole, regular

ONNX = ".onnx"
_HEAD = 64  # bytes in which a format shows


class Format(NamedTuple):
    """One format of model files: a line of `FORMATS`.

    Args:
        title: its name in messages.
        magic: bytes that every file of it has, with their place; several are alternatives.
        companions: suffixes of further files of the same stem that belong to the model.
        examine: location, ``module:attribute``, of a function that is given the content of a file
            before this process opens it, and raises `ModelError` if that would do harm.
    """

    title: str
    magic: tuple[tuple[int, bytes], ...] = ()
    companions: tuple[str, ...] = ()
    examine: str = ""


FORMATS: Mapping[str, Format] = {
    ONNX: Format("ONNX"),
    ".ort": Format("ORT format", ((4, b"ORTM"),)),
    ".tflite": Format("LiteRT", ((4, b"TFL3"),), examine="pytest_kycquant.runtimes.trial:examine"),
    ".xml": Format("OpenVINO IR", ((0, b"<?xml"), (0, b"<net")), (".bin",)),
    ".pt2": Format("exported program of torch", ((0, b"PK\x03\x04"),)),
}
"""All formats by the suffix of their files. To add one, add a line."""


_COMPANIONS = frozenset(suffix for line in FORMATS.values() for suffix in line.companions)


@dataclass(frozen=True)
class Identity:
    """What identifies the files of a model.

    Args:
        digest: hexadecimal SHA-256 of the file and of all that belongs to it, in this order.
        size: their size in bytes.
        files: the file and those that belong to it.
    """

    digest: str
    size: int
    files: tuple[Path, ...]


def format_of(path: Path) -> Format:
    """Return the format of a file by its suffix.

    Raises:
        ModelError: it is none of `FORMATS`.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(f"{suffix} ({line.title})" for suffix, line in FORMATS.items())
        raise ModelError(
            path, f"{path.suffix or 'a file without suffix'} is not a format of models",
            f"give one of {known}",
        )  # fmt: skip
    return found


def is_onnx(path: Path) -> bool:
    """Whether a file is read as ONNX, which it is if its suffix names no other format."""
    return path.suffix.lower() not in FORMATS.keys() - {ONNX}


def suffix_of(path: Path) -> str:
    """The usual suffix of a file's format, or of a file that belongs to one."""
    return ONNX if is_onnx(path) and path.suffix.lower() not in _COMPANIONS else path.suffix.lower()


def files_of(path: Path) -> tuple[Path, ...]:
    """The file and those that belong to it by name. For ONNX, the file alone; see `read_model`."""
    companions = FORMATS[ONNX if is_onnx(path) else path.suffix.lower()].companions
    return (path, *(path.with_suffix(suffix) for suffix in companions))


def identify(path: Path) -> Identity:
    """Check that a file is of the format that its suffix says, and hash it.

    Raises:
        ModelError: a file is missing, empty, damaged or of another format.
    """
    line = format_of(path)
    if is_onnx(path):
        read = read_model(path)
        return Identity(read.digest, read.size, read.files)
    head = _head(path)
    if not any(head[at : at + len(mark)] == mark for at, mark in line.magic):
        raise ModelError(
            path, f"is not in the format that its ending says ({line.title})", _instead(head)
        )
    state, size = hashlib.sha256(), 0
    for each in files_of(path):
        if not each.is_file():
            raise ModelError(path, f"{each.name} is missing beside it", "copy that file, too")
        hash_into(state, each)
        size += each.stat().st_size
    return Identity(state.hexdigest(), size, files_of(path))


def _head(path: Path) -> bytes:
    with regular(path, path) as file:
        head = file.read(_HEAD)
    if not head or head.startswith(b"version https://git-lfs"):
        read_whole(path)  # raises the error of an empty file, or of a pointer
    return head


def _instead(head: bytes) -> str:
    """What to do about a file of another format than its suffix says."""
    for suffix, line in FORMATS.items():
        if any(head[at : at + len(mark)] == mark for at, mark in line.magic):
            return f"it looks like {line.title}: name it {suffix}, or give the right file"
    return "export or download the model again"
