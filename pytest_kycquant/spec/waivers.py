"""Waivers: known failures as data, each with a reason, a ticket and a day on which it ends.

A file has one table for each::

    [[waiver]]
    gate = "tests/gates/test_arcface.py::TestArcFace"  # or TestArcFace
    variant = "int8"
    check = "frr"
    reason = "FRR of the 60+ group is being mended"
    ticket = "KYC-1234"
    expires = 2027-03-31
    ship = false

A waiver turns FAIL and INCONCLUSIVE into WAIVED, never into PASS, and never an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SpecError
from ..files import from_here, read_regular
from ..results import GateResult, Waiver
from . import coerce

DEFAULT_WAIVERS = "waivers.toml"  # below the rootdir
_TEXTS = ("gate", "variant", "check", "reason", "ticket")
_KEYS = (*_TEXTS, "expires", "ship")
_NEVER = {
    "finite": "NaN and Inf",
    "complete": "a pipeline that skips stages or gives NaN or Inf",
}
_LARGEST = 1 << 20  # bytes


def load_waivers(path: Path, today: date | None = None) -> tuple[Waiver, ...]:
    """Read a file of waivers.

    Args:
        path: the file.
        today: the day on which they must hold; None for the current day (UTC).

    Raises:
        SettingsError: the file cannot be read, or a waiver lacks something, says something unknown,
            or waives what cannot be waived.
    """
    name = from_here(path)
    try:
        values = tomllib.loads(read_regular(path, _LARGEST).decode())
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise SettingsError(name, problem, "name the file with waivers") from error
    except ValueError as error:
        raise SettingsError(name, f"is not TOML ({error})", "mend the file") from error
    _refuse_unknown(name, values, ("waiver",))
    entries = values.get("waiver", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(name, "waiver is not a list of tables", "write [[waiver]]")
    day = today or datetime.now(UTC).date()
    found: dict[tuple[str, str, str], Waiver] = {}
    for number, entry in enumerate(entries, 1):
        waiver = _waiver(f"{name}, waiver {number}", entry, day)
        key = waiver.gate, waiver.variant, waiver.check
        if key in found:
            raise SettingsError(
                waiver.source, f"waives the same as {found[key].source}", "remove one of them"
            )
        found[key] = waiver
    return tuple(found.values())


def waivers_of(waivers: Iterable[Waiver], gates: Iterable[str]) -> tuple[Waiver, ...]:
    """Return the waivers for gates.

    Args:
        waivers: all waivers.
        gates: node ids of the gates.
    """
    names = {name for gate in gates for name in (gate, gate.partition("::")[2])} - {""}
    return tuple(waiver for waiver in waivers if waiver.gate in names)


def waive(result: GateResult, variant: str, waivers: Iterable[Waiver]) -> GateResult:
    """Attach the waiver for a result, if there is one, also to a result that needs none.

    Args:
        result: the result of a gate.
        variant: label of the variant.
        waivers: those for the gate class.
    """
    for waiver in waivers:
        if (waiver.variant, waiver.check) == (variant, result.gate):
            return replace(result, waiver=waiver)
    return result


def _waiver(where: str, entry: Mapping[str, Any], today: date) -> Waiver:
    _refuse_unknown(where, entry, _KEYS)
    if missing := [key for key in (*_TEXTS, "expires") if key not in entry]:
        example = f"{missing[0]} = " + ("2027-03-31" if missing[0] == "expires" else '"..."')
        raise SettingsError(where, f"has no {' and no '.join(missing)}", f"write {example}")
    for key in _TEXTS:
        if not isinstance(entry[key], str) or not entry[key].strip():
            problem = f"{key} is {coerce.shown(entry[key])}, not a text"
            raise SettingsError(where, problem, f'write {key} = "..."')
    check, expires, ship = entry["check"], entry["expires"], entry.get("ship", False)
    if check in _NEVER:
        raise SettingsError(where, f"waives {check}: {_NEVER[check]} cannot be waived", "remove it")
    if not isinstance(expires, date) or isinstance(expires, datetime):
        problem = f"expires is {coerce.shown(expires)}, not a day"
        raise SettingsError(where, problem, "write expires = 2027-03-31, without quotes")
    if not isinstance(ship, bool):
        problem = f"ship is {coerce.shown(ship)}, not true or false"
        raise SettingsError(where, problem, "write ship = true or leave it out")
    return Waiver(
        **{key: entry[key] for key in _TEXTS},
        expires=expires.isoformat(),
        ship=ship,
        source=where,
        expired=expires < today,
    )


def _refuse_unknown(where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        try:
            coerce.choice(where, key, known)
        except SpecError as error:
            raise SettingsError(where, f"{key!a:.60} is unknown", error.remedy) from None
