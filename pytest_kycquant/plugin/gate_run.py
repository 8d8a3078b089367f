"""One gate as its fixtures see it: from a test to the results of the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from ..errors import KycquantError, KycquantWarning, MissingGoldenError, SpecError
from ..report.document import DataEntry, LimitEntry
from ..report.found import Found, GateFound
from ..spec.profiles import describe, limits_under
from ..verdicts import Verdict
from .candidate import Candidate
from .collection import COLLECTED, GateTests, gate_name
from .definitions import refuse_fake_fixtures
from .gated import MARKER
from .gates import spec_of
from .pipeline_gates import KycPipeline, PipelineGates, pipeline_spec_of
from .properties import figures_of, place_of, properties_of
from .session import (
    BROKEN,
    FOUND,
    NO_GOLDEN,
    NOTED,
    REASON,
    RECORDED,
    REPEATED,
    SESSION,
    KycquantSession,
)

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.judge import Judge
    from ..spec.gates import GateSpec
    from ..spec.pipeline import PipelineSpec
    from ..spec.prequantized import Asked


def gate_spec(item: pytest.Item) -> GateSpec | None:
    """Return the specification of the gate of a test; None for a pipeline's or no gate's.

    Raises:
        SpecError: a class or marker specifies something impossible.
    """
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, PipelineGates):
        return None  # its tests carry the plugin's own marker, which says nothing about a model
    return spec_of(cls, list(item.iter_markers(MARKER)), gate_name(item))


def precisions_of(item: pytest.Item) -> tuple[Asked, ...]:
    """Return the precisions of the gate that a test belongs to; empty if there is none.

    The functions of the gate are as they are right after the import of its file.

    Raises:
        SpecError: a class or marker, of a gate or a pipeline, specifies something impossible.
    """
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, PipelineGates):
        marked = item.get_closest_marker(MARKER) is not None
        for stage in pipeline_spec_of(cls, marked=marked).stages:
            _note_functions(stage.gate)
    spec = gate_spec(item)
    if spec is None:
        return ()
    _note_functions(spec)
    return spec.precisions


def _note_functions(spec: GateSpec) -> None:
    """Take the digests of the functions of a gate now, when no test has called one of them."""
    if functions := spec.model.functions:
        from ..context.function_digest import note_function

        for where, function in functions:
            note_function(function, where)


class GateRun:
    """One gate as its fixtures see it.

    Args:
        session: the plugin's session in this process.
        spec: the specification of the gate.
        item: one of the tests of the gate.
    """

    def __init__(self, session: KycquantSession, spec: GateSpec, item: pytest.Item) -> None:
        self._session = session
        self._spec = spec
        self._item = item
        self._tests = _tests_of(session, spec, item)

    @classmethod
    def of(cls, item: pytest.Item) -> GateRun:
        """Return the gate of a test.

        Raises:
            SpecError: the test has no model.
        """
        spec = gate_spec(item)
        if spec is None:
            raise SpecError(
                item.nodeid,
                "uses a kycquant fixture but has no model",
                "subclass FaceGates or add @pytest.mark.kycquant(model=KycModel(...))",
            )
        return cls(item.config.stash[SESSION], spec, item)

    @property
    def _judge(self) -> Judge:
        _, _, gate = gate_name(self._item).partition("::")
        tests = self._tests
        judge = self._session.run.judge(self._spec, self._item.path, tests.asked, gate, tests.names)
        judge.variants.require_files()
        return judge

    @property
    def judge(self) -> Judge:
        """The judge that makes and measures variants."""
        with self._session.run.tried_once(self._spec, self._item.path):
            return self._judge

    @property
    def golden(self) -> Golden:
        """The FP32 baseline."""
        item, export = self._item, self._session.settings.export
        with self._session.run.tried_once(self._spec, item.path):
            judge = self._judge
            if export is not None:
                from ..report.export import refuse_foreign

                files = [file for s in judge.variants.sources for file in s.loaded.files]
                endings = {each: None for one in self._spec.precisions for each in one.suffixes}
                name, golden_file = judge.variants.model.name, judge.baseline.path
                refuse_foreign(export, name, [*files, golden_file], endings)
            golden = judge.require_golden()
        if self._session.settings.update_golden:
            item.user_properties.append((RECORDED, str(judge.baseline.path)))
            if note := judge.baseline.note:
                item.user_properties.append((NOTED, note))
        return golden

    def candidate(self, recipe: Asked) -> Candidate:
        """Return the variant that the gates are asserted on, and record it for the report."""
        from ..bench.pictures import pictures_of
        from ..bench.run import key_of

        item = self._item
        golden = self.golden
        tests = self._tests
        shipment = self._session.run.shipment(
            self._spec, item.path, recipe, tests.asked, tests.names
        )
        judge, record = self.judge, shipment.record
        rows = [judge.fp32_record, *shipment.tried]
        policy = self._spec.effective_inconclusive(self._session.settings)
        found = GateFound(
            key=key_of(
                self._spec,
                item.path,
                item.config.rootpath,
                min(self._tests.requested, default=item.nodeid),
            ),
            gate=gate_name(item),
            profile=judge.profile,
            profile_note=describe(judge.profile, judge.limits),
            golden=golden,
            fp32=judge.fp32_record,
            shipment=shipment,
            paths={row.variant: tuple(map(str, judge.variant_of(row).paths)) for row in rows},
            tests=self._tests.requested,
            unjudged=tuple(gate for gate in judge.claimed if not judge.asks(gate)),
            fallback=self._spec.effective_fallback(self._session.settings),
            ship_by=self._spec.effective_ship_by(self._session.settings),
            data=DataEntry.all_of(judge.variants.data),
            pictures=pictures_of(judge, rows) if self._session.settings.pictures else {},
        )
        limits = LimitEntry.all_of(judge.limits)
        item.stash[FOUND] = Found(self._session.origin(), policy, found, limits=limits)
        item.user_properties.append(("kycquant.profile", judge.profile))
        item.user_properties.extend(properties_of(shipment))
        item.user_properties.extend(place_of(item))
        return Candidate(
            precision=recipe.name,
            variant=record.variant,
            paths=judge.variant_of(record).paths,
            size=record.size,
            golden=golden,
            decision=shipment,
            inconclusive=policy,
            known=self._spec.model.task.gates(),
            profile=judge.profile,
            claimed=judge.claimed,
        )


@contextlib.contextmanager
def noted(item: pytest.Item) -> Iterator[None]:
    """Remember an error of a gate, which a test that is expected to fail would hide.

    It is raised in full for the first test that has it, and in short for all others.
    """
    import numpy as np

    try:
        # numpy's defaults: a project may have made every rounding to zero an error.
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            yield
    except (KycquantError, KycquantWarning) as error:
        item.stash.setdefault(BROKEN, (gate_name(item), str(error)))
        if isinstance(error, KycquantError):
            item.stash.setdefault(REASON, (error.problem, error.remedy))
        if isinstance(error, MissingGoldenError):
            item.stash[NO_GOLDEN] = error.where
        shown = item.config.stash[SESSION].run.shown_for(error, item.nodeid)
        if shown is error:
            raise
        item.stash[REPEATED] = shown
        raise shown from error
    except Exception as error:
        item.stash.setdefault(BROKEN, (gate_name(item), f"{type(error).__name__}: {error}"))
        raise


def kyc_pipeline_of(item: pytest.Item) -> KycPipeline:
    """Return the object that the tests of a pipeline use, and record it for the report.

    Raises:
        SpecError: the test does not belong to a pipeline.
    """
    cls = getattr(item, "cls", None)
    if not (isinstance(cls, type) and issubclass(cls, PipelineGates)):
        raise SpecError(
            item.nodeid, "uses `kyc_pipeline` outside a pipeline class", "subclass PipelineGates"
        )
    session = item.config.stash[SESSION]
    spec = pipeline_spec_of(cls)
    if "smoke" in [stage.gate.effective_profile(session.settings) for stage in spec.stages]:
        pytest.skip("smoke profile makes no claim about pipelines: nothing is cleared to ship")
    name, policy = gate_name(item), spec.inconclusive or session.settings.inconclusive
    members = [other for other in _collected(item) if gate_name(other) == name]
    asked = GateTests.of(members, _selected(item, members)).asked
    with session.run.tried_once(spec, item.path):
        record = session.pipelines.record(spec, cls(), name, asked)
    waived: dict[str, bool] = {}
    for _, result in (each for stage in spec.stages for each in session.run.waived_in(stage)):
        assert result.waiver is not None
        source = result.waiver.source
        waived[source] = waived.get(source, False) or result.found is not Verdict.PASS
    item.stash[FOUND] = Found(
        session.origin(),
        policy,
        pipeline=record,
        limits=LimitEntry.all_of(limits_under(session.settings.profile, spec.limits)),
        stage_waivers=waived,
        members=tuple(sorted(other.nodeid for other in members)),
    )
    item.user_properties.extend(figures_of(record.gates))
    item.user_properties.extend(place_of(item))
    return KycPipeline(record, policy)


def _tests_of(session: KycquantSession, spec: GateSpec, item: pytest.Item) -> GateTests:
    """Return the tests of a gate: one class, or all functions with the same specification."""
    key = (spec, item.path)
    if key not in session.tests:
        members = [
            other
            for other in _collected(item)
            if other.path == item.path and spec_or_none(other) == spec
        ]
        session.tests[key] = GateTests.of(members, _selected(item, members))
    return session.tests[key]


def _collected(item: pytest.Item) -> list[pytest.Item]:
    """Return the tests of all gates that pytest collected, deselected ones included."""
    return item.session.stash.get(COLLECTED, [])


def _selected(item: pytest.Item, members: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return those tests that the run did not deselect."""
    selected = {other.nodeid for other in item.session.items}
    return [member for member in members if member.nodeid in selected]


