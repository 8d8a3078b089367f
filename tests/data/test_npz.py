"""Arrays are read from .npz files, and never unpickled."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.data.files import load_npz
from pytest_kycquant.errors import DataError


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_by_name(tmp_path: Path, save) -> None:
    save(tmp_path / "a.npz", images=np.arange(3), subjects=np.array(["x"]), other=np.zeros(9))
    arrays = load_npz(tmp_path / "a.npz", "images", "subjects")
    assert list(arrays) == ["images", "subjects"]
    np.testing.assert_array_equal(arrays["images"], [0, 1, 2])


def refuse(path: Path, problem: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        load_npz(path, "images")
    assert str(caught.value).startswith(str(path))
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "a.npz", "does not exist", "check the path")


def test_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "is a folder", "give a file")


def test_missing_key_tells_which_there_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", faces=np.arange(3))
    refuse(tmp_path / "a.npz", "lacks 'images'; it contains: 'faces'", "save it with 'images'")


def test_pickled_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"x": 1}, None], dtype=object))
    refuse(tmp_path / "a.npz", "array 'images' contains pickled Python objects", "plain numeric")


def test_pickle_by_another_name_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(pickle.dumps({"images": [1]}))
    refuse(path, "is not an .npz file", "numpy.savez")


def test_single_array_by_another_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    refuse(tmp_path / "a.npz", "is not an .npz file", "numpy.savez")


def test_zip_without_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images", b"text")
    refuse(tmp_path / "a.npz", "'images' is not an array", "numpy.savez")


def test_damaged_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, 4000))
    content = bytearray(path.read_bytes())
    content[600:700] = bytes(100)
    path.write_bytes(content)
    refuse(path, "is damaged", "write or download it again")


def test_password(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros(3))
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    refuse(path, "is encrypted", "save it without a password")


def test_git_lfs_pointer(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refuse(tmp_path / "a.npz", "is a Git LFS pointer", "git lfs pull")


def test_array_shorter_than_its_header_says(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(100))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue()[:-8])
    refuse(tmp_path / "a.npz", "is damaged (ValueError)", "write or download it again")


def no_letter(code: int, shape: tuple[int, ...], order: str) -> np.ndarray:
    texts = np.full(shape, "abc", dtype=f"{order}U4")
    texts.reshape(-1).view(f"{order}u4")[0] = code
    return texts


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
@pytest.mark.parametrize("code", [0x110000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_letters_that_do_not_exist(
    tmp_path: Path, code: int, shape: tuple[int, ...], order: str
) -> None:
    """Python raises a SystemError for such a text, but only once it looks at it."""
    np.savez(tmp_path / "a.npz", images=no_letter(code, shape, order))
    refuse(
        tmp_path / "a.npz",
        "'images' holds numbers that stand for no letter",
        "write or download it again",
    )
    np.savez(tmp_path / "a.npz", images=no_letter(0x10FFFF, shape, order))
    assert load_npz(tmp_path / "a.npz", "images")["images"].shape == shape


def test_no_texts(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.empty(0, "U3"), other=np.empty(2, "U"))
    assert load_npz(tmp_path / "a.npz", "images", "other")["images"].shape == (0,)


def test_structured_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros(2, [("a", "U3"), ("b", "i4")]))
    refuse(tmp_path / "a.npz", "'images' is a structured array", "save each field as an array")


@pytest.mark.parametrize("where", ["zipfile.is_zipfile", "numpy.load"])
@pytest.mark.parametrize(
    "error",
    [SystemError("x"), MemoryError(), RuntimeError("encrypted"), AssertionError(), OSError()],
)
def test_whatever_an_archive_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def fail(*args: object, **given: object) -> None:
        raise error

    np.savez(tmp_path / "a.npz", images=np.arange(3))
    monkeypatch.setattr(where, fail)
    known = "does not fit into memory" if isinstance(error, MemoryError) else "is damaged"
    refuse(tmp_path / "a.npz", known, "")
