"""Profiles: how strict a run is, and how much it claims.

"standard" judges what a gate file asks for. "nist63a4" does the same with limits no laxer than
those that the revision 4 draft of NIST SP 800-63 (2023) sets for comparing faces: a false match
rate of 1e-4 and, for identity proofing, a false non-match rate of 1e-2. "smoke" looks for damage
on a few images and claims nothing about error rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

from ..errors import SpecError
from .limits import FaceLimits, Limits

Profile = Literal["smoke", "standard", "nist63a4"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
NOTHING_CLEARED = "smoke: no claim on error rates, nothing is cleared to ship"

# What the defaults of `FaceLimits` are divided by, so that budgets of degradation stay the same
# share of their limit: 1e-3 becomes 1e-4, 5e-2 becomes 1e-2.
_NIST63A4 = {"far": 10, "flips": 10, "frr": 5}


def as_profile(where: str, value: Any) -> Profile:
    """Check the name of a profile.

    Raises:
        SpecError: there is none of that name.
    """
    for profile in PROFILES:
        if value == profile:
            return profile
    raise SpecError(where, f"profile {value!r} is unknown", f"choose from {', '.join(PROFILES)}")


def limits_under(profile: Profile, limits: Limits) -> Limits:
    """The stricter of what a gate asks for and what its profile does.

    Args:
        profile: of the gate.
        limits: that the gate asks for.
    """
    if profile != "nist63a4" or not isinstance(limits, FaceLimits):
        return limits
    most = dict(_nist63a4())
    return replace(limits, **{name: min(getattr(limits, name), most[name]) for name in most})


def describe(profile: Profile, limits: type[Limits]) -> str:
    """What a profile means for a kind of limits, in a line of the report."""
    if profile == "smoke":
        return "smoke (NaN, drift and size on a few images; no claim on error rates)"
    if profile == "standard":
        return "standard"
    if not issubclass(limits, FaceLimits):
        return "nist63a4 (it sets limits for comparing faces only: those of the gate hold here)"
    most = dict(_nist63a4())
    return (
        f"nist63a4 (FAR below {100 * most['far']:g} % and FRR below {100 * most['frr']:g} %, or "
        "what the gate asks for where that is stricter)"
    )


def _nist63a4() -> Iterator[tuple[str, float]]:
    """Largest value of each limit on rates of `FaceLimits`."""
    for name, declared in FaceLimits.__dataclass_fields__.items():
        for kind, divisor in _NIST63A4.items():
            if kind in name.split("_"):
                yield name, float(declared.default) / divisor  # type: ignore[arg-type]
