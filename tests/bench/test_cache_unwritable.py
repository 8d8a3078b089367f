"""A cache folder that cannot be written gives one clear error."""

import errno
import os
from pathlib import Path

import pytest

from pytest_kycquant.context.cache import Cache
from pytest_kycquant.errors import CacheError


def build(folder: Path) -> None:
    (folder / "x").write_text("1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CacheError, match=r"cannot be written.*--kycquant-cache"):
            Cache(tmp_path / "cache", {}).entry("k", [1], build)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(CacheError, match=r"cache: the cache is not a folder.*--kycquant-cache"):
        Cache(tmp_path / "cache", {}).entry("k", [1], build)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_full_or_read_only_disk(tmp_path: Path, fault: int) -> None:
    def full(folder: Path) -> None:
        raise OSError(fault, os.strerror(fault))

    with pytest.raises(CacheError, match="free some space or name another folder"):
        Cache(tmp_path, {}).entry("k", [1], full)
    assert not list((tmp_path / "k").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_device(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        with Path("/dev/full").open("w") as device:
            device.write("x" * 100_000)

    with pytest.raises(CacheError, match="No space left"):
        Cache(tmp_path, {}).entry("k", [1], full)


def test_other_errors_keep_their_name(tmp_path: Path) -> None:
    def missing(folder: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "no such thing")

    with pytest.raises(FileNotFoundError):
        Cache(tmp_path, {}).entry("k", [1], missing)
