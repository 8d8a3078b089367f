"""The gates that pytest collected, for the report: whether or not any of their tests ran."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..bench.run import key_of
from ..report.found import Present
from .collection import COLLECTED, gate_name
from .gate_run import pipeline_of, spec_or_none
from .pipeline_gates import PipelineGates
from .session import SHARD

if TYPE_CHECKING:
    from ..spec.gates import GateSpec


def present_gates(session: pytest.Session) -> Present:
    """Return the gates that pytest collected."""
    members: dict[tuple[GateSpec, Path], list[pytest.Item]] = {}
    pipelines: set[str] = set()
    for item in session.stash.get(COLLECTED, []):
        cls = getattr(item, "cls", None)
        if isinstance(cls, type) and issubclass(cls, PipelineGates):
            pipelines.add(gate_name(item))
        elif (spec := spec_or_none(item)) is not None:
            members.setdefault((spec, item.path), []).append(item)
    root = session.config.rootpath
    gates = {
        key_of(spec, path, root, min(item.nodeid for item in items)): (
            spec.model.name,
            min(map(gate_name, items)),
        )
        for (spec, path), items in members.items()
    }
    return Present(
        gates,
        whole=not any("::" in arg for arg in session.config.args),
        pipelines=tuple(sorted(pipelines)),
        shard=session.stash.get(SHARD, None),
    )


def model_names(session: pytest.Session) -> list[str]:
    """Return the names of the models of all gates that pytest collected, stages included."""
    names: set[str] = set()
    for item in session.stash.get(COLLECTED, []):
        if (pipeline := pipeline_of(item)) is not None:
            names |= {stage.gate.model.name for stage in pipeline.stages}
        elif (spec := spec_or_none(item)) is not None:
            names.add(spec.model.name)
    return sorted(names)
