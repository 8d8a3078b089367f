"""What the tests of a run reported, merged over all workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..bench.golden import Golden
from ..bench.records import VariantRecord
from ..bench.shipping import Shipment, to_ship
from ..pipeline.record import PipelineRecord
from ..results import GateResult
from ..runtimes.environment import Environment
from ..runtimes.ort import EXACT_ENTRY
from ..spec.profiles import Profile
from ..spec.settings import Inconclusive, ShipBy
from ..verdicts import Verdict
from .document import DataEntry, LimitEntry, Overall
from .found import Found, GateFound, Present
from .outcomes import Outcomes
from .run_entries import Commit, Part


@dataclass
class GatedModel:
    """The findings about one model under one set of precisions and limits.

    Args:
        model: name of the model.
        name: node id of the gate's class or function; if several share it, the first in order.
        outcomes: what became of the tests of the run.
        variants: records by label.
        shipments: what ships, by requested precision.
        paths: paths of the files of each variant, by label.
        golden: the FP32 baseline.
        tests: the tests of the gate, with the precision that each runs on (see `GateFound`).
        unjudged: names of the gates that no test of the run asks for.
        inconclusive: what an undecided gate does to its test.
        fallback: the first precision to try if one does not pass; None for none.
        profile: the profile under which the model was judged.
        profile_note: what that profile means for this gate, in one line.
        ship_by: what decides among variants that pass.
        limits: the limits that were judged.
        data: the images that were used, by their role.
        pictures: the images to show, as data URIs by name.
        together: the variant that holds together with those of a pipeline's other stages, and the
            name of that pipeline; None if no pipeline needs another variant than what ships alone.
        missing: what the run lacks as a whole, such as the report of a shard; "" for nothing.
    """

    model: str
    name: str
    outcomes: Outcomes = field(default_factory=Outcomes)
    variants: dict[str, VariantRecord] = field(default_factory=dict)
    shipments: dict[str, Shipment] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    golden: Golden | None = None
    tests: dict[str, str] = field(default_factory=dict)
    unjudged: tuple[str, ...] = ()
    inconclusive: Inconclusive = "fail"
    fallback: str | None = None
    profile: Profile = "standard"
    profile_note: str = ""
    ship_by: ShipBy = "product"
    limits: tuple[LimitEntry, ...] = ()
    data: Mapping[str, DataEntry] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    together: tuple[str, str] | None = None
    missing: str = ""

    def rows(self) -> list[VariantRecord]:
        """FP32 first, as the reference; then the others, worst first, then largest first."""
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED, Verdict.PASS]
        return sorted(
            self.variants.values(),
            key=lambda r: (r.variant != "fp32", order.index(r.verdict), -r.size, r.variant),
        )

    @property
    def incomplete(self) -> str:
        """Why this run cannot decide what ships; "" if every test of the gate was run."""
        if missing := self.outcomes.unfinished(self.tests):
            number = f"{len(missing)} of {len(self.tests)} tests"
            return f"{number} of this gate did not run to the end, such as {missing[0]}"
        if self.outcomes.uncollected:
            return f"{self.outcomes.uncollected[0] or 'something'} could not be collected"
        if foreign := [test for test in self.outcomes.torn if test not in self.tests]:
            return f"a teardown failed after {foreign[0]}, perhaps that of a fixture of this gate"
        if self.unjudged:
            return f"nothing was judged by {', '.join(self.unjudged)}"
        return self.missing

    @property
    def rejected(self) -> dict[str, str]:
        """The variants that a test did not clear, each with that test and its outcome.

        A test without a precision, such as one about the golden, concerns all variants. A failed
        teardown concerns all but FP32: pytest shows that of a fixture which several precisions
        share on the test that ran last.
        """
        found: dict[str, str] = {}
        for test, requested in sorted(self.tests.items()):
            if not (objection := self.outcomes.objection(test)):
                continue
            shipment = self.shipments.get(requested)
            concerned = {shipment.record.variant} if shipment else set()
            if not requested:
                concerned = set(self.variants)
            elif test in self.outcomes.torn:
                concerned = set(self.variants) - {"fp32"}
            for variant in sorted(concerned):
                found.setdefault(variant, f"{test} {objection}")
        return found

    @property
    def ship(self) -> VariantRecord | None:
        """The variant to ship; see `bench.shipping`. None if this run is not complete."""
        if self.incomplete:
            return None
        best = to_ship(self.variants.values(), self.rejected, self.profile, self.ship_by)
        if self.together is None or best is None:
            return best
        chosen = self.variants.get(self.together[0])
        fits = chosen is not None and chosen.ships and chosen.variant not in self.rejected
        return chosen if fits else best

    @property
    def not_judged(self) -> list[str]:
        """The precisions that tests ask for and that have no verdict: nobody knows what they are.

        Their tests did not run, were skipped, or ended in an error of a fixture.
        """
        asked = dict.fromkeys(requested for requested in self.tests.values() if requested)
        return [requested for requested in asked if requested not in self.shipments]

    def unanswered(self) -> Iterator[str]:
        """Describe each verdict that lets nothing ship although no test needs to fail for it."""
        for _, shipment in sorted(self.shipments.items()):
            record = shipment.record
            for gate in _unanswered(record.gates, self.inconclusive):
                yield f"{self.model} as {record.variant}: {gate}"


@dataclass
class Collected:
    """Everything that tests sent with their reports; what arrives twice is merged.

    Args:
        environment: fingerprint of the machine that ran the gates; None before any gate ran.
        by_key: gates by the digest that identifies them.
        exact: whether INT8 ran without saturation.
        cache: numbers of artefacts reused and built, by worker.
        pipelines: records of whole pipelines, by the node id of their gates.
        policies: what an undecided gate of a pipeline does to its test, by the same node id.
        outcomes: what became of the tests of gates.
        broken: errors of gates that could not be judged, by the name of the gate.
        present: the gates that pytest collected.
        limits: the limits of pipelines, by the same node id.
        errors: messages of the tests of gates that failed, by node id.
        seconds: how long each test of a gate took, by node id.
        started: when the run began, UTC, ISO 8601.
        commit: the commit that is judged, if it is known.
        root: pytest's rootdir, from which node ids name files.
        stage_waivers: for each waiver of a pipeline's stages, by its source, whether it is needed.
        members: node ids of the tests of pipelines, by the node id of their gates.
        finished: when the run ended; "" for now.
        parts: the reports of earlier runs that were united; empty for one run.
        missing: the reports that should have been united, too.
        no_golden: the golden that does not exist, by the name of the gate that needs it.
        reasons: what is wrong and what to do, of some of the errors in `broken`, by the same name.
    """

    environment: Environment | None = None
    exact: bool = False
    by_key: dict[str, GatedModel] = field(default_factory=dict)
    cache: dict[str, tuple[int, int]] = field(default_factory=dict)
    pipelines: dict[str, PipelineRecord] = field(default_factory=dict)
    policies: dict[str, Inconclusive] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    broken: dict[str, str] = field(default_factory=dict)
    present: Present = field(default_factory=Present)
    limits: dict[str, tuple[LimitEntry, ...]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    started: str = ""
    commit: Commit | None = None
    root: Path = Path()
    stage_waivers: dict[str, bool] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    finished: str = ""
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    no_golden: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, found: Found) -> None:
        """Merge what one test found."""
        origin = found.origin
        self.environment, self.exact = origin.environment, origin.exact
        self.cache[origin.worker] = (origin.reused, origin.built)
        self.stage_waivers |= found.stage_waivers
        if found.pipeline is not None:
            self.pipelines[found.pipeline.gate] = found.pipeline
            self.policies[found.pipeline.gate] = found.inconclusive
            self.limits[found.pipeline.gate] = found.limits
            self.members[found.pipeline.gate] = found.members
        if found.gate is not None:
            self._add(found.gate, found.inconclusive, found.limits)

    def _add(
        self, found: GateFound, inconclusive: Inconclusive, limits: tuple[LimitEntry, ...]
    ) -> None:
        shipment = found.shipment
        fresh = GatedModel(found.fp32.model, found.gate, self.outcomes)
        gate = self.by_key.setdefault(found.key, fresh)
        gate.name = min(gate.name, found.gate)  # the same, whichever worker reports first
        gate.variants |= {record.variant: record for record in (found.fp32, *shipment.tried)}
        gate.shipments[shipment.requested] = shipment
        gate.paths |= found.paths
        gate.golden = found.golden
        gate.tests |= found.tests
        gate.unjudged, gate.inconclusive = found.unjudged, inconclusive
        gate.fallback, gate.ship_by = found.fallback, found.ship_by
        gate.profile, gate.profile_note = found.profile, found.profile_note
        gate.limits, gate.data = limits, found.data
        gate.pictures |= found.pictures

    @property
    def gates(self) -> list[GatedModel]:
        """All gates, by model and name."""
        for _, record in sorted(self.pipelines.items(), reverse=True):  # the first one wins
            for stage, variant in _combined(record).items():
                if gate := self.by_key.get(record.models[stage]):
                    gate.together = variant, record.gate
        ordered = sorted(
            self.by_key.items(), key=lambda item: (item[1].model, item[1].name, item[0])
        )
        return [gate for _, gate in ordered]

    def unanswered(self) -> list[str]:
        """Describe the verdicts that must not end in a green run.

        If no test fails, each of them was judged for a test that looks at something else or that
        was expected to fail.
        """
        lines = [line for gate in self.gates for line in gate.unanswered()]
        for name, record in sorted(self.pipelines.items()):
            lines += [f"{name}: {g}" for g in _unanswered(record.gates, self.policies[name])]
            lines += [f"{name}: {text}" for text in self.misfits(record)]
        lines += [f"{name} was not judged: {error}" for name, error in sorted(self.broken.items())]
        return lines

    def misfits(self, record: PipelineRecord) -> Iterator[str]:
        """Describe each stage of a pipeline that ran a variant which does not ship.

        What ships also depends on the user's own tests, known only at the end of the run.
        """
        for stage, key in record.models.items():
            gate, ran = self.by_key.get(key), record.shipped.variants[stage]
            if gate and ran in gate.rejected:
                instead = gate.ship.variant if gate.ship else "nothing"
                yield f"{stage} ran {ran}, but {gate.rejected[ran]}: {instead} would ship"
                continue
            ship = gate.ship.variant if gate and gate.ship else ran
            if gate and ship != ran:
                other = gate.together
                why = f": {other[1]} holds with nothing else" if other else ""
                yield f"{stage} ran {ran}, but {ship} ships{why}"

    @property
    def is_empty(self) -> bool:
        """Whether no gate was judged, nor tried."""
        return not (self.by_key or self.pipelines or self.broken)

    @property
    def verdict(self) -> Overall:
        """The verdict of the whole run; see `document.Overall`."""
        gates = self.gates
        if self.broken or self.outcomes.uncollected:
            return "ERROR"
        decided = [each.record.verdict for gate in gates for each in gate.shipments.values()]
        decided += [record.verdict for record in self.pipelines.values()]
        failed = {test for gate in gates for test in gate.tests if self.outcomes.failed(test)}
        failed |= set(self.errors)
        if Verdict.FAIL in decided or any(not self.outcomes.undecided(test) for test in failed):
            return "FAIL"
        if failed or self.unanswered():
            return "INCONCLUSIVE" if Verdict.INCONCLUSIVE in decided else "FAIL"
        missing = self.is_empty or self.problems() or any(gate.incomplete for gate in gates)
        if missing or self.present.shard is not None:
            return "INCOMPLETE"
        if any(gate.profile == "smoke" for gate in gates):
            return "SMOKE"
        return "WAIVED" if Verdict.WAIVED in decided else "PASS"

    def waived(self, source: str) -> set[tuple[str, bool]]:
        """The gate classes whose results carry a waiver, each with whether they need it.

        Args:
            source: the file of the waiver and the entry in it.
        """
        judged = [
            (gate.name, result)
            for gate in self.gates
            for record in gate.variants.values()
            for result in record.gates.values()
        ]
        judged += [(name, r) for name, p in self.pipelines.items() for r in p.gates.values()]
        found = {
            (name, result.found is not Verdict.PASS)
            for name, result in judged
            if result.waiver is not None and result.waiver.source == source
        }
        if not found and source in self.stage_waivers:  # gates that were not collected themselves
            found.add(("", self.stage_waivers[source]))
        return found

    @property
    def is_whole(self) -> bool:
        """Whether every gate that was collected was judged, by all of its tests."""
        return not self.broken and not any(gate.incomplete for gate in self.gates)

    def problems(self) -> list[str]:
        """Describe what was collected but has no verdict, and why."""
        lines = list(self.missing)
        lines += [f"{name} was not judged: {error}" for name, error in sorted(self.broken.items())]
        lines += [f"{name or 'something'} was not collected" for name in self.outcomes.uncollected]
        silent = {name for _, name in self.models().values()} - set(self.broken)
        if not any(gate.profile == "smoke" for gate in self.gates):  # it judges no pipelines
            silent |= set(self.present.pipelines) - set(self.broken)
        silent -= {gate.name for gate in self.gates} | set(self.pipelines)
        here = filter(self.present.has, sorted(silent))
        lines += [f"{name} was not judged in this run" for name in here]
        for name, tests in sorted(self.members.items()):
            if left := self.outcomes.unfinished(tests):
                number = f"{len(left)} of {len(tests)} tests"
                lines.append(f"{number} of {name} did not run to the end, such as {left[0]}")
        return lines

    def models(self) -> dict[str, tuple[str, str]]:
        """Name of the model and of the gate, of all gates that were collected, by their digest."""
        judged = {key: (gate.model, gate.name) for key, gate in self.by_key.items()}
        return {**self.present.gates, **judged}

    def gone(self, name: str) -> bool:
        """Whether a gate of an earlier run does not exist any more in a file that was collected.

        A file that does not exist here may be one of another project.
        """
        names = {gate for _, gate in self.models().values()}
        file = name.partition("::")[0]
        collected = self.present.whole and file in {gate.partition("::")[0] for gate in names}
        return name not in names and collected

    @property
    def built(self) -> int:
        """Number of artefacts built in this run; 0 if everything came from the cache."""
        return sum(built for _, built in self.cache.values())

    @property
    def reused(self) -> int:
        """Number of artefacts taken from the cache; each worker that takes one counts it."""
        return sum(reused for reused, _ in self.cache.values())

    @property
    def session_config(self) -> dict[str, str]:
        """Entries of onnxruntime's session configuration that verdicts depend on."""
        return dict([EXACT_ENTRY]) if self.exact else {}


def _combined(record: PipelineRecord) -> dict[str, str]:
    """The variants of a combination, of those stages that would ship another alone."""
    if record.search is None:
        return {}
    alone: Mapping[str, str] = record.search["alone"]
    return {
        stage: variant
        for stage, variant in record.search["variants"].items()
        if variant != alone[stage]
    }


def _unanswered(gates: Mapping[str, GateResult], inconclusive: Inconclusive) -> Iterator[str]:
    """Describe the results that must fail a test; an undecided one may be allowed."""
    for gate in gates.values():
        undecided = gate.verdict is Verdict.INCONCLUSIVE
        if gate.verdict is Verdict.WAIVED:
            continue
        if not gate.ships and not (undecided and inconclusive != "fail"):
            yield f"{gate.verdict.value} {gate.gate}, {gate.worst_check().describe()}"