def pipeline_of(item: pytest.Item) -> PipelineSpec | None:
    """Return the specification of the pipeline of a test; None for another test, or a wrong one."""
    cls = getattr(item, "cls", None)
    if not (isinstance(cls, type) and issubclass(cls, PipelineGates)):
        return None
    with contextlib.suppress(SpecError):
        return pipeline_spec_of(cls)
    return None


def spec_or_none(item: pytest.Item) -> GateSpec | None:
    """Return the specification of the gate of a test; None for another test, or a wrong one."""
    try:
        return gate_spec(item)
    except SpecError:  # from a marker added late: the test will report it
        return None


def check_fixtures(item: pytest.Item) -> None:
    """Make sure that a gate is asserted on what this plugin's fixtures return.

    Raises:
        SpecError: a fixture of the same name has replaced one of them.
    """
    kinds = {"candidate": Candidate, "kyc_pipeline": KycPipeline}
    refuse_fake_fixtures(getattr(item, "funcargs", {}), kinds, gate_name(item))


def profiles_of(session: KycquantSession, items: Iterable[pytest.Item]) -> str:
    """Describe for the header the profile of the run, and the gates that have another one."""
    general = session.settings.profile
    others: dict[str, str] = {}
    for item in items:
        spec = spec_or_none(item)
        if spec is not None and spec.effective_profile(session.settings) != general:
            others[gate_name(item)] = spec.effective_profile(session.settings)
    own = (f"; {profile} for {gate}" for gate, profile in others.items())
    return f"profile {general}{''.join(own)}"
