"""Options and ini values that are wrong, or that point at what is the user's."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

from tests.corpus.case import Case
from tests.corpus.judge import PASSING, SAME_VERDICTS, Expect
from tests.corpus.judge import refused as _refused
from tests.corpus.trial import Trial

_CACHE, _GOLDEN, _REPORT, _EXPORT = (
    "--kycquant-cache", "--kycquant-golden", "--kycquant-report", "--kycquant-export",
)  # fmt: skip
# Wrong values of the options that are not paths.
_VALUES: dict[str, tuple[str, ...]] = {
    "--kycquant-inconclusive": ("", "pass", "FAIL", "skip", "\x1b[2J", "x" * 100_000),
    "--kycquant-profile": ("", "Smoke", "standard ", "none", "\u202esmoke"),
    "--kycquant-threads": (
        "",
        "0",
        "-1",
        "1.5",
        "two",
        "1e3",
        "\u00b2",
        "9" * 5_000,
    ),
    "--kycquant-search-budget": ("", "0", "-5", "all", "0x10", "9" * 5_000),
}
_INI_VALUES: dict[str, tuple[str, ...]] = {
    "kycquant_strict": ("maybe", "2", "tru"),
    "kycquant_exact": ("si", "-1"),
    "kycquant_inconclusive": ("pass", "True"),
    "kycquant_profile": ("fast", "1"),
    "kycquant_threads": ("none", "0"),
    "kycquant_search_budget": ("0", "many"),
    "kycquant_cache": ("~nobody-of-that-name/x",),
    "kycquant_report": ("models",),
}
# Where no folder of the plugin can be: what makes the place, and its path.
_PLACES: dict[str, Callable[[Trial], str]] = {
    "empty": lambda trial: "",
    "spaces": lambda trial: "  ",
    "unknown-home": lambda trial: "~nobody-of-that-name/x",
    "long": lambda trial: "x" * 5_000,
    "deep": lambda trial: "/".join(["x" * 200] * 25),
    "through-file": lambda trial: "pytest.ini/x",
    "file": lambda trial: "pytest.ini",
    "model": lambda trial: "models/face.onnx",
    "data": lambda trial: "faces.npz",
    "gate": lambda trial: "test_gate.py",
    # Links, since nothing outside of the sandbox may be in danger.
    "null": lambda trial: _made(trial, "nil", lambda path: os.symlink("/dev/null", path)),
    "full": lambda trial: _made(trial, "full", lambda path: os.symlink("/dev/full", path)),
    "fifo": lambda trial: _made(trial, "queue", os.mkfifo),
    "link-to-itself": lambda trial: _made(trial, "loop", lambda path: os.symlink(path, path)),
    "read-only": lambda trial: _read_only(trial),
}
_USERS = ("project", "home", "models", "golden", "papers")


def refused(*about: str) -> Expect:
    """The model is sound; it is the setting that is not."""
    return _refused(*about, sound=True)


def _made(trial: Trial, name: str, make: Callable[[str], object]) -> str:
    make(os.fspath(trial.file(name)))
    return name


def _read_only(trial: Trial) -> str:
    trial.file("locked").mkdir()
    trial.file("locked").chmod(0o555)
    trial.unprivileged = True
    return "locked/x"


def _given(option: str, place: Callable[[Trial], str]) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.arguments.append(f"{option}={place(trial)}")
        trial.report = option != _REPORT

    return damage


def _papers(trial: Trial) -> str:
    """A folder of the user's, which is not empty."""
    folder = trial.file("papers")
    (folder / "deep").mkdir(parents=True)
    for name in ("thesis.txt", "deep/notes.txt", "face.onnx", "face.json", ".hidden"):
        (folder / name).write_text("years of work\n", encoding="utf-8")
    return "papers"


def _users(trial: Trial, name: str) -> str:
    if name == "papers":
        return _papers(trial)
    if name == "home":
        (trial.home / "letters.txt").write_text("years of work\n", encoding="utf-8")
        return os.fspath(trial.home)
    return "." if name == "project" else name


def _cache(name: str, *words: str) -> Callable[[Trial], None]:
    """The cache is a folder of the user's."""

    def damage(trial: Trial) -> None:
        trial.arguments += [f"{_CACHE}={_users(trial, name)}", *words]
        trial.cache = None

    return damage


def _above(trial: Trial) -> None:
    """The cache is the folder that holds the project."""
    trial.arguments += [f"{_CACHE}=..", "--cache-clear"]


def _tagged(trial: Trial) -> None:
    """Another program's cache, by its tag."""
    folder = trial.file("other")
    folder.mkdir(mode=0o700)  # else it would look like a cache that is laid open
    tag = "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n"
    (folder / "CACHEDIR.TAG").write_text(tag, encoding="utf-8")
    (folder / "object.o").write_bytes(b"hours of compiling")
    trial.arguments += [f"{_CACHE}=other", "--cache-clear"]


def _users_in_ours(trial: Trial) -> None:
    """The user keeps a file in our cache and clears it: only our own folders may go."""
    assert trial.cache is not None
    (trial.cache / "my-notes.txt").write_text("keep\n", encoding="utf-8")
    (trial.cache / "mine").mkdir()
    (trial.cache / "mine" / "kept.txt").write_text("keep\n", encoding="utf-8")
    moved = trial.file("shared")
    trial.cache.rename(moved)
    trial.cache = None
    ours = {p.name for p in moved.iterdir()} - {"my-notes.txt", "mine"}
    trial.arguments += [f"{_CACHE}=shared", "--cache-clear"]
    for path in moved.rglob("*"):
        if path.relative_to(moved).parts[0] in ours:
            trial.may_change.add(f"project/{path.relative_to(trial.project)}")
    trial.may_appear.add("project/shared")


