"""What the tests of a run reported, merged over all workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..bench.golden import Golden
from ..bench.records import VariantRecord
from ..bench.shipping import Shipment, to_ship
from ..pipeline.record import PipelineRecord
from ..runtimes.environment import Environment
from ..runtimes.ort import EXACT_ENTRY
from ..spec.profiles import Profile
from ..verdicts import Verdict
from .found import Found, GateFound


@dataclass
class GatedModel:
    """The findings about one model under one set of precisions and limits.

    Args:
        model: name of the model.
        name: node id of the gate's class or function; if several share it, the first in order.
        variants: records by label.
        shipments: what ships, by requested precision.
        paths: paths of the files of each variant, by label.
        golden: the FP32 baseline.
        rejected: labels of the variants on which a test failed, including the user's own tests.
        profile: the profile under which the model was judged.
        profile_note: what that profile means for this gate, in one line.
    """

    model: str
    name: str
    variants: dict[str, VariantRecord] = field(default_factory=dict)
    shipments: dict[str, Shipment] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    golden: Golden | None = None
    rejected: set[str] = field(default_factory=set)
    profile: Profile = "standard"
    profile_note: str = ""

    def rows(self) -> list[VariantRecord]:
        """FP32 first, as the reference; then the others, worst first, then largest first."""
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
        return sorted(
            self.variants.values(),
            key=lambda r: (r.variant != "fp32", order.index(r.verdict), -r.size, r.variant),
        )

    @property
    def ship(self) -> VariantRecord | None:
        """The variant to ship; see `bench.shipping`."""
        return to_ship(self.variants.values(), self.rejected, self.profile)


@dataclass
class Collected:
    """Everything that tests sent with their reports; what arrives twice is merged.

    Args:
        environment: fingerprint of the machine that ran the gates; None before any gate ran.
        by_key: gates by the digest that identifies them.
        exact: whether INT8 ran without saturation.
        cache: numbers of artefacts reused and built, by worker.
        pipelines: records of whole pipelines, by the node id of their gates.
    """

    environment: Environment | None = None
    exact: bool = False
    by_key: dict[str, GatedModel] = field(default_factory=dict)
    cache: dict[str, tuple[int, int]] = field(default_factory=dict)
    pipelines: dict[str, PipelineRecord] = field(default_factory=dict)

    def add(self, found: Found, *, failed: bool = False) -> None:
        """Merge what one test found.

        Args:
            found: what the test sent with its report.
            failed: whether the test failed.
        """
        origin = found.origin
        self.environment, self.exact = origin.environment, origin.exact
        self.cache[origin.worker] = (origin.reused, origin.built)
        if found.pipeline is not None:
            self.pipelines[found.pipeline.gate] = found.pipeline
        if found.gate is not None:
            self._add(found.gate, failed)

    def _add(self, found: GateFound, failed: bool) -> None:
        shipment = found.shipment
        gate = self.by_key.setdefault(found.key, GatedModel(found.fp32.model, found.gate))
        gate.name = min(gate.name, found.gate)  # the same, whichever worker reports first
        gate.variants |= {record.variant: record for record in (found.fp32, *shipment.tried)}
        gate.shipments[shipment.requested] = shipment
        gate.paths |= found.paths
        gate.golden = found.golden
        gate.profile, gate.profile_note = found.profile, found.profile_note
        if failed:
            gate.rejected.add(shipment.record.variant)

    @property
    def gates(self) -> list[GatedModel]:
        """All gates, by model and name."""
        return sorted(self.by_key.values(), key=lambda gate: (gate.model, gate.name))

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
