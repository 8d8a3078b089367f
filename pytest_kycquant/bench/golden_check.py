"""Is a golden true? What it says is derived again from model and data, and compared.

Its checksum only shows that it was edited carelessly: whoever edits it can make that anew. What
cannot be derived is taken on trust: `latency_ms`, which is for reference only, and the environment
in which it was recorded, which decides how much may differ here.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..context.cache import digest_of
from ..errors import EnvironmentWarning, GoldenError
from ..plain import from_plain
from ..statistics import Rate, rate_with
from .golden import Golden

# Another CPU rounds differently, so decisions right at the threshold may flip.
_FOREIGN_TOLERANCE = 3
_FOREIGN_DEFF = 1.5  # factor: the subjects of those decisions may differ, too
_FIGURE_TOLERANCE, _FOREIGN_FIGURE_TOLERANCE = 1e-6, 0.01
# If none of these facts about the environment differs, FP32 must reproduce every figure.
_DECISIVE = ("onnxruntime", "pillow", "cpu", "features", "u8s8_saturates")
_EVERYBODY_SINCE = 3  # schema from which on all people choose and are judged without selection=
_BOUNDS_SINCE = 4  # schema from which on the bounds of rates follow from today's rule
_DIGEST = re.compile(r"[0-9a-f]{64}")
Rates = Mapping[str, Mapping[str, Any]]


def check_current(
    golden: Golden, model: Mapping[str, Any], inputs: Mapping[str, Any], path: Path, command: str
) -> None:
    """Refuse a golden that was recorded for something else.

    Raises:
        GoldenError: model, data, pairs, preprocessing or threshold policy changed.
    """
    changed = [f"model {key}" for key in _differing(golden.model, model)]
    changed += _differing(golden.inputs, inputs)
    if changed:
        why = _migration(golden, inputs)
        values = _names(_changes(golden.inputs, inputs), longest=150)
        raise GoldenError(
            path,
            f"is stale: {_names(changed)} changed since it was recorded{why}"
            + (f": {values}" if values else ""),
            f"if that was intended, accept it with: {command} (gates that differ in this need "
            "different names: KycModel(name=...))",
        )


def check_threshold(
    golden: Golden,
    derived: tuple[float | None, str],
    rates_at: Callable[[float], Rates] | None,
    environment: Mapping[str, Any],
    path: Path,
    command: str,
) -> None:
    """Compare the threshold, and what is said of its source, with what the data give.

    In another environment, the scores of FP32 and so the threshold may differ a little. It is
    accepted there if it decides the same on the selection split, up to a few decisions.

    Args:
        golden: the golden.
        derived: the threshold and its source, derived from the gate file or the selection split.
        rates_at: a function from a threshold to the rates of FP32 on the selection split; None if
            the threshold does not come from data.
        environment: the environment here.
        path: the path of the golden.
        command: the command that records it again.

    Raises:
        GoldenError: the threshold, or its source, is not what the data give.
    """
    threshold, source = derived
    recorded = golden.threshold
    if golden.threshold_source != source:
        raise _untrue(path, "threshold_source", golden.threshold_source, source, command)
    if recorded == threshold:
        return
    same = not _foreign(golden, environment)
    close = (
        recorded is not None
        and threshold is not None
        and math.isclose(recorded, threshold, rel_tol=_FIGURE_TOLERANCE)
    )
    # numpy computes scores, but its version does not change decisions.
    if same and close and golden.environment["numpy"] != environment["numpy"]:
        return
    if recorded is None or threshold is None or rates_at is None or same:
        why = ""
        if golden.schema < _BOUNDS_SINCE and "FAR" in source:
            why = (
                f" (schema {golden.schema} was recorded when bounds of FAR counted independent "
                "impostor pairs twice; they are sharper now and choose a laxer threshold)"
            )
        raise _untrue(path, "threshold", recorded, threshold, command, why)
    there, here = rates_at(recorded), rates_at(threshold)
    for name, rate in here.items():
        if abs(rate["errors"] - there[name]["errors"]) > _FOREIGN_TOLERANCE:
            raise _untrue(
                path,
                "threshold",
                f"{recorded:.9g} ({name} {there[name]['errors']} of {rate['trials']} there)",
                f"{threshold:.9g} ({rate['errors']} on the selection split)",
                command,
            )


def check_reproduced(
    golden: Golden,
    rates: Rates,
    environment: Mapping[str, Any],
    path: Path,
    command: str,
    figures: Mapping[str, float] | None = None,
) -> None:
    """Compare FP32's errors now with the recorded ones, and everything that follows from them.

    In the same environment every count must be the same. In another environment a few decisions
    right at the threshold may differ, and a warning is given.

    Raises:
        GoldenError: FP32 does not reproduce the recorded errors.
    """
    foreign = _foreign(golden, environment)
    tolerance = _FOREIGN_TOLERANCE if foreign else 0
    if sorted(golden.rates) != sorted(rates):
        raise GoldenError(
            path,
            f"records the rates {_names(golden.rates)}, not {_names(rates)}",
            f"find out why; if that was intended, accept it with: {command}",
        )
    for name, found in rates.items():
        recorded = golden.rates[name]
        apart = abs(int(recorded["errors"]) - int(found["errors"]))
        if recorded["trials"] != found["trials"] or apart > tolerance:
            raise GoldenError(
                path,
                f"FP32 {name} is {found['errors']} of {found['trials']} here, "
                f"but the golden records {recorded['errors']} of {recorded['trials']}",
                f"find out why; if that was intended, accept it with: {command}",
            )
        if golden.schema < _BOUNDS_SINCE:
            if recorded["subjects"] != found["subjects"]:
                raise _untrue(
                    path, f"rate {name}: subjects", recorded["subjects"], found["subjects"], command
                )
            continue
        expected = _expected(from_plain(Rate, recorded), from_plain(Rate, found), tolerance)
        for key, value in expected.items():
            if not math.isclose(recorded[key], value, rel_tol=_FIGURE_TOLERANCE, abs_tol=1e-12):
                raise _untrue(path, f"rate {name}: {key}", recorded[key], value, command)
    today = figures or {}
    apart_by = _FOREIGN_FIGURE_TOLERANCE if foreign else _FIGURE_TOLERANCE
    for name in sorted({*golden.figures, *today}):
        before, now = golden.figures.get(name, math.nan), today.get(name, math.nan)
        # The tolerance is relative for large values, since the unit is unknown. NaN fails, too.
        if not abs(before - now) <= apart_by * max(1.0, abs(before)):
            raise GoldenError(
                path,
                f"FP32 {_names([name])} is {now:.6g} here, but the golden records {before:.6g}",
                f"find out why; if that was intended, accept it with: {command}",
            )
    if foreign:
        counts = ", ".join(f"{name} {found['errors']}" for name, found in rates.items())
        there = ", ".join(f"{name} {found['errors']}" for name, found in golden.rates.items())
        warnings.warn(
            f"{path.name} was recorded in another environment (different: {', '.join(foreign)}): "
            f"its latency is not comparable, and FP32's error counts are {counts} here and {there} "
            f"there; to record it here: {command}",
            EnvironmentWarning,
            stacklevel=2,
        )


def _foreign(golden: Golden, environment: Mapping[str, Any]) -> list[str]:
    """The decisive facts in which the environment of a golden differs from that here."""
    return [k for k in _DECISIVE if golden.environment.get(k) != environment[k]]


def _expected(recorded: Rate, found: Rate, tolerance: int) -> dict[str, float]:
    """What the fields of a recorded rate must be, given its errors.

    In another environment, other errors may have other subjects. The bounds follow from the design
    effects and from the worst subject, and only these may differ then.
    """
    if not tolerance:
        return asdict(found)
    worst = recorded.worst
    bound = _FOREIGN_DEFF if recorded.errors == found.errors else math.inf
    deff, many = (
        there if 1 <= there <= here * bound and there * bound >= here else here
        for there, here in (
            (recorded.deff, found.deff),
            (recorded.deff_many, found.deff_many),
        )
    )
    if abs(worst - found.worst) > tolerance:
        worst = found.worst
    room = recorded.room if abs(recorded.room - found.room) <= tolerance else found.room
    counts = recorded.errors, found.trials, found.subjects
    return asdict(rate_with(*counts, deff, worst, room, many))


def _migration(golden: Golden, inputs: Mapping[str, Any]) -> str:
    """What a new schema has to do with a stale golden, or ""."""
    if golden.schema >= _EVERYBODY_SINCE or inputs.get("selection", "") is not None:
        return ""
    if golden.inputs.get("selection") is None:
        return ""
    return (
        " (schema 2 was recorded when half of the people chose the threshold and were not judged; "
        "without selection=, all people now choose it and all are judged. selection=0.5 keeps "
        "the split)"
    )


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The keys of values that are not the same in JSON, where 1, 1.0 and true are three."""
    both = there.keys() & here.keys()
    same = {key for key in both if digest_of(there[key]) == digest_of(here[key])}
    return sorted({*there, *here} - same)


def _changes(there: Mapping[str, Any], here: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Values that are not the same, with both; digests only say that something changed."""
    for key in _differing(there, here):
        before, now, name = there.get(key), here.get(key), f"{within}{key}"
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _changes(before, now, f"{name}.")
        elif not any(
            isinstance(value, str) and _DIGEST.fullmatch(value) for value in (before, now)
        ):
            yield f"{name} {json.dumps(before)} -> {json.dumps(now)}"
        elif within:
            yield name


def _untrue(
    path: Path, field: str, recorded: object, derived: object, command: str, why: str = ""
) -> GoldenError:
    said, found = (v if isinstance(v, str) else json.dumps(v) for v in (recorded, derived))
    return GoldenError(
        path,
        f"{field} is {said!a:.120}, but model and data give {found!a:.120}{why}",
        f"find out why; if that was intended, accept it with: {command}",
    )


def _names(names: Iterable[str], longest: int = 60) -> str:
    """Names that the golden may have brought, shortened and printable."""
    shown = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join(name[:longest] for name in shown[:8])
