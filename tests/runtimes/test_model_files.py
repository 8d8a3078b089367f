"""A model file is opened from the bytes that were hashed, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pytest_kycquant.errors import MeasurementError, ModelError
from pytest_kycquant.measure.memory import measure_footprint
from pytest_kycquant.quantize import ModelFile, load_model
from pytest_kycquant.runtimes.model_files import read_model
from pytest_kycquant.runtimes.opening import Opening
from pytest_kycquant.runtimes.verified import check_unchanged, open_verified, read_verified
from pytest_kycquant.spec.runtime import REFERENCE
from tests.worlds.zoo import images, save, tiny_embedder

OTHER = tiny_embedder(seed=1).SerializeToString()


def single(folder: Path) -> Path:
    return save(folder, tiny_embedder())


def external(folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save_model(
        tiny_embedder(), path, save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    return path


def linked(folder: Path) -> Path:
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    save(folder / "a", tiny_embedder())
    save(folder / "b", tiny_embedder(seed=1))
    path = folder / "model.onnx"
    path.symlink_to(folder / "a" / "model.onnx")
    return path


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def replace(path: Path) -> None:
    other = path.with_name("other.onnx")
    other.write_bytes(OTHER)
    other.replace(path)


def repoint(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "b" / "model.onnx")


def become_external(path: Path) -> None:
    external(path.parent)


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None]]] = {
    "replaced": (single, replace),
    "modified in place": (single, flip),
    "truncated": (single, lambda path: os.truncate(path, 700)),
    "emptied": (single, lambda path: os.truncate(path, 0)),
    "extended": (single, lambda path: path.write_bytes(path.read_bytes() + b"\x08\x08")),
    "deleted": (single, lambda path: path.unlink()),
    "made a FIFO": (single, become_fifo),
    "its weights moved outside": (single, become_external),
    "external data modified": (external, lambda path: flip(path.with_name("weights.bin"))),
    "external data deleted": (external, lambda path: path.with_name("weights.bin").unlink()),
    "external data truncated": (
        external,
        lambda path: os.truncate(path.with_name("weights.bin"), 100),
    ),
    "external data exchanged": (
        external,
        lambda path: path.with_name("weights.bin").write_bytes(np.ones(1000, np.float32).tobytes()),
    ),
    "external replaced by single": (external, replace),
    "symlink re-pointed": (linked, repoint),
    "target of the symlink modified": (linked, lambda path: flip(path.parent / "a/model.onnx")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_has_changed_is_not_opened(tmp_path: Path, name: str) -> None:
    make, change = CHANGES[name]
    path = make(tmp_path)
    loaded = load_model(path)
    file = ModelFile(path, loaded.digest, loaded.size, {}, {})
    file.open()
    change(path)
    for use in (
        file.open,
        file.read,
        lambda: open_verified(REFERENCE, path, loaded.digest),
        lambda: check_unchanged(path, loaded.digest),
    ):
        with pytest.raises(ModelError, match="changed while it was in use") as caught:
            use()
        assert caught.value.where == str(path)
        assert caught.value.remedy == "run again"


@pytest.mark.parametrize("make", [single, external, linked])
def test_outputs_are_those_of_the_hashed_bytes(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """Also when the file is replaced right after it was read."""
    path = make(tmp_path)
    digest = read_model(path).digest
    tensor = {"input": images(1)[0]}
    model = open_verified(REFERENCE, path, digest)
    (before,) = model.run(tensor)
    for name in ("model.onnx", "weights.bin", "a/model.onnx"):
        if (tmp_path / name).exists():
            (tmp_path / name).write_bytes(OTHER)
    (after,) = model.run(tensor)
    assert (before == after).all()


def test_the_digest_of_a_single_file_is_its_sha256(tmp_path: Path) -> None:
    path = single(tmp_path)
    assert read_model(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_verified(path, read_model(path).digest) == path.read_bytes()


def test_external_data_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is hashed is what is used, even if the data change between any two steps."""
    path = external(tmp_path)
    sound = load_model(path)
    real = hashlib.sha256

    def hashed(content: bytes = b"") -> object:
        (tmp_path / "weights.bin").write_bytes(bytes(4000))
        return real(content)

    monkeypatch.setattr(hashlib, "sha256", hashed)
    found = read_model(path)
    assert (found.digest != sound.digest) == (
        found.proto.graph.initializer[0].raw_data != sound.proto.graph.initializer[0].raw_data
    )


@pytest.mark.parametrize("make", [single, external])
def test_memory_is_measured_on_the_file_that_was_judged(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    digest = read_model(path).digest
    job = Opening((path,), (images(1)[0],), digests=(digest,))
    assert measure_footprint(job, "it").load_ms > 0
    flip(path if make is single else tmp_path / "weights.bin")
    with pytest.raises(MeasurementError, match="changed while it was in use"):
        measure_footprint(job, "it")
