"""Is a run a full one, so that what no gate of it uses is used by none: goldens and waivers?"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..errors import SettingsError
from ..files import from_here
from ..report.spans import Line, Span, line

if TYPE_CHECKING:
    from ..report.records import Collected
    from ..spec.settings import Settings

_HIDING = ("lf", "ignore", "ignore_glob")  # options of pytest that keep whole files from collection


def is_full(config: pytest.Config) -> bool:
    """Whether a run collects whatever pytest collects if nothing is named.

    Tests that are deselected count as collected. Ask the controller of pytest-xdist: its workers
    are given the names of files.

    Args:
        config: the pytest configuration of this run.
    """
    if any(config.getoption(option, None) for option in _HIDING):
        return False
    here, root = config.invocation_params.dir, config.rootpath
    source, of = config.args_source, pytest.Config.ArgsSource
    if source is of.TESTPATHS:
        return True
    return (here == root) if source is of.INVOCATION_DIR else _names_root(config.args, here, root)


def _names_root(args: Collection[str], here: Path, root: Path) -> bool:
    return any("::" not in arg and (here / arg).resolve() == root.resolve() for arg in args)


def orphan_goldens(folder: Path, models: Collection[str], here: Path) -> Iterator[str]:
    """Describe in one line the goldens that no gate uses; they are never deleted.

    Args:
        folder: the folder of goldens.
        models: the names of the models of all gates.
        here: the folder in which commands are typed.
    """
    from ..bench.golden import orphans

    if found := orphans(folder, models):
        names = shlex.join(from_here(path, here) for path in found)
        yield (
            f"golden: no gate uses {names}; delete what you no longer need, or give a model its "
            "name back: KycModel(name=...)"
        )


def check_waivers(
    settings: Settings, collected: Collected, elsewhere: Collection[str], *, full: bool
) -> tuple[list[str], list[str]]:
    """Look for waivers that a run shows to be wrong or unnecessary.

    Args:
        settings: the settings of the run.
        collected: everything that its tests reported.
        elsewhere: node ids of gates that other shards judge; these look at their waivers.
        full: whether all gates were collected. One that no gate uses is wrong only then.

    Returns:
        lines about those that nothing needs, and lines about those that are wrong.
    """
    from ..spec.waivers import load_waivers, waivers_of

    if settings.strict or settings.waivers is None:
        return [], []
    try:
        waivers = load_waivers(settings.waivers)
    except SettingsError:
        return [], []  # each gate has reported it
    notes, errors = [], []
    judged = full and settings.profile != "smoke" and collected.is_whole
    for waiver in waivers:
        used = collected.waived(waiver.source)
        gates = sorted({name for name, _ in used})
        what = f"{waiver.source}: {waiver.check} of {waiver.variant} in {waiver.gate}"
        if len(gates) > 1:
            errors.append(f"{what} names several gates; write one of {', '.join(gates)}")
        elif used and not any(needed for _, needed in used):
            notes.append(f"{what} passes, so it needs no waiver ({waiver.ticket}); remove it")
        elif judged and not used and not waivers_of((waiver,), elsewhere):
            errors.append(
                f"{what} waives nothing: no gate, variant and check of these names were judged; "
                "mend the names, or remove the waiver"
            )
    return notes, errors


def recorded(path: Path, here: Path) -> Line:
    """Say that a golden was recorded, and that it has to be committed, by a command to be copied.

    Args:
        path: the golden.
        here: the folder in which commands are typed.
    """
    shown = from_here(path, here)
    command = Span(f"git add {shlex.quote(shown)}", "strong", whole=True)
    return line(f"golden: recorded {shown}; commit it: ", command)
