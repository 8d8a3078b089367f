"""Whatever is damaged in a cache is made again, or gives one error; nothing hangs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant.errors import CacheError
from tests.worlds.caches import DIGEST, RUN_ID, build, cache_at, loaded, read, special

pytestmark = pytest.mark.usefixtures("same_code")


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return cache_at(tmp_path / "cache").entry("thing", [1], build)


MANIFESTS: list[Any] = [
    None, True, 0, 1.5, "x", [], ["a.bin"], {}, {"a.bin": None}, {"a.bin": 5}, {"a.bin": [DIGEST]},
    {"a.bin": DIGEST}, {"../../outside": DIGEST}, {"/etc/passwd": DIGEST}, {"": DIGEST},
    {".": DIGEST}, {"a.bin\0": DIGEST}, {"manifest.json": DIGEST}, {"x" * 5000: DIGEST},
    {f"{number}": DIGEST for number in range(20_000)},
]  # fmt: skip


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda value: ascii(value)[:24])
def test_any_manifest(entry: Path, manifest: Any) -> None:
    (entry / "manifest.json").write_text(json.dumps(manifest))
    cache = cache_at(entry.parents[1])
    assert cache.load("thing", [1], build, read) == (1000, 1)
    assert cache.built == {entry}


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a": NaN}', "\ufeff{}", " " * (1 << 21), '{"a":1,"a":1}']
)
def test_any_text_as_manifest(entry: Path, text: str) -> None:
    (entry / "manifest.json").write_text(text)
    assert loaded(entry.parents[1]) == (1000, 1)


def test_a_manifest_that_leads_outside(entry: Path, tmp_path: Path) -> None:
    """Its digest fits, but the file is not the entry's."""
    (tmp_path / "outside").write_bytes(b"x" * 1000)
    (entry / "a.bin").unlink()
    manifest = json.loads((entry / "manifest.json").read_text())
    for name in ("../../../outside", str(tmp_path / "outside")):
        changed = {name: manifest["a.bin"], "b.json": manifest["b.json"]}
        (entry / "manifest.json").write_text(json.dumps(changed))
        assert loaded(entry.parents[1]) == (1000, 1)
        (entry / "a.bin").unlink()
    (entry / "a.bin").symlink_to(tmp_path / "outside")
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert loaded(entry.parents[1]) == (1000, 1)
    assert not (entry / "a.bin").is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"x" * 1000


@pytest.mark.parametrize("kind", ["fifo", "folder", "file", "device", "loop", "nothing"])
@pytest.mark.parametrize("name", ["", "manifest.json", "a.bin", "b.json"])
def test_anything_in_the_place_of_an_entry_or_file(entry: Path, name: str, kind: str) -> None:
    special(entry / name, kind)
    assert loaded(entry.parents[1]) == (1000, 1)
    assert loaded(entry.parents[1]) == (1000, 1)


def test_one_file_more(entry: Path) -> None:
    (entry / "c.bin").write_text("more")
    assert loaded(entry.parents[1]) == (1000, 1)
    assert not (entry / "c.bin").exists()


def test_content_that_cannot_be_read_is_built_again(entry: Path) -> None:
    calls = []

    def once_unreadable(folder: Path) -> int:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyError("damaged")
        return 1

    assert cache_at(entry.parents[1]).load("thing", [1], build, once_unreadable) == 1

    def never(folder: Path) -> int:
        raise KeyError("damaged")

    with pytest.raises(CacheError, match=r"was deleted or changed while the run used it"):
        cache_at(entry.parents[1]).load("thing", [1], build, never)


def test_what_was_found_is_checked_once_and_what_was_built_never(entry: Path) -> None:
    asked = []

    def check(found: tuple[int, int]) -> str:
        asked.append(found)
        return ""

    later = cache_at(entry.parents[1])
    later.load("thing", [1], build, read, check)
    later.load("thing", [1], build, read, check)
    later.load("other", [1], build, read, check)
    assert asked == [(1000, 1)]
    with pytest.raises(CacheError, match=r"thing/\w+: is forged; delete the cache \(--cache-clear"):
        cache_at(entry.parents[1]).load("thing", [1], build, read, lambda found: "is forged")


RESULTS = ["", "{", "[1]", '"x"', "null", "NaN", "[" * 100_000, "\ufeff1", "true"]


@pytest.mark.parametrize("text", RESULTS)
def test_a_damaged_result_of_the_run_is_made_again(tmp_path: Path, text: str) -> None:
    def number(value: Any) -> float:
        if type(value) is not int:
            raise TypeError(value)
        return value

    cache = cache_at(tmp_path)
    assert cache.once("latency", lambda: 1, number) == 1
    file = tmp_path / "runs" / RUN_ID / "latency.json"
    file.write_text(text)
    assert cache.once("latency", lambda: 2, number) == 2
    assert cache.once("latency", lambda: 3, number) == 2
    assert file.read_text() == "2"


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_anything_in_the_place_of_a_result(tmp_path: Path, kind: str) -> None:
    cache = cache_at(tmp_path)
    cache.once("latency", lambda: 1, int)
    special(tmp_path / "runs" / RUN_ID / "latency.json", kind)
    if kind == "folder":
        with pytest.raises(CacheError, match="cannot be written"):
            cache.once("latency", lambda: 2, int)
    else:
        assert cache.once("latency", lambda: 2, int) == 2


@pytest.mark.parametrize("kind", ["folder", "file", "fifo", "device", "loop"])
@pytest.mark.parametrize("place", ["locks", "runs", "thing", "code", ".gitignore"])
def test_anything_in_the_place_of_a_folder(tmp_path: Path, place: str, kind: str) -> None:
    loaded(tmp_path)
    special(tmp_path / place, kind)
    try:
        assert loaded(tmp_path) == (1000, 1)
        assert cache_at(tmp_path).once("x", lambda: 1, int) == 1
    except CacheError as error:
        assert "--kycquant-cache" in str(error)  # noqa: PT017 either is right
