"""What the tests of a run reported, merged over all workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..spec import Verdict
from ..verdicts import VariantRecord

SCHEMA = 1


@dataclass
class Collected:
    """Records by name; a record that arrives twice is the same record.

    Args:
        environment: fingerprint of the machine that ran the gates.
        variants: by model and label.
        decisions: by model and requested precision.
        cache: artefacts reused and built, by worker.
    """

    environment: Mapping[str, Any] = field(default_factory=dict)
    variants: dict[tuple[str, str], VariantRecord] = field(default_factory=dict)
    decisions: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    cache: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, payload: str) -> None:
        """Merge what one test sent along with its report."""
        values = json.loads(payload)
        self.environment = values["environment"]
        reused, built = values["cache"]
        self.cache[values["worker"]] = (reused, built)
        for entry in values["variants"]:
            self.variants[entry["model"], entry["variant"]] = VariantRecord.from_dict(entry)
        decision = values["decision"]
        self.decisions[decision["model"], decision["requested"]] = decision

    @property
    def built(self) -> int:
        """Artefacts built in this run; 0 if everything came from the cache."""
        return sum(built for _, built in self.cache.values())

    @property
    def models(self) -> list[str]:
        """Names of the models, sorted."""
        return sorted({model for model, _ in self.variants})

    def rows(self, model: str) -> list[VariantRecord]:
        """Variants of a model: FP32 first as the yardstick, then worst first, then largest."""
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
        found = [record for (name, _), record in self.variants.items() if name == model]
        return sorted(
            found,
            key=lambda r: (r.variant != "fp32", order.index(r.verdict), -r.size, r.variant),
        )

    def to_ship(self, model: str) -> VariantRecord:
        """The smallest variant that passes; FP32 if there is none."""
        passing = [r for r in self.rows(model) if r.variant != "fp32" and r.verdict is Verdict.PASS]
        return min(passing, key=lambda r: r.size, default=self.variants[model, "fp32"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            "environment": dict(self.environment),
            "models": {
                model: {
                    "ship": self.to_ship(model).variant,
                    "variants": [record.as_dict() for record in self.rows(model)],
                    "decisions": [
                        dict(decision)
                        for (name, _), decision in sorted(self.decisions.items())
                        if name == model
                    ],
                }
                for model in self.models
            },
        }


def write_json(collected: Collected, path: Path) -> None:
    """Write every figure of the run, whole or not at all."""
    text = json.dumps(collected.as_dict(), indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