def _link(trial: Trial) -> None:
    """The cache is a link to a folder of the user's, and is cleared."""
    _papers(trial)
    trial.file("linked").symlink_to("papers")
    trial.arguments += [f"{_CACHE}=linked", "--cache-clear"]


def _report(
    target: str, prepare: Callable[[Trial], object] = lambda trial: None
) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        prepare(trial)
        trial.report = False
        trial.arguments.append(f"{_REPORT}={target}")

    return damage


def _export(
    target: str, prepare: Callable[[Trial], object] = lambda trial: None
) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        prepare(trial)
        trial.arguments.append(f"{_EXPORT}={target}")

    return damage


def _hard_link(trial: Trial) -> None:
    os.link(trial.file("models/face.onnx"), trial.file("report.json"))


def _linked_report(trial: Trial) -> None:
    trial.file("report.json").symlink_to("golden/face.json")


def _linked_export(trial: Trial) -> None:
    trial.file("out").mkdir()
    (trial.file("out") / "face.onnx").symlink_to("../models/face.onnx")


def _linked_folder(trial: Trial) -> None:
    trial.file("out").symlink_to("models")


def _users_files(trial: Trial) -> None:
    trial.file("out").mkdir()
    (trial.file("out") / "face.onnx").write_bytes(b"the user's own")
    (trial.file("out") / "face.json").write_bytes(b"the user's own")


def _notes(trial: Trial) -> None:
    trial.file("notes.json").write_text('{"mine": true}', encoding="utf-8")


_REPORTS: dict[str, Callable[[Trial], None]] = {
    "golden": _report("golden/face.json"),
    "model": _report("models/face.onnx"),
    "data": _report("faces.npz"),
    "selection": _report("./models/../selection.npz"),
    "calibration": _report("calibration.npz"),
    "gate": _report("test_gate.py"),
    "ini": _report("pytest.ini"),
    "notes": _report("notes.json", _notes),
    "hard-link": _report("report.json", _hard_link),
    "link": _report("report.json", _linked_report),
    "folder": _report("models"),
    "folder-absent": _report("nowhere/report.json"),
}
_EXPORTS: dict[str, Callable[[Trial], None]] = {
    "models": _export("models"),
    "golden": _export("golden"),
    "models-dots": _export("golden/../models"),
    "linked-folder": _export("out", _linked_folder),
    "linked-file": _export("out", _linked_export),
    "users-files": _export("out", _users_files),
    "papers": _export("papers", _papers),
}


def _ini(name: str, value: str) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file("pytest.ini").write_text(f"[pytest]\n{name} = {value}\n", encoding="utf-8")
        trial.report = name != "kycquant_report"

    return damage


def _together(*words: str) -> Callable[[Trial], None]:
    return lambda trial: trial.arguments.extend(words)


def cases(rng: random.Random) -> Iterator[Case]:
    """Wrong values, and the user's files as cache, golden, report or export."""
    for option, values in _VALUES.items():
        for index, value in enumerate(values):
            damage = _together(f"{option}={value}")
            yield Case(f"setting{option[10:]}-{index}", "face", damage, refused(option))
    for name, values in _INI_VALUES.items():
        for value in values:
            yield Case(
                f"setting-ini-{name}={value}", "face", _ini(name, value), refused(name, value)
            )
    for option in (_CACHE, _GOLDEN, _REPORT, _EXPORT):
        for name, place in _PLACES.items():
            about = (option, "face.json") if option == _GOLDEN else (option,)
            # pytest itself refuses a path that is too long, or nobody can look at it.
            yield Case(
                f"setting{option[10:]}-at-{name}", "face", _given(option, place), refused(*about)
            )
    for name in _USERS:
        yield Case(f"setting-cache-is-{name}", "face", _cache(name), refused(_CACHE))
        yield Case(
            f"setting-cleared-is-{name}", "face", _cache(name, "--cache-clear"), refused(_CACHE)
        )
    yield Case("setting-cleared-is-above", "face", _above, refused(_CACHE))
    yield Case("setting-cleared-is-other-cache", "face", _tagged, refused(_CACHE))
    yield Case("setting-cleared-is-link", "face", _link, refused(_CACHE))
    yield Case(
        "setting-cleared-with-users-files", "face", _users_in_ours, SAME_VERDICTS | refused(_CACHE)
    )
    for name, damage in _REPORTS.items():
        expect = refused(_REPORT)
        if name == "folder-absent":
            expect = expect | PASSING
            damage = _appearing(damage, "project/nowhere")
        yield Case(f"setting-report-over-{name}", "face", damage, expect)
    for name, damage in _EXPORTS.items():
        yield Case(f"setting-export-over-{name}", "face", damage, refused(_EXPORT))
    yield Case(
        "setting-export-of-smoke",
        "face",
        _together(f"{_EXPORT}=out", "--kycquant-profile=smoke"),
        refused(_EXPORT),
    )


def _appearing(damage: Callable[[Trial], None], what: str) -> Callable[[Trial], None]:
    def damaged(trial: Trial) -> None:
        damage(trial)
        trial.may_appear.add(what)

    return damaged
