"""A sandbox for one bad input: a small project to damage, a home and a folder for temporary files.

Whatever lies there before the run, except what the plugin itself made, belongs to the user.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Folders that pytest and the plugin make, by name, wherever they are in the sandbox.
MADE = {".pytest_cache", "__pycache__"}


@dataclass
class Trial:
    """One run to come: the sandbox, and how pytest is started in it.

    Args:
        root: the sandbox with the folders ``project``, ``home`` and ``tmp``.
        rng: the source of everything that is drawn by chance.
        arguments: what follows ``python -m pytest``.
        environment: variables to set, or to remove if None.
        cache: the cache of the plugin, whose files are not the user's; None if there is none.
        report: whether to ask for the JSON report, from which verdicts are read.
        umask: of the run.
        file_limit: largest file that the run may write, in blocks of 512 bytes.
        unprivileged: whether the run must not have the rights of root.
        during: called again and again while the run lasts.
        clears_nothing: whether nothing may be named to ship, or exported, even if the run passes.
        timeout: seconds after which the run counts as hanging.
        may_change: the user's files that the run was told to write, below the root.
        may_appear: files and folders that the run was told to make, below the root.
    """

    root: Path
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str | None] = field(default_factory=dict)
    cache: Path | None = None
    report: bool = True
    umask: int = 0o022
    file_limit: int | None = None
    unprivileged: bool = False
    during: Callable[[], object] | None = None
    clears_nothing: bool = False
    timeout: float = 120.0
    may_change: set[str] = field(default_factory=set)
    may_appear: set[str] = field(default_factory=set)

    @property
    def project(self) -> Path:
        """The rootdir."""
        return self.root / "project"

    @property
    def home(self) -> Path:
        """The home of the user."""
        return self.root / "home"

    @property
    def report_file(self) -> Path:
        """The JSON report."""
        return self.root / "report.json"

    def file(self, name: str) -> Path:
        """A file of the project."""
        return self.project / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file of the project."""
        path = self.file(name)
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{name} does not contain {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def update_golden(self) -> None:
        """Have the golden recorded anew, so that the run is not refused for a stale one."""
        self.arguments.append("--kycquant-update-golden")
        self.may_change |= {f"project/golden/{path.name}" for path in self.file("golden").iterdir()}
        self.may_appear.add("project/golden")


@dataclass(frozen=True)
class Seen:
    """What is at a path."""

    kind: str
    content: str
    mode: int


def survey(trial: Trial) -> dict[str, Seen]:
    """Everything in the sandbox that is the user's, by path below its root."""
    return {
        os.path.relpath(path, os.fsencode(trial.root)).decode("utf-8", "backslashreplace"): _seen(
            path
        )
        for path in _paths(trial)
    }


def _paths(trial: Trial) -> Iterator[bytes]:
    """Names may be anything, therefore bytes."""
    own = None if trial.cache is None else os.fsencode(trial.cache)
    made = {os.fsencode(name) for name in MADE}
    workers = b"pytest-of-"  # folder for temporary files that pytest-xdist asks pytest for
    for folder, folders, files in os.walk(os.fsencode(trial.root)):
        folders[:] = [
            name
            for name in folders
            if name not in made
            and not name.startswith(workers)
            and os.path.join(folder, name) != own
        ]
        yield from (os.path.join(folder, name) for name in (*folders, *files))


def _seen(path: bytes) -> Seen:
    facts = os.lstat(path)
    if stat.S_ISLNK(facts.st_mode):
        return Seen("link", os.fsdecode(os.readlink(path)), 0)
    if stat.S_ISDIR(facts.st_mode):
        return Seen("folder", "", stat.S_IMODE(facts.st_mode))
    if stat.S_ISREG(facts.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Seen("file", digest, stat.S_IMODE(facts.st_mode))
    return Seen("other", "", stat.S_IMODE(facts.st_mode))
