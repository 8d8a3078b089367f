"""The commit that a run judges, as git tells it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .run_entries import Commit

_SECONDS = 10.0  # after which a report does without


def commit_of(folder: Path) -> Commit | None:
    """The commit of a folder; None without git or outside a checkout.

    Args:
        folder: a folder of the checkout.
    """
    # Whatever the user's configuration is, nothing is written and nobody is asked.
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
        return done.stdout.decode("utf-8", "replace").strip()

    try:
        sha = git("rev-parse", "--verify", "HEAD")
        return Commit(sha, bool(git("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None
