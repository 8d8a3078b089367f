"""One run: the judges of its gates, and their decisions."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..context.cache import digest_of
from ..context.folder import deleted
from ..errors import (
    BaselineError,
    CacheError,
    DataError,
    GoldenError,
    KycquantError,
    KycquantWarning,
    MeasurementError,
    MetricError,
    ModelError,
    PipelineError,
    SettingsError,
)
from ..spec.profiles import limits_under
from ..spec.settings import refuse_export_of_smoke
from ..spec.waivers import load_waivers, waivers_of
from .judge import Judge, StandardJudge
from .ladder import decide
from .mixed_search import MixedSearch
from .shipping import Shipment
from .smoke import IMAGES, SmokeJudge
from .variants import Variants

if TYPE_CHECKING:
    from ..results import GateResult, Waiver
    from ..spec.gates import GateSpec
    from ..spec.pipeline import StageSpec
    from ..spec.prequantized import Asked
    from .workspace import Workspace

Told = KycquantError | KycquantWarning
# Errors that concern a gate as a whole, whatever the precision.
_ONCE = (
    DataError,
    ModelError,
    GoldenError,
    BaselineError,
    CacheError,
    MeasurementError,
    MetricError,
    PipelineError,
    SettingsError,
)


def key_of(spec: GateSpec, gate_file: Path, root: Path, test: str = "") -> str:
    """Digest that identifies a gate in reports, the same in all workers.

    Args:
        spec: the gate's model, precisions and limits.
        gate_file: the file that defines the gate: paths of equal specs may mean different data.
        root: the folder that the file counts from, so that the digest is the same on all machines.
        test: node id of one of the gate's tests, the same in all workers. Only gates with a metric
            or a function of their own need it: two functions may have one name and place, such as
            closures of one factory.
    """
    # Left out of the representation.
    place = test if spec.model.functions else ""
    file = gate_file.relative_to(root) if gate_file.is_relative_to(root) else gate_file
    return digest_of([repr(spec), file.as_posix(), place])


class Run:
    """Judges gates, each precision once in a process.

    Args:
        workspace: the workspace that all judges share.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._judges: dict[tuple[object, ...], Judge] = {}
        self._shipments: dict[tuple[object, ...], Shipment | KycquantError | KycquantWarning] = {}
        self._broken: dict[tuple[object, Path], Told] = {}
        self._causes: dict[str, str] = {}  # the first test, by error

    @cached_property
    def waivers(self) -> tuple[Waiver, ...]:
        """All waivers.

        Raises:
            SettingsError: their file is wrong.
        """
        path = self.workspace.settings.waivers
        return () if path is None else load_waivers(path)

    def judge(
        self,
        spec: GateSpec,
        gate_file: Path,
        asked: Collection[str] | None = None,
        gate: str = "",
        names: Collection[str] = (),
    ) -> Judge:
        """The judge of a gate; the same one for all of its tests.

        Args:
            spec: the gate's model, precisions and limits.
            gate_file: the file that defines the gate.
            asked: names of the gates to judge; None for all.
            gate: name of the class or function in that file, for commands; "" if it is not known.
            names: node ids of the classes or functions of the gate, for waivers.

        Raises:
            SettingsError: the gate has the smoke profile, which clears nothing, and the run
                exports; or the file of waivers is wrong.
        """
        waivers = self._granted(spec, names)
        key = (spec, gate_file, _those(spec, asked), waivers)
        if key not in self._judges:
            settings = self.workspace.settings
            profile = spec.effective_profile(settings)
            refuse_export_of_smoke(profile, settings.export)
            kind = SmokeJudge if profile == "smoke" else StandardJudge
            limits = limits_under(profile, spec.limits)
            most = IMAGES if profile == "smoke" else None
            variants = Variants.of_gate(self.workspace, spec.model, gate_file, limits, most)
            self._judges[key] = kind(
                self.workspace, variants, limits, gate_file, profile, key[2], gate, waivers
            )
        return self._judges[key]

    def judge_of(self, stage: StageSpec) -> Judge:
        """The judge of a stage of a pipeline, with all of its gates; see `judge`."""
        return self.judge(stage.gate, stage.gate_file, names=self._names(stage))

    def shipment_of(self, stage: StageSpec, recipe: Asked) -> Shipment:
        """What ships for a precision of a stage of a pipeline; see `shipment`."""
        return self.shipment(stage.gate, stage.gate_file, recipe, names=self._names(stage))

    def waived_in(self, stage: StageSpec) -> list[tuple[str, GateResult]]:
        """Results of a stage that carry a waiver, each with the label of its variant."""
        return [
            (record.variant, result)
            for record in self.judge_of(stage).judged()
            for result in record.gates.values()
            if result.waiver is not None
        ]

    def _names(self, stage: StageSpec) -> tuple[str]:
        return (stage.node(self.workspace.root),)

    def _granted(self, spec: GateSpec, names: Collection[str]) -> tuple[Waiver, ...]:
        strict = spec.effective_strict(self.workspace.settings)
        return () if strict else waivers_of(self.waivers, names)

    def shipment(
        self,
        spec: GateSpec,
        gate_file: Path,
        recipe: Asked,
        asked: Collection[str] | None = None,
        names: Collection[str] = (),
    ) -> Shipment:
        """What ships for a precision, decided once; a failed attempt is not repeated, either.

        Args:
            spec: the gate's model, precisions and limits.
            gate_file: the file that defines the gate.
            recipe: one of the gate's precisions.
            asked: names of the gates to judge; None for all.
            names: node ids of the classes or functions of the gate, for waivers.

        Raises:
            KycquantError: the precision cannot be judged.
        """
        key = (spec, gate_file, _those(spec, asked), recipe, self._granted(spec, names))
        if key not in self._shipments:
            ladder = spec.effective_fallback(self.workspace.settings, recipe)
            judge = self.judge(spec, gate_file, asked, names=names)
            search = None if judge.profile == "smoke" else MixedSearch(judge)
            try:
                with self._while_cache_lasts():
                    self._shipments[key] = decide(judge, recipe, ladder, search)
            except (KycquantError, KycquantWarning) as error:
                self._shipments[key] = error
        shipment = self._shipments[key]
        if isinstance(shipment, Exception):
            raise shipment
        return shipment

    @contextlib.contextmanager
    def tried_once(self, spec: object, gate_file: Path) -> Iterator[None]:
        """Try once what all tests of a gate need; later tests get the error of the first try.

        Args:
            spec: the gate's model, precisions and limits.
            gate_file: the file that defines the gate.
        """
        key = (spec, gate_file)
        if key in self._broken:
            raise self._broken[key]
        try:
            with self._while_cache_lasts():
                yield
        except (*_ONCE, KycquantWarning) as error:  # warnings are errors by pytest's option -W
            self._broken[key] = error
            raise

    def shown_for(self, error: Told, test: str) -> Told:
        """The error to show in a test: in full in the first test that has it, whichever worker ran.

        Args:
            error: the error.
            test: node id of the test.

        Returns:
            the error itself, or one line that names that first test.
        """
        name = f"cause-{digest_of([type(error).__name__, str(error)])[:32]}"
        self._causes.setdefault(name, test)
        with contextlib.suppress(Exception):  # without a cache, workers do not know each other
            self._causes[name] = self.workspace.context.store.once(name, lambda: test, str)
        first = self._causes[name]
        if first == test:
            return error
        whole = isinstance(error, (*_ONCE, KycquantWarning))
        problem = "this gate cannot run" if whole else "this precision cannot be judged"
        remedy = f"see the error of {first}"
        if isinstance(error, KycquantError):
            return type(error)(error.where, problem, remedy)
        return DataError(str(error).partition(": ")[0], problem, remedy)

    @contextlib.contextmanager
    def _while_cache_lasts(self) -> Iterator[None]:
        """Explain whatever goes wrong because the cache was deleted while it was used."""
        try:
            yield
        except Exception as error:
            lost = self.workspace.cache.lost()
            if lost is None or isinstance(error, CacheError):
                raise
            raise deleted(lost) from error


def _those(spec: GateSpec, asked: Collection[str] | None) -> frozenset[str] | None:
    """The gates to judge, in a form that is the same for all of them however they are asked for."""
    known = spec.model.task.gates()
    return None if asked is None or set(asked) >= set(known) else frozenset(asked)
