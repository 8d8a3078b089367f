"""Limits of the gates, each with its direction and its unit.

Frozen, pure descriptions like those of `spec.py`: a limit that can never be met, such as 5 where
5 % is meant, is refused on construction with `SpecError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from . import coerce
from .errors import SpecError


def limit(default: float | None, direction: Literal["below", "at least"], unit: str) -> Any:
    """Declare a limit with its direction, so that no gate can compare the wrong way round.

    Args:
        default: None for a limit that is off until somebody gives it.
        direction: where the figure must lie.
        unit: "rate" (a share that must stay low), "share" (one that must be high), "cosine",
            "ratio", "ms" or "MB".
    """
    return field(default=default, metadata={"direction": direction, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that every task has: latency and size.

    Args:
        latency_ratio: upper bound of the paired latency ratio to FP32.
        latency_ms: upper bound of the 95th percentile latency of one image in milliseconds, if
            given. It is absolute: use it on a named machine only.
        size_ratio: file size relative to FP32.
        size_mb: file size in megabytes (10^6 bytes), if given.
    """

    latency_ratio: float = limit(1.05, "below", "ratio")
    latency_ms: float | None = limit(None, "below", "ms")
    size_ratio: float = limit(0.75, "below", "ratio")
    size_mb: float | None = limit(None, "below", "MB")

    def __post_init__(self) -> None:
        for name, declared in self.__dataclass_fields__.items():
            value = getattr(self, name)
            where = f"{type(self).__name__}.{name}"
            if value is None:
                if declared.default is None:
                    continue
                raise SpecError(where, "cannot be switched off", "give a generous limit instead")
            plain = coerce.number(where, value, "give a number")
            object.__setattr__(self, name, plain)
            unit = declared.metadata["unit"]
            if unit == "rate" and not 0 < plain < 1:
                raise SpecError(
                    where, f"{value!r} is no rate", "give a share between 0 and 1: 0.1 % is 0.001"
                )
            if unit == "share" and not 0 < plain < 1:
                raise SpecError(
                    where, f"{value!r} is no share", "give one between 0 and 1: 95 % is 0.95"
                )
            if unit == "cosine" and not -1 <= plain < 1:
                raise SpecError(
                    where, f"{value!r} can never be met", "give a cosine below 1, such as 0.99"
                )
            if unit in ("ratio", "ms", "MB") and plain <= 0:
                raise SpecError(where, f"{value!r} can never be met", "give a positive number")

    @classmethod
    def direction(cls, name: str) -> str:
        """Whether the limit `name` must stay "below" or "at least"."""
        return str(cls.__dataclass_fields__[name].metadata["direction"])


@dataclass(frozen=True, kw_only=True)
class FaceLimits(Limits):
    """Limits of the face gates. Rates, ratios and sizes must stay below, cosines reach at least.

    Args:
        far: upper confidence bound of the false accept rate (NIST SP 800-63B rev 3: 0.1 %).
        frr: upper confidence bound of the false reject rate.
        far_degradation: upper bound of the paired increase of FAR against golden FP32.
        frr_degradation: the same for FRR.
        mean_cosine: lower bound of the mean cosine between embeddings and their FP32 embeddings.
        p1_cosine: lower bound of the first percentile of that cosine.
        fp16_min_cosine: smallest such cosine of an "fp16" variant, which has no excuse to drift.
        latency_ratio: see `Limits`, as `latency_ms`, `size_ratio` and `size_mb`.
    """

    far: float = limit(0.001, "below", "rate")
    frr: float = limit(0.05, "below", "rate")
    far_degradation: float = limit(0.0005, "below", "rate")
    frr_degradation: float = limit(0.01, "below", "rate")
    mean_cosine: float = limit(0.99, "at least", "cosine")
    p1_cosine: float = limit(0.97, "at least", "cosine")
    fp16_min_cosine: float = limit(0.999, "at least", "cosine")
