"""Only the plugin's own folder is a cache: nothing else is written into, deleted or laid open."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pytest_kycquant
from pytest_kycquant.context import folder
from pytest_kycquant.context.cache import Cache
from pytest_kycquant.context.folder import CacheFolder, refuse
from pytest_kycquant.errors import CacheError, SettingsError
from pytest_kycquant.quantize.steps import STEPS

PYTEST_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag.\n"


def build(folder: Path) -> None:
    (folder / "x").write_text("1")


def content(root: Path) -> dict[str, str | None]:
    """Every file below a folder with its text, and every folder."""
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def used(root: Path) -> Cache:
    cache = Cache(root, {}, run_id="0" * 32)
    cache.entry("variant", [1], build)
    cache.entry("outputs", [1], build)
    cache.once("latency", lambda: 1, int)
    with cache.machine(exclusive=True):
        pass
    return cache


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {".hidden": ""},
        {"CACHEDIR.TAG": PYTEST_TAG},
        {"CACHEDIR.TAG": "", "variant/x": "1"},
        {"CACHEDIR.TAG/x": "a folder"},
        {"variant/0123456789abcdef0123456789abcdef/manifest.json": "{}"},
        {"runs/a": "", "outputs/b": "", ".gitignore": "*\n"},
    ],
    ids=str,
)
def test_a_folder_of_something_else_is_not_touched(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = content(tmp_path)
    mode = tmp_path.stat().st_mode
    problem = r"(is a folder of something else|has no CACHEDIR.TAG).*--kycquant-cache"
    with pytest.raises(CacheError, match=problem):
        used(tmp_path)
    with pytest.raises(CacheError, match=problem):
        CacheFolder(tmp_path).clear()
    with pytest.raises(SettingsError, match=problem):
        refuse(tmp_path, {})
    assert content(tmp_path) == before
    assert tmp_path.stat().st_mode == mode


def test_what_a_deletion_left_of_a_cache_is_named(tmp_path: Path) -> None:
    """Writers that are killed while their cache is deleted leave it without its tag."""
    used(tmp_path)
    (tmp_path / "CACHEDIR.TAG").unlink()
    with pytest.raises(CacheError, match=r"what is left of a cache deleted.*; delete it, "):
        used(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CacheError, match=r"is a folder of something else.*; name a new"):
        used(tmp_path)


def test_every_kind_of_artefact_is_known_by_name() -> None:
    package = Path(pytest_kycquant.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    kinds = {kind for text in texts for kind in re.findall(r"load\(\s*\"([a-z-]+)\"", text)}
    kinds |= {step.kept.kind for step in STEPS if step.kept is not None}
    assert {"variant", "outputs", "inputs", "pixels", "activations"} <= kinds <= folder._NAMES


def test_a_cache_that_is_deleted_at_the_moment(tmp_path: Path) -> None:
    """Its tag may go first: that is no folder of something else."""
    used(tmp_path)
    (tmp_path / "CACHEDIR.TAG").unlink()
    gone = threading.Timer(0.15, shutil.rmtree, [tmp_path])
    gone.start()
    refuse(tmp_path, {})
    gone.join()
    assert not tmp_path.exists()


def test_a_folder_that_is_deleted_before_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = os.scandir

    def late(path: object) -> object:
        if path == tmp_path / "cache":
            shutil.rmtree(path)
        return listing(path)

    used(tmp_path / "cache")
    monkeypatch.setattr(os, "scandir", late)
    refuse(tmp_path / "cache", {})
    assert not (tmp_path / "cache").exists()


def test_only_what_is_ours_is_deleted(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    used(root)
    precious = tmp_path / "precious"
    precious.mkdir()
    mine = {
        root / "notes.txt": "mine",
        root / "variant" / "notes.txt": "mine",
        root / "mine" / "d41d8cd98f00b204e9800998ecf8427e": "named by its digest",
        root / "mine" / "code" / "0123456789abcdef0123456789abcdef": "mine",
        root / "variant" / "0123456789abcdef0123456789abcdef" / "x": "no manifest",
        precious / "0123456789abcdef0123456789abcdef" / "manifest.json": "{}",
    }
    for path, text in mine.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "link").symlink_to(precious)
    (root / "variant" / ("f" * 32)).symlink_to(precious / ("0123456789abcdef" * 2))
    CacheFolder(root).clear()
    for path, text in mine.items():
        assert path.read_text() == text
    assert (root / "variant" / ("f" * 32)).is_symlink()
    assert not list(root.glob("outputs/*"))
    assert not [p for p in root.glob("variant/*/manifest.json") if not p.parent.is_symlink()]
    assert not list(root.glob("runs/*"))
    assert len(used(root).built) == 2  # it is still a cache


def test_clearing_through_a_link_and_nothing(tmp_path: Path) -> None:
    used(tmp_path / "cache")
    (tmp_path / "link").symlink_to("cache")
    CacheFolder(tmp_path / "link").clear()
    assert (tmp_path / "link").is_symlink()
    assert not list((tmp_path / "cache").glob("*/*/manifest.json"))
    CacheFolder(tmp_path / "missing").clear()
    assert not (tmp_path / "missing").exists()


def unusable(kind: str, folder: Path) -> Path:
    path = folder / "cache"
    if kind == "file":
        path.write_text("mine")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "through a file":
        path.write_text("mine")
        path = path / "deeper" / "still"
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "long name":
        path = folder / ("x" * 300)
    elif kind == "long path":
        path = folder.joinpath(*["x" * 200] * 25)
    elif kind == "proc":
        path = Path("/proc/kycquant/cache")
    return path


UNUSABLE = [
    "file", "fifo", "through a file", "dangling link", "link loop", "device", "long name",
    "long path", "proc",
]  # fmt: skip


@pytest.mark.parametrize("kind", UNUSABLE)
def test_each_gives_one_error(tmp_path: Path, kind: str) -> None:
    path = unusable(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CacheError, match="--kycquant-cache"):
        used(path)
    if kind != "proc":  # root may believe that it can write there
        with pytest.raises(
            SettingsError, match=r"--kycquant-cache: .*; name a new or empty folder"
        ):
            refuse(path, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_places_that_must_not_lie_in_a_cache(tmp_path: Path) -> None:
    project = tmp_path / "project"
    golden = project / "golden"
    golden.mkdir(parents=True)
    (tmp_path / "link").symlink_to(project)
    places = {"pytest's rootdir": project, "the goldens": golden}
    for root in (golden, project, tmp_path, Path("/"), tmp_path / "link", golden / ".." / "golden"):
        with pytest.raises(SettingsError, match=r"contains (pytest's rootdir|the goldens) \("):
            refuse(root, places)
    for root in (golden / "inside", project / ".cache", tmp_path / "new"):
        refuse(root, places)
        assert not root.exists()


def open_to_others(root: Path) -> list[Path]:
    inside = [root, *root.rglob("*")]
    return [path for path in inside if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        used(tmp_path / "below" / "cache")
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / "below" / "cache") == []


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    used(tmp_path / "cache")
    (tmp_path / "cache" / "elsewhere").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").write_text("mine")
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (tmp_path / "mine").chmod(0o644)
    used(tmp_path / "cache")
    (tmp_path / "cache" / "elsewhere").unlink()
    assert open_to_others(tmp_path / "cache") == []
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o644


def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used(tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)

    def refused(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(CacheError, match=r"belongs to another user.*name a new or empty folder"):
        used(tmp_path / "cache")


def test_a_mounted_empty_folder_is_made_a_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    refuse(tmp_path, {})
    used(tmp_path)
    assert open_to_others(tmp_path) == []


WORKER = """
import sys
from pathlib import Path
from pytest_kycquant.context.cache import Cache
from pytest_kycquant.context.folder import refuse

