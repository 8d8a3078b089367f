"""What a run was asked to do: options and ini values, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import SettingsError
from .flags import EXPORT, PROFILE
from .profiles import Profile

Inconclusive = Literal["fail", "warn", "xfail"]


@dataclass(frozen=True)
class Settings:
    """What a run was asked to do.

    Args:
        cache: folder of the cache.
        golden: folder of the golden baselines.
        update_golden: write the goldens instead of comparing with them.
        strict: fail instead of falling back to another precision.
        inconclusive: what an undecided gate does to its test.
        report: where to write the JSON report, if anywhere.
        export: folder for the models to ship and their evidence, if wanted.
        threads: images evaluated at the same time.
        search_budget: most candidates that a mixed-precision search tries.
        profile: how strict the run is and how much it claims, where a gate does not say.
        exact: run INT8 without saturation (`runtime.EXACT`), so that verdicts hold for every CPU.
    """

    cache: Path
    golden: Path
    update_golden: bool
    strict: bool
    inconclusive: Inconclusive
    report: Path | None
    export: Path | None
    threads: int
    search_budget: int = 60
    profile: Profile = "standard"
    exact: bool = False

    @property
    def mode(self) -> str:
        """One line for the header."""
        exact = "; INT8 without saturation" if self.exact else ""
        failing = "strict: no fallback" if self.strict else "fallback allowed"
        updating = "; goldens are recorded anew" if self.update_golden else ""
        policy = {"fail": "fail", "warn": "warn", "xfail": "are expected failures"}
        undecided = policy[self.inconclusive]
        return f"{failing}; undecided gates {undecided}; cache {self.cache}{updating}{exact}"


def refuse_export_of_smoke(profile: Profile, export: Path | None) -> None:
    """Refuse to export what the smoke profile looked at, since it clears nothing.

    Args:
        profile: of the run, or of one of its gates.
        export: folder for the models to ship, if wanted.

    Raises:
        SettingsError: both are asked for.
    """
    if profile == "smoke" and export is not None:
        raise SettingsError(
            EXPORT,
            "the smoke profile clears nothing to ship",
            f"leave it out, or use {PROFILE}=standard",
        )
