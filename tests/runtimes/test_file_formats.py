"""Formats of model files: recognised by their first bytes, hashed with all that belongs to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize.contents import READERS, Contents, contents
from pytest_kycquant.runtimes import formats
from pytest_kycquant.runtimes.formats import FORMATS, Format, files_of, identify, suffix_of
from pytest_kycquant.runtimes.verified import check_unchanged, read_verified


def read_toy(path: Path, sha256: str) -> Contents:
    return Contents(json.loads(read_verified(path, sha256)[4:]))


def test_a_new_format_is_two_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(formats, "FORMATS", {**FORMATS, ".toy": Format("Toy", ((0, b"TOY1"),))})
    monkeypatch.setitem(READERS, ".toy", f"{__name__}:read_toy")  # type: ignore[arg-type]
    path = tmp_path / "m.toy"
    path.write_bytes(b'TOY1{"Conv": 3}')
    found = identify(path)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert contents(path, found.digest).quantized == {"Conv": 3}


def write_ir(folder: Path) -> Path:
    (folder / "m.bin").write_bytes(b"weights")
    (folder / "m.xml").write_bytes(b"<?xml version='1.0'?><net/>")
    return folder / "m.xml"


def test_files_that_belong_together_have_one_digest(tmp_path: Path) -> None:
    path = write_ir(tmp_path)
    found = identify(path)
    both = path.read_bytes() + (tmp_path / "m.bin").read_bytes()
    assert (found.digest, found.size) == (hashlib.sha256(both).hexdigest(), len(both))
    assert found.files == (path, tmp_path / "m.bin")
    check_unchanged(path, found.digest)
    (tmp_path / "m.bin").write_bytes(b"other..")
    with pytest.raises(ModelError, match="changed while it was in use"):
        check_unchanged(path, found.digest)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no suffix": (lambda d: put(d / "model", b"x"), "a file without suffix is not a format"),
    "another suffix": (lambda d: put(d / "m.h5", b"x"), r"\.h5 is not a format of models"),
    "empty": (lambda d: put(d / "m.tflite", b""), "is empty"),
    "not LiteRT": (
        lambda d: put(d / "m.tflite", b"nothing"),
        "is not in the format that its ending says \\(LiteRT\\)",
    ),
    "missing": (lambda d: d / "m.ort", "does not exist"),
    "LiteRT named ORT": (
        lambda d: put(d / "m.ort", b"\x1c\0\0\0TFL3...."),
        r"ending says \(ORT format\); it looks like LiteRT: name it \.tflite",
    ),
    "IR without weights": (lambda d: put(d / "m.xml", b"<?xml ?><net/>"), "m.bin is missing"),
    "Git LFS": (
        lambda d: put(d / "m.tflite", b"version https://git-lfs.github.com/spec/v1"),
        "is a Git LFS pointer",
    ),
    "folder": (lambda d: d, "is not a format of models"),
}


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(ModelError, match=message):
        identify(make(tmp_path))


def test_suffixes() -> None:
    assert suffix_of(Path("a.TFLITE")) == ".tflite"
    assert suffix_of(Path("a.model")) == ".onnx"  # whatever has no format of its own
    assert [suffix_of(each) for each in files_of(Path("a.xml"))] == [".xml", ".bin"]
    assert files_of(Path("a.onnx")) == (Path("a.onnx"),)