sys.stdin.read()  # all start together
refuse(Path(sys.argv[1]), {})
Cache(Path(sys.argv[1]), {}).entry("k", [sys.argv[2]], lambda folder: (folder / "x").touch())
"""


def test_several_processes_make_it_at_once(tmp_path: Path) -> None:
    for turn in range(3):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(tmp_path / str(turn)), str(number)],
                stdin=subprocess.PIPE,
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    used(tmp_path)
    key = "0123456789abcdef" * 2
    left = [
        tmp_path / "variant" / f"partial-{key}-01234567" / "model.onnx",
        tmp_path / "variant" / f"partial-{key}" / "model.onnx",  # of an earlier version
        tmp_path / f".kycquant-{key[:16]}.partial",
        tmp_path / "code" / f".kycquant-{key[:16]}.partial",
        tmp_path / "runs" / ("0" * 32) / f".kycquant-{key[:16]}.partial",
    ]
    mine = [tmp_path / "variant" / "partial-mine" / "x", tmp_path / "a.partial"]
    for path in (*left, *mine):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    Cache(tmp_path, {}).entry("variant", [1], build)
    assert [path for path in left if path.exists()] == []
    assert not (tmp_path / "variant" / f"partial-{key}").exists()
    assert [path for path in mine if not path.exists()] == []


def test_what_a_running_process_builds_stays(tmp_path: Path) -> None:
    def slow(folder: Path) -> None:
        (folder / "x").write_text("half")
        assert len(Cache(tmp_path, {}).built) == 0
        Cache(tmp_path, {}).entry("outputs", [2], build)  # another process starts meanwhile
        assert (folder / "x").read_text() == "half"

    Cache(tmp_path, {}).entry("variant", [1], slow)
