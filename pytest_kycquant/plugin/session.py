"""One object for each pytest session; the hooks in `hooks.py` forward to it."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..bench.golden import refuse_in_ci
from ..context.cache import digest_of
from ..errors import (
    BaselineError,
    CacheError,
    DataError,
    GoldenError,
    KycquantError,
    MeasurementError,
    MetricError,
    ModelError,
    SpecError,
)
from ..report.found import Found, GateFound, Origin
from ..report.records import Collected
from ..spec.profiles import describe, limits_under
from ..spec.recipe import Recipe
from .gates import (
    MARKER,
    Candidate,
    Gates,
    GateSpec,
    spec_of,
)
from .options import read_settings, smoke_exports
from .pipeline_gates import KycPipeline, PipelineGates, PipelineSpec

if TYPE_CHECKING:
    from ..bench.golden import Golden
    from ..bench.judge import Judge
    from ..bench.run import Run
    from ..bench.shipping import Shipment
    from ..context.progress import Progress
    from ..pipeline.record import PipelineRecord
    from ..results import GateResult

RUN_ID = "kycquant_run_id"
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
FOUND = pytest.StashKey[Found]()


class KycquantSession:
    """Settings, the run (opened when the first gate needs it) and what was found.

    Args:
        config: of this process, be it the only one, a controller or a worker of pytest-xdist.
    """

    def __init__(self, config: pytest.Config) -> None:
        # The one place that asks whether this is a worker: xdist sets the attribute on workers.
        worker: Mapping[str, Any] = getattr(config, "workerinput", {})
        self.is_worker = bool(worker)
        self.worker_id = str(worker.get("workerid", "main"))
        # Not xdist's own id, which a user may keep from run to run.
        self.run_id = str(worker.get(RUN_ID, uuid.uuid4().hex))
        self._config = config
        self.settings = read_settings(config, workers=int(worker.get("workercount", 1)))
        if self.settings.update_golden:
            refuse_in_ci(self.settings.golden)
        if config.getoption("cacheclear", False) and not self.is_worker:
            shutil.rmtree(self.settings.cache, ignore_errors=True)
        self.collected = Collected()
        self._benches: dict[tuple[GateSpec, Path], Judge] = {}
        self._decisions: dict[tuple[GateSpec, Path, Recipe], Shipment | KycquantError] = {}
        self._pipelines: dict[PipelineSpec, PipelineRecord] = {}
        self._broken: dict[tuple[object, Path], tuple[str, KycquantError]] = {}

    @cached_property
    def run(self) -> Run:
        """What all gates share."""
        from ..bench.run import Run

        return Run(self.settings, self._config.rootpath, self.run_id, self._progress())

    def gate(self, item: pytest.Item) -> GateRun:
        """What the fixtures of a test work with.

        Raises:
            SpecError: the test names no model.
        """
        cls = getattr(item, "cls", None)
        spec = spec_of(cls, list(item.iter_markers(MARKER)), item.nodeid)
        if spec is None:
            raise SpecError(
                item.nodeid,
                "uses a kycquant fixture but names no model",
                "subclass FaceGates or add @pytest.mark.kycquant(model=KycModel(...))",
            )
        return GateRun(self, spec, item)

    def bench(self, spec: GateSpec, gate_file: Path) -> Judge:
        """The bench of a gate; the same one for all of its tests.

        Raises:
            SettingsError: a gate of the smoke profile, which clears nothing, in a run that exports.
        """
        from ..bench.judge import StandardJudge
        from ..bench.smoke import SmokeJudge
        from ..bench.variants import Variants

        key = (spec, gate_file)
        if key not in self._benches:
            profile = spec.effective_profile(self.settings)
            if profile == "smoke" and self.settings.export is not None:
                raise smoke_exports()
            kind = SmokeJudge if profile == "smoke" else StandardJudge
            limits = limits_under(profile, spec.limits)
            variants = Variants.of_gate(self.run, spec.model, gate_file, limits)
            self._benches[key] = kind(self.run, variants, limits, gate_file, profile)
        return self._benches[key]

    @contextlib.contextmanager
    def explained_once(self, spec: object, item: pytest.Item) -> Iterator[None]:
        """Explain what is wrong with a gate to its first test; refer the others to that one."""
        key = (spec, item.path)
        if key in self._broken:
            first, error = self._broken[key]
            raise type(error)(error.where, "this gate cannot run", f"see the error of {first}")
        try:
            yield
        except _ONCE as error:
            self._broken[key] = (item.nodeid, error)
            raise

    def decision(self, spec: GateSpec, gate_file: Path, recipe: Recipe) -> Shipment:
        """What ships for a precision; decided once."""
        from ..bench.ladder import decide
        from ..bench.mixed_search import MixedSearch

        key = (spec, gate_file, recipe)
        if key not in self._decisions:
            ladder = spec.effective_fallback(self.settings)
            bench = self.bench(spec, gate_file)
            search = None if bench.profile == "smoke" else MixedSearch(bench)
            try:
                self._decisions[key] = decide(bench, recipe, ladder, search)
            except KycquantError as error:  # nor is a failed attempt made twice
                self._decisions[key] = error
        decision = self._decisions[key]
        if isinstance(decision, KycquantError):
            raise decision
        return decision

    def pipeline(self, item: pytest.Item) -> KycPipeline:
        """What the tests of a pipeline work with; records it for the report."""
        cls = getattr(item, "cls", None)
        if not (isinstance(cls, type) and issubclass(cls, PipelineGates)):
            raise SpecError(
                item.nodeid, "uses `kyc_pipeline` outside of a pipeline", "subclass PipelineGates"
            )
        spec = PipelineSpec.of(cls)
        stages = [stage.gate.effective_profile(self.settings) for stage in spec.stages]
        if "smoke" in stages:
            pytest.skip("smoke profile makes no claim on pipelines: nothing is cleared to ship")
        if spec not in self._pipelines:
            from ..pipeline.run import judge

            with self.explained_once(spec, item):
                self._pipelines[spec] = judge(self, spec, _gate_name(item))
        record = self._pipelines[spec]
        item.stash[FOUND] = Found(self.origin(), pipeline=record)
        item.user_properties.extend(_gate_properties(record.gates))
        return KycPipeline(record, spec.inconclusive or self.settings.inconclusive)

    def origin(self) -> Origin:
        """Where figures come from, for the report."""
        cache = self.run.cache
        return Origin(
            environment=self.run.context.environment,
            exact=self.settings.exact,
            worker=self.worker_id,
            reused=len(cache.reused),
            built=len(cache.built),
        )

    def _progress(self) -> Progress:
        from ..context.progress import Progress

        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None or self._config.get_verbosity() < 0:
            return Progress()
        live = bool(reporter.isatty) and not self.is_worker

        def write(text: str) -> None:
            with capture.global_and_fixture_disabled():
                if not live:
                    reporter.ensure_newline()
                    reporter.write_line(f"kycquant: {text}")
                    return
                if reporter.currentfspath is not None:
                    reporter.ensure_newline()
                shown = f"kycquant: {text}"[: reporter._tw.fullwidth - 1] if text else ""
                reporter._tw.write(f"\r\x1b[2K{shown}", flush=True)

        return Progress(write, live=live)


SESSION = pytest.StashKey[KycquantSession]()


class GateRun:
    """One gate as its fixtures see it.

    Args:
        session: of this process.
        spec: what the gate asks for.
        item: one of its tests.
    """

    def __init__(self, session: KycquantSession, spec: GateSpec, item: pytest.Item) -> None:
        self._session = session
        self._spec = spec
        self._item = item

    @property
    def bench(self) -> Judge:
        """Makes and measures variants."""
        return self._session.bench(self._spec, self._item.path)

    @property
    def golden(self) -> Golden:
        """The FP32 baseline."""
        with self._session.explained_once(self._spec, self._item):
            return self.bench.require_golden()

    def candidate(self, recipe: Recipe) -> Candidate:
        """The variant that the gates are asserted on; records it for the report."""
        item = self._item
        golden = self.golden
        decision = self._session.decision(self._spec, item.path, recipe)
        bench, record = self.bench, decision.record
        rows = [bench.fp32_record, *decision.tried]
        found = GateFound(
            key=digest_of(repr(self._spec)),
            gate=_gate_name(item),
            profile=bench.profile,
            profile_note=describe(bench.profile, type(bench.limits)),
            golden=golden,
            fp32=bench.fp32_record,
            shipment=decision,
            paths={row.variant: tuple(map(str, bench.paths_of(row))) for row in rows},
        )
        item.stash[FOUND] = Found(self._session.origin(), found)
        item.user_properties.append(("kycquant.profile", bench.profile))
        item.user_properties.extend(_properties(decision))
        return Candidate(
            precision=recipe.name,
            variant=record.variant,
            paths=bench.paths_of(record),
            size=record.size,
            golden=golden,
            decision=decision,
            inconclusive=self._spec.effective_inconclusive(self._session.settings),
            known=self._spec.model.task.gates(),
            profile=bench.profile,
            claimed=bench.claimed,
        )


def gate_run(request: pytest.FixtureRequest) -> GateRun:
    """What a fixture works with."""
    return request.config.stash[SESSION].gate(request.node)


def profiles_of(session: KycquantSession, items: Iterable[pytest.Item]) -> str:
    """One line for the header: the profile of the run, and the gates that have one of their own."""
    general = session.settings.profile
    others: dict[str, str] = {}
    for item in items:
        try:
            spec = spec_of(getattr(item, "cls", None), list(item.iter_markers(MARKER)), item.nodeid)
        except SpecError:  # of a marker that came late: the test will say it
            continue
        if spec is not None and spec.effective_profile(session.settings) != general:
            others[_gate_name(item)] = spec.effective_profile(session.settings)
    own = (f"; {profile} for {gate}" for gate, profile in others.items())
    return f"profile {general}{''.join(own)}"


def is_gated(item: pytest.Item) -> bool:
    """Whether a test belongs to a gate."""
    cls = getattr(item, "cls", None)
    inherits = isinstance(cls, type) and issubclass(cls, (Gates, PipelineGates))
    return inherits or item.get_closest_marker(MARKER) is not None


def _gate_name(item: pytest.Item) -> str:
    """Node id of the class, or of a function without its parameters."""
    owner = item.getparent(pytest.Class)
    return owner.nodeid if owner is not None else item.nodeid.split("[")[0]


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Send what a test found along with its report, as a string that survives pytest-xdist."""
    found = item.stash.get(FOUND, None)
    if found is not None and report.when == "call":
        report.kycquant = found.dump()  # type: ignore[attr-defined]


def _properties(decision: Shipment) -> list[tuple[str, str]]:
    """JUnit properties of a test."""
    record = decision.record
    pairs = [
        ("kycquant.variant", record.variant),
        ("kycquant.size_ratio", f"{record.size_ratio:.4f}"),
        ("kycquant.sha256", record.sha256),
    ]
    if decision.fell_back:
        pairs.append(("kycquant.fallback_reason", "; ".join(decision.reasons)))
    return pairs + _gate_properties(record.gates)


def _gate_properties(gates: Mapping[str, GateResult]) -> list[tuple[str, str]]:
    return [
        (f"kycquant.{gate.gate}", " | ".join(check.describe() for check in gate.checks))
        for gate in gates.values()
    ]
