"""Surroundings that are unusual, or that do not give what a run needs."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator

from tests.corpus.case import Case
from tests.corpus.judge import SAME_VERDICTS, refused
from tests.corpus.trial import Trial


def _with(**variables: str | None) -> Callable[[Trial], None]:
    return lambda trial: trial.environment.update(variables)


def _cold(trial: Trial) -> None:
    assert trial.cache is not None
    shutil.rmtree(trial.cache)


def _file_limit(blocks: int) -> Callable[[Trial], None]:
    """No file may become larger, as on a full disk."""

    def damage(trial: Trial) -> None:
        _cold(trial)
        trial.file_limit = blocks
        trial.report = False

    return damage


def _umask(mask: int) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        _cold(trial)
        trial.umask = mask

    return damage


def _read_only(*names: str, cold: bool = True) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        if cold:
            _cold(trial)
            shutil.rmtree(trial.file(".pytest_cache"))
        for name in names:
            trial.file(name).chmod(0o555)
        trial.unprivileged = True

    return damage


def _golden_read_only(trial: Trial) -> None:
    trial.file("golden").chmod(0o555)
    trial.unprivileged = True
    trial.arguments.append("--kycquant-update-golden")


def _in_ci(value: str, *words: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.environment["CI"] = value
        trial.arguments += words

    return damage


def _moved(name: bytes) -> Callable[[Trial], None]:
    """The data are in a folder of an odd name."""

    def damage(trial: Trial) -> None:
        folder = os.path.join(os.fsencode(trial.project), name)
        os.mkdir(folder)
        os.rename(os.fsencode(trial.file("faces.npz")), os.path.join(folder, b"faces.npz"))
        text = name.decode("utf-8", "surrogateescape")
        trial.edit("test_gate.py", '"faces.npz"', ascii(f"{text}/faces.npz"))

    return damage


def _absent_in(name: bytes) -> Callable[[Trial], None]:
    """An error has to name that folder."""

    def damage(trial: Trial) -> None:
        text = name.decode("utf-8", "surrogateescape")
        trial.edit("test_gate.py", '"faces.npz"', ascii(f"{text}/faces.npz"))

    return damage


def _no_home(trial: Trial) -> None:
    trial.environment["HOME"] = os.fspath(trial.root / "nowhere")


def _home_file(trial: Trial) -> None:
    trial.home.rmdir()
    trial.home.write_text("not a folder", encoding="utf-8")


def _no_temporary(trial: Trial) -> None:
    _cold(trial)
    (trial.root / "tmp").rmdir()


_NAMES = {
    "escape": b"\x1b[2J\x1b]0;owned\x07",
    "newline": b"a\nship: int8",
    "not-utf-8": b"\xff\xfe",
    "bidi": "\u202eevil".encode(),
    "spaces": b" a  b ",
    "quotes": b"a'\"`$(id)",
}


def cases(rng: random.Random) -> Iterator[Case]:
    """Missing rights and space, odd names and variables."""
    unchanged = SAME_VERDICTS
    for name, variables in {
        "no-home": {"HOME": None, "ORT_DISABLE_TELEMETRY": "1"},  # nothing in the real home
        "home-empty": {"HOME": ""},
        "locale-c": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "ascii-output": {"PYTHONIOENCODING": "ascii"},
        "latin-1-output": {"PYTHONIOENCODING": "latin-1"},
        "narrow": {"COLUMNS": "1"},
        "columns-zero": {"COLUMNS": "0"},
        "no-path": {"PATH": ""},
        "optimized": {"PYTHONOPTIMIZE": "2"},
        "development-mode": {"PYTHONDEVMODE": "1"},
        "hash-seed": {"PYTHONHASHSEED": "7"},
        "threads-nonsense": {"OMP_NUM_THREADS": "many"},
        "time-zone": {"TZ": "Nowhere/Nothing"},
        "no-colour-forced": {"NO_COLOR": None, "PY_COLORS": "0"},
    }.items():
        yield Case(f"environment-{name}", "face", _with(**variables), unchanged)
    yield Case("environment-home-nowhere", "face", _no_home, unchanged)
    yield Case("environment-home-is-a-file", "face", _home_file, unchanged)
    yield Case("environment-no-temporary-folder", "face", _no_temporary, unchanged | refused())
    yield Case("environment-ci", "face", _in_ci("true"), unchanged)
    for value in ("true", "1", "yes", "TRUE"):
        update = _in_ci(value, "--kycquant-update-golden")
        yield Case(f"environment-ci-update-{value}", "face", update, refused("CI"))
    for mask in (0, 0o002, 0o077):
        yield Case(f"environment-umask-{mask:03o}", "face", _umask(mask), unchanged)
    for blocks in (1, 4, 8, rng.randrange(2, 40), rng.randrange(2, 80)):
        expect = refused("cache", "report", "written") | unchanged
        yield Case(f"environment-file-limit-{blocks}", "face", _file_limit(blocks), expect)
    cache = refused("cache") | unchanged
    yield Case("environment-read-only-project", "face", _read_only("."), cache)
    yield Case(
        "environment-read-only-warm",
        "face",
        _read_only(".", "golden", "models", cold=False),
        unchanged,
    )
    yield Case("environment-read-only-golden", "face", _golden_read_only, refused("face.json"))
    for name, text in _NAMES.items():
        yield Case(
            f"environment-folder-{name}", "face", _moved(text), unchanged | refused("faces.npz")
        )
        yield Case(f"environment-absent-{name}", "face", _absent_in(text), refused("faces.npz"))
    for name, words in {
        "no-cacheprovider": ("-p", "no:cacheprovider"),
        "no-capture": ("-s",),
        "no-xdist": ("-p", "no:xdist"),
        "workers": ("-n", "2"),
        "warnings-are-errors": ("-W", "error"),
        "verbose": ("-vv",),
        "full-trace": ("--full-trace",),
        "random-order": ("-p", "no:randomly"),
        "import-mode": ("--import-mode=importlib",),
    }.items():
        damage = _arguments(*words)
        yield Case(f"environment-{name}", "face", damage, unchanged)


def _arguments(*words: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.arguments += words
        if "no:cacheprovider" in words:
            trial.may_appear.add("project/.pytest_cache")

    return damage
