"""The part of a run that ``--kycquant-shard`` chooses: whole gates, the same on every machine.

What belongs to a shard follows from what the gate files say, so it depends neither on the order of
collection nor on other options that deselect tests. A pipeline goes with the gates of its stages,
which it judges anyway.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..context.cache import digest_of
from ..plain import from_plain, plain
from ..report.run_entries import Shard
from .collection import COLLECTED, gate_name
from .gate_run import pipeline_of, spec_or_none
from .gated import is_gated
from .session import SHARD, KycquantSession

if TYPE_CHECKING:
    from ..spec.gates import GateSpec

_CHOSEN: pytest.StashKey[Chosen] = pytest.StashKey()
_DECISIVE = ("keyword", "markexpr", "deselect")  # options of pytest that choose tests


@dataclass(frozen=True)
class Chosen:
    """What a shard has of a run.

    Args:
        shard: the shard, for the report.
        elsewhere: node ids of the gates of other shards, and of the stages of their pipelines.
        here: number of its gates.
        gates: number of gates of all shards.
        others: number of tests that belong to no gate; they run in the first shard.
        dropped: whether other shards have tests of this run.
    """

    shard: Shard
    elsewhere: tuple[str, ...]
    here: int
    gates: int
    others: int
    dropped: bool

    @property
    def line(self) -> str:
        """What the shard has, in one line."""
        shard = self.shard
        where = "run here, in" if shard.index == 1 else "run in"
        others = f"; {self.others:,} tests of no gate {where} shard 1" if self.others else ""
        return f"shard {shard.index} of {shard.of}: {self.here} of {self.gates} gates{others}"

    def dump(self) -> str:
        """Serialize as text, which pytest-xdist can transfer."""
        return json.dumps(plain(self))

    @classmethod
    def load(cls, text: str) -> Chosen:
        """Read what `dump` wrote."""
        return from_plain(cls, json.loads(text))


@dataclass
class _Unit:
    """Gates that stay together.

    Args:
        names: node ids of their classes and functions.
        gates: what identifies each of them; two functions may be one gate.
        stages: node ids of the stages of its pipelines, whether or not they were collected.
        work: what is judged, with what it costs: FP32 and each precision count alike.
    """

    names: set[str] = field(default_factory=set)
    gates: set[object] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)
    work: dict[object, int] = field(default_factory=dict)


def choose(own: KycquantSession, session: pytest.Session, items: list[pytest.Item]) -> None:
    """Deselect what belongs to other shards.

    Args:
        own: the plugin's session, which knows the shard.
        session: pytest's session, which knows all gates that were collected.
        items: the tests that pytest would run; changed in place.
    """
    assert own.shard is not None
    index, of = own.shard
    gated: list[pytest.Item] = session.stash.get(COLLECTED, [])
    units = _units(gated, session.config.rootpath)
    shares = distribute([(sum(one.work.values()), min(one.names)) for one in units], of)
    here = [unit for unit, share in zip(units, shares, strict=True) if share == index]
    mine = {name for unit in here for name in unit.names}
    known = {name for unit in here for name in (*unit.names, *unit.stages)}
    names = {name for unit in units for name in (*unit.names, *unit.stages)}
    others = [item for item in items if not is_gated(item)]
    kept = [item for item in items if (gate_name(item) in mine if is_gated(item) else index == 1)]
    chosen = Chosen(
        shard=Shard(index, of, tuple(sorted(mine)), _run(own, session)),
        elsewhere=tuple(sorted(names - known)),
        here=sum(len(unit.gates) for unit in here),
        gates=sum(len(unit.gates) for unit in units),
        others=len(others),
        dropped=len(here) < len(units) or (bool(others) and index != 1),
    )
    session.stash[SHARD], session.stash[_CHOSEN] = chosen.shard, chosen
    if dropped := [item for item in items if item not in set(kept)]:
        session.config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def chosen_in(session: pytest.Session) -> Chosen | None:
    """What `choose` chose in this process; None if it did not."""
    return session.stash.get(_CHOSEN, None)


def distribute(costs: Sequence[tuple[int, str]], of: int) -> list[int]:
    """The shard of each unit of work, so that all shards have about the same to do.

    The most expensive unit is given away first, always to the shard that has least.

    Args:
        costs: what each unit costs, with a name that no other has.
        of: number of shards.

    Returns:
        numbers from 1.
    """
    load = [0] * of
    found = [0] * len(costs)
    for place in sorted(range(len(costs)), key=lambda one: (-costs[one][0], costs[one][1])):
        shard = load.index(min(load))
        load[shard] += costs[place][0]
        found[place] = shard + 1
    return found


def _units(items: Sequence[pytest.Item], root: Path) -> list[_Unit]:
    """The gates that were collected; those stay together that judge the same."""
    units: list[_Unit] = []
    for name, item in {gate_name(item): item for item in items}.items():
        unit = _Unit({name}, {name})
        if (pipeline := pipeline_of(item)) is not None:
            unit.work[name] = 1
            for stage in pipeline.stages:
                unit.work[stage.gate, stage.gate_file] = _cost(stage.gate)
                unit.stages.add(stage.node(root))
        elif (spec := spec_or_none(item)) is not None:
            unit.work[spec, item.path] = _cost(spec)
            unit.gates = {(spec, item.path)}
        else:
            unit.work[name] = 1  # its tests report what is wrong
        for known in [one for one in units if one.work.keys() & unit.work.keys()]:
            units.remove(known)
            unit.names |= known.names
            unit.gates |= known.gates
            unit.stages |= known.stages
            unit.work |= known.work
        units.append(unit)
    return units


def _cost(spec: GateSpec) -> int:
    return 1 + len(spec.precisions)


def _run(own: KycquantSession, session: pytest.Session) -> str:
    """Digest of what all shards of a run must have in common."""
    settings, config = own.settings, session.config
    waivers = settings.waivers
    decisive: Mapping[str, Any] = {
        "tests": sorted(item.nodeid for item in session.stash.get(COLLECTED, [])),
        "pytest": [str(config.getoption(name, None)) for name in _DECISIVE],
        "waivers": hashlib.sha256(waivers.read_bytes()).hexdigest() if waivers else "",
        **{
            name: getattr(settings, name)
            for name in ("profile", "strict", "inconclusive", "search_budget", "exact", "ship_by")
        },
    }
    return digest_of(decisive)
