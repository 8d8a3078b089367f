"""Images are found in the same order on every filesystem, and none is left out silently."""

import os
from pathlib import Path

import pytest

from pytest_kycquant.data.files import find_images, listed, read_file
from pytest_kycquant.errors import DataError
from tests.worlds.pictures import write_image


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder)]


def test_order_is_that_of_posix_paths(tmp_path: Path) -> None:
    # As path parts, "a/b" sorts before "a-c"; as text it is the other way round.
    for name in ("b/2.PNG", "b/10.jpg", "a-c/1.png", "a/b/1.tiff", "Z.webp"):
        write_image(tmp_path / name, 0)
    assert names(tmp_path) == ["Z.webp", "a-c/1.png", "a/b/1.tiff", "b/10.jpg", "b/2.PNG"]


def test_order_does_not_follow_the_filesystem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write_image(tmp_path / f"{name}.png", 0)
    expected = names(tmp_path)
    listing = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: sorted(listing(self), reverse=True))
    assert names(tmp_path) == expected == ["a.png", "b.png", "c.png"]


def test_hidden_files_and_companions_are_skipped(tmp_path: Path) -> None:
    for name in (".hidden.png", ".git/a.png", "a.png", "Thumbs.db", "x.TXT", "y.csv", "z.md"):
        write_image(tmp_path / name, 0)
    assert names(tmp_path) == ["a.png"]


def test_unknown_files_are_named(tmp_path: Path) -> None:
    for name in ("a.heic", "b/model.onnx", "c.png", "noname"):
        write_image(tmp_path / name, 0)
    with pytest.raises(DataError, match=r"a\.heic, b/model\.onnx, noname; convert") as caught:
        find_images(tmp_path)
    assert str(tmp_path) in caught.value.where


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    write_image(tmp_path / "store" / "a.png", 0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "person").symlink_to(tmp_path / "store")
    assert names(tmp_path / "data") == ["person/a.png"]


def test_circular_link(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "1.png", 0)
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"again: is a link to a folder .* remove the link"):
        find_images(tmp_path)


def test_broken_link(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"a\.png: is a broken link .* restore its target"):
        find_images(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: cannot be listed .* check the path"):
        find_images(tmp_path / "gone")


@pytest.mark.parametrize("name", [b"a\nb.png", b"a\xff.png", b"\x1b[31m.png"])
def test_names_that_would_spoil_a_message(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    try:
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("this filesystem does not take such names")
    with pytest.raises(DataError, match=r"contains control characters .* rename it") as caught:
        find_images(tmp_path)
    assert str(caught.value).isprintable()


def test_reading_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: does not exist; check the path"):
        read_file(tmp_path / "a.png")


def test_git_lfs_pointer(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DataError, match=r"a\.png: is a Git LFS pointer.*git lfs pull"):
        read_file(path)


def test_long_lists_are_counted() -> None:
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed(list("abcde")) == "a, b, c, d, e"
