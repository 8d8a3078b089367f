"""The figures that were aimed at, each reached or missed on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .gating import Judged, Variant

_COSINE = "mean cosine to FP32"


@dataclass(frozen=True)
class Goal:
    """One goal.

    Args:
        model: name of the model.
        most: largest latency relative to onnxruntime FP32 of the fastest variant that passes.
        variant: label of a variant that must have a cosine, if that is the goal.
        cosine: smallest mean cosine of that variant to FP32.
    """

    model: str
    most: float | None = None
    variant: str = ""
    cosine: float | None = None

    def line(self, judged: Judged) -> str:
        """Whether it is reached, with the figure."""
        if self.most is not None:
            return self._latency(judged, self.most)
        assert self.cosine is not None
        found = _checked(judged.variants.get(self.variant, {}), _COSINE)
        wanted = f"- {self.model}, {self.variant}, {_COSINE}, at least {self.cosine:g}"
        if found is None:
            return f"{wanted}: not measured"
        return f"{wanted}: {_word(found >= self.cosine)}, {found:.4f}"

    def _latency(self, judged: Judged, most: float) -> str:
        wanted = f"- {self.model}, fastest variant that passes, at most {most:g}"
        passed = {
            label: each["gates"]["latency"]["checks"][0]["value"]
            for label, each in judged.variants.items()
            if label != "fp32" and each["verdict"] == "PASS" and "latency" in each["gates"]
        }
        if not passed:
            return f"{wanted}: missed, none passes"
        label = min(passed, key=lambda each: passed[each])
        return f"{wanted}: {_word(passed[label] <= most)}, {passed[label]:.2f} ({label})"


GOALS = (
    Goal("mobilefacenet-real", most=0.24),
    Goal("minifasnetv2-real", most=0.40),
    Goal("yolov8", most=0.45),
    Goal("mobilefacenet-real", variant="int8-litert", cosine=0.992),
)


def lines(found: Mapping[str, Judged]) -> list[str]:
    """A line for each goal of a model that was judged."""
    return [goal.line(found[goal.model]) for goal in GOALS if goal.model in found]


def _word(reached: bool) -> str:
    return "reached" if reached else "missed"


def _checked(variant: Variant, name: str) -> float | None:
    for gate in variant.get("gates", {}).values():
        for check in gate["checks"]:
            if check["name"] == name:
                value: float = check["value"]
                return value
    return None
