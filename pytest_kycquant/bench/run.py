"""One run: the judges of its gates, and what they have decided."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import (
    BaselineError,
    CacheError,
    DataError,
    GoldenError,
    KycquantError,
    MeasurementError,
    MetricError,
    ModelError,
)
from ..spec.profiles import limits_under
from ..spec.settings import refuse_export_of_smoke
from .judge import Bench
from .ladder import Decision, decide
from .smoke import SmokeBench

if TYPE_CHECKING:
    from ..spec.gates import GateSpec
    from ..spec.recipe import Recipe
    from .workspace import Workspace

# What is wrong with a gate as a whole, whatever the precision.
_ONCE = (
    DataError,
    ModelError,
    GoldenError,
    BaselineError,
    CacheError,
    MeasurementError,
    MetricError,
)


class Run:
    """Judges what gates ask for, each thing once in a process.

    Args:
        workspace: what its judges share.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._judges: dict[tuple[GateSpec, Path], Bench] = {}
        self._shipments: dict[tuple[GateSpec, Path, Recipe], Decision | KycquantError] = {}
        self._broken: dict[tuple[object, Path], tuple[str, KycquantError]] = {}

    def judge(self, spec: GateSpec, gate_file: Path) -> Bench:
        """The judge of a gate; the same one for all of its tests.

        Args:
            spec: what the gate asks for.
            gate_file: where it says so.

        Raises:
            SettingsError: a gate of the smoke profile, which clears nothing, in a run that exports.
        """
        key = (spec, gate_file)
        if key not in self._judges:
            settings = self.workspace.settings
            profile = spec.effective_profile(settings)
            refuse_export_of_smoke(profile, settings.export)
            kind = SmokeBench if profile == "smoke" else Bench
            limits = limits_under(profile, spec.limits)
            self._judges[key] = kind(self.workspace, spec.model, gate_file, limits, profile)
        return self._judges[key]

    def shipment(self, spec: GateSpec, gate_file: Path, recipe: Recipe) -> Decision:
        """What ships for a precision, decided once; nor is a failed attempt made twice.

        Args:
            spec: what the gate asks for.
            gate_file: where it says so.
            recipe: one of its precisions.

        Raises:
            KycquantError: the precision cannot be judged.
        """
        key = (spec, gate_file, recipe)
        if key not in self._shipments:
            ladder = spec.effective_fallback(self.workspace.settings)
            try:
                self._shipments[key] = decide(self.judge(spec, gate_file), recipe, ladder)
            except KycquantError as error:
                self._shipments[key] = error
        shipment = self._shipments[key]
        if isinstance(shipment, KycquantError):
            raise shipment
        return shipment

    @contextlib.contextmanager
    def explained_once(self, spec: object, gate_file: Path, test: str) -> Iterator[None]:
        """Explain what is wrong with a gate to its first test; refer the others to that one.

        Args:
            spec: what the gate asks for.
            gate_file: where it says so.
            test: name of the test that asks now.
        """
        key = (spec, gate_file)
        if key in self._broken:
            first, error = self._broken[key]
            raise type(error)(error.where, "this gate cannot run", f"see the error of {first}")
        try:
            yield
        except _ONCE as error:
            self._broken[key] = (test, error)
            raise
