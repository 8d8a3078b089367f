"""Profiles: how strict a run is, and how much it claims.

"standard" applies the limits of the gate file. "nist63a4" does the same, but with limits at least
as strict as those of NIST SP 800-63A-4 (August 2025), section 3.11, for identity proofing: for
comparing faces "False match rate: 1:10,000 or better" and "False non-match rate: 1:100 or better",
and for a whole pipeline an "impostor attack presentation accept rate (IAPAR) performance metric of
<0.07". "smoke" looks for damage on a few images and makes no claim about error rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args

from . import coerce
from .limits import CheckedLimits, FaceLimits, Limits, PipelineLimits

Profile = Literal["smoke", "standard", "nist63a4"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
_LOOSER = "looser than the defaults: "
NOTHING_CLEARED = "smoke: no claim about error rates, nothing is cleared to ship"

# Divisors of the defaults of `FaceLimits`: 1e-3 becomes 1e-4, and 5e-2 becomes 1e-2. Budgets of
# degradation are divided, too, and so remain the same share of their limit.
_NIST63A4: dict[type[CheckedLimits], dict[str, int]] = {
    FaceLimits: {"far": 10, "flips": 10, "frr": 5},
    # The flips of a pipeline are those of images, which say nothing about a rate of 1e-4.
    PipelineLimits: {"far": 10, "frr": 5, "iapar": 1},
}
L = TypeVar("L", bound=CheckedLimits)


def as_profile(where: str, value: Any) -> Profile:
    """Check the name of a profile.

    Raises:
        SpecError: there is no profile of that name.
    """
    profile: Profile = coerce.choice(where, value, PROFILES)
    return profile


def limits_under(profile: Profile, limits: L) -> L:
    """Return the stricter of a gate's own limits and those of its profile.

    Args:
        profile: the profile of the gate.
        limits: the limits that the gate asks for.
    """
    kind = _judged(type(limits))
    if profile != "nist63a4" or kind is None:
        return limits
    stricter = {
        name: limits[name].direction.stricter(getattr(limits, name), value)
        for name, value in _nist63a4(kind)
    }
    return replace(limits, **stricter)


def describe(profile: Profile, limits: Limits) -> str:
    """Say what a profile means for these limits, and which of them are looser than the defaults.

    Args:
        profile: the profile of the gate.
        limits: the limits that it is judged by.
    """
    found = ", ".join(looser(limits))
    return _meaning(profile, type(limits)) + (f"; {_LOOSER}{found}" if found else "")


def looser_in(described: str) -> str:
    """The limits that are looser than the defaults, of what `describe` said; "" for none.

    Args:
        described: the text, as reports and evidence hold it.
    """
    return described.partition(_LOOSER)[2]


def looser(limits: CheckedLimits) -> Iterator[str]:
    """Describe each limit that is easier to meet than its default, with the default."""
    for name, declared in limits.__dataclass_fields__.items():
        default, given = declared.default, limits.given(name)
        if given is None or not isinstance(default, float) or given.value == default:
            continue
        if given.direction.stricter(given.value, default) == default:
            yield f"{name} {given.unit.show(given.value)} ({given.unit.show(default)})"


def _meaning(profile: Profile, limits: type[Limits]) -> str:
    if profile == "smoke":
        return "smoke (NaN, drift and size on a few images; no claim about error rates)"
    if profile == "standard":
        return "standard"
    if not issubclass(limits, FaceLimits):
        return (
            "nist63a4 (it sets limits for comparing faces only: the limits of the gate apply here)"
        )
    most = dict(_nist63a4(FaceLimits))
    return (
        f"nist63a4 (FAR below {100 * most['far']:g} % and FRR below {100 * most['frr']:g} %, or "
        "the limit of the gate where that is stricter)"
    )


def _judged(limits: type[CheckedLimits]) -> type[CheckedLimits] | None:
    """The kind of limits that the text of NIST says something about; None for others."""
    return next((kind for kind in _NIST63A4 if issubclass(limits, kind)), None)


def _nist63a4(kind: type[CheckedLimits]) -> Iterator[tuple[str, float]]:
    """Largest value of each limit on rates."""
    for name, declared in kind.__dataclass_fields__.items():
        for rate, divisor in _NIST63A4[kind].items():
            if rate in name.split("_"):
                yield name, float(declared.default) / divisor  # type: ignore[arg-type]
