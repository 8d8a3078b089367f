"""The workspace of a run: its settings, its folders, its cache."""

from __future__ import annotations

import os
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import Context
from ..context.cache import Cache
from ..errors import DataError
from ..plain import plain
from ..runtimes.environment import environment
from ..spec.coerce import did_you_mean
from .extensions import extensions

if TYPE_CHECKING:
    from ..context.progress import Progress
    from ..spec.settings import Settings
    from ..spec.task import StrPath


class Workspace:
    """What all judges of one process share.

    Args:
        settings: the settings of the run.
        root: the folder in which relative paths are looked up first.
        run_id: name of the run, the same in all its processes.
        progress: the object that shows progress.
    """

    def __init__(self, settings: Settings, root: Path, run_id: str, progress: Progress) -> None:
        self.settings = settings
        self.root = root
        self._run_id = run_id
        self._progress = progress

    @cached_property
    def cache(self) -> Cache:
        """The artefacts of this and of earlier runs."""
        facts = {**plain(environment()), **extensions()}
        return Cache(self.settings.cache, facts, self._run_id, self._progress.say)

    @cached_property
    def context(self) -> Context:
        """What everything that makes artefacts is given. It probes the machine with onnxruntime."""
        return Context(
            store=self.cache,
            environment=environment(),
            threads=self.settings.threads,
            exact=self.settings.exact,
            progress=self._progress,
        )

    def resolve(self, path: StrPath, attribute: str, gate_file: Path) -> Path:
        """Find a path of a gate file below the root, or else in the folder of the gate file.

        Args:
            path: the path, as the gate file gives it.
            attribute: the attribute that gives the path, for the message.
            gate_file: the gate file.

        Raises:
            DataError: the path does not exist in either place.
        """
        tried = [self.root / path, gate_file.parent / path]
        for candidate in tried:
            if candidate.exists():
                # Do not resolve links: external data lies beside the link.
                return Path(os.path.abspath(candidate))  # noqa: PTH100
        places = list(dict.fromkeys(map(str, tried)))  # one, for an absolute path
        known = [name for place in tried for name in _beside(place)]
        missing = f"{path} is neither at {' nor at '.join(places)}"
        raise DataError(
            attribute,
            missing if len(places) > 1 else f"{places[0]} does not exist",
            did_you_mean(Path(path).name, known)
            or "give a path relative to pytest's rootdir or to the gate file, or an absolute one",
        )


def _beside(place: Path) -> list[str]:
    """Names in the folder of a file that does not exist; the first thousand."""
    try:
        return [entry.name for entry in islice(place.parent.iterdir(), 1000)]
    except OSError:
        return []
