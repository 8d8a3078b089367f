"""What the tests of a run reported, merged over all workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import write_whole
from ..pipeline.record import PipelineRecord
from ..results import VariantRecord
from ..runtimes.ort import EXACT
from ..spec.profiles import Profile
from ..verdicts import Verdict

SCHEMA = 1


@dataclass
class Gate:
    """What was found about one model under one set of precisions and limits.

    Args:
        model: name of the model.
        name: node id of the class or function that asked, the first in order if several did.
        variants: records by label.
        decisions: what ships, by requested precision.
        paths: where the files of each variant lie, by label.
        golden: the FP32 baseline.
        rejected: labels of the variants on which a test failed, be it one of the user's own.
        profile: under which it was judged.
        profile_note: what that means for it, in a line.
    """

    model: str
    name: str
    variants: dict[str, VariantRecord] = field(default_factory=dict)
    decisions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    paths: dict[str, list[str]] = field(default_factory=dict)
    golden: Mapping[str, Any] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    profile: Profile = "standard"
    profile_note: str = ""

    def rows(self) -> list[VariantRecord]:
        """FP32 first as the yardstick, then worst first, then largest first."""
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
        return sorted(
            self.variants.values(),
            key=lambda r: (r.variant != "fp32", order.index(r.verdict), -r.size, r.variant),
        )

    def to_ship(self) -> VariantRecord | None:
        """The smallest and fastest variant that passes everything; None if not even FP32 does.

        None under the smoke profile, too, which clears nothing.

        That is the one with the least product of size and latency, each relative to FP32; where
        latency is not measured, the smallest. FP32 comes last and FP32 after exact rewrites
        before it: neither saves any space.
        """
        if self.profile == "smoke":
            return None
        passing = [
            record
            for record in self.rows()
            if record.verdict is Verdict.PASS and record.variant not in self.rejected
        ]
        return min(
            passing,
            key=lambda r: (
                r.variant == "fp32",
                r.is_float,
                r.size_ratio * (r.latency_ratio or 1.0),
            ),
            default=None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ship = self.to_ship()
        return {
            "model": self.model,
            "gate": self.name,
            "profile": self.profile,
            "ship": ship.variant if ship else None,
            "golden": dict(self.golden),
            "rejected": sorted(self.rejected),
            "variants": [record.as_dict() for record in self.rows()],
            "decisions": [dict(decision) for _, decision in sorted(self.decisions.items())],
        }


@dataclass
class Collected:
    """Everything that tests sent along; what arrives twice is the same.

    Args:
        environment: fingerprint of the machine that ran the gates.
        by_key: gates by a digest of what they ask for.
        exact: whether INT8 ran without saturation.
        cache: artefacts reused and built, by worker.
        pipelines: records of whole pipelines, by the node id of their gates.
    """

    environment: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    by_key: dict[str, Gate] = field(default_factory=dict)
    cache: dict[str, tuple[int, int]] = field(default_factory=dict)
    pipelines: dict[str, PipelineRecord] = field(default_factory=dict)

    def add(self, payload: str, *, failed: bool = False) -> None:
        """Merge what one test sent along with its report, and whether the test failed."""
        values = json.loads(payload)
        self.environment, self.exact = values["environment"], values["exact"]
        reused, built = values["cache"]
        self.cache[values["worker"]] = (reused, built)
        if "pipeline" in values:
            record = PipelineRecord.from_dict(values["pipeline"])
            self.pipelines[record.gate] = record
            return
        decision = values["decision"]
        gate = self.by_key.setdefault(values["key"], Gate(decision["model"], values["gate"]))
        gate.name = min(gate.name, values["gate"])  # whatever worker was first
        for entry in values["variants"]:
            gate.variants[entry["variant"]] = VariantRecord.from_dict(entry)
        gate.decisions[decision["requested"]] = decision
        gate.paths |= values["paths"]
        gate.golden = values["golden"]
        gate.profile, gate.profile_note = values["profile"], values["profile_note"]
        if failed:
            gate.rejected.add(values["tested"])

    @property
    def gates(self) -> list[Gate]:
        """All gates, by model and name."""
        return sorted(self.by_key.values(), key=lambda gate: (gate.model, gate.name))

    @property
    def built(self) -> int:
        """Artefacts built in this run; 0 if everything came from the cache."""
        return sum(built for _, built in self.cache.values())

    @property
    def reused(self) -> int:
        """Artefacts taken from the cache; workers that take the same one count it each."""
        return sum(reused for reused, _ in self.cache.values())

    @property
    def session_config(self) -> dict[str, str]:
        """Entries of onnxruntime's session configuration that verdicts rest on."""
        return dict([EXACT]) if self.exact else {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            "environment": dict(self.environment),
            "session_config": self.session_config,
            "gates": [gate.as_dict() for gate in self.gates],
            "pipelines": [record.as_dict() for _, record in sorted(self.pipelines.items())],
        }


def write_json(collected: Collected, path: Path) -> None:
    """Write every figure of the run, whole or not at all."""
    text = json.dumps(collected.as_dict(), indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
