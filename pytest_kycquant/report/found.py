"""What a test sends with its report, whichever process it ran in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..bench.golden import Golden
from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..pipeline.record import PipelineRecord
from ..plain import from_plain, plain
from ..runtimes.environment import Environment
from ..spec.profiles import Profile
from ..spec.settings import Inconclusive, ShipBy
from .document import DataEntry, LimitEntry
from .run_entries import Shard


@dataclass(frozen=True)
class Origin:
    """The process and the machine that figures come from.

    Args:
        environment: fingerprint of the machine.
        exact: whether INT8 ran without saturation.
        worker: name of the process.
        reused: number of artefacts that this process has taken from the cache so far.
        built: number of artefacts that this process has built so far.
    """

    environment: Environment
    exact: bool
    worker: str
    reused: int
    built: int


@dataclass(frozen=True)
class GateFound:
    """The result for one requested precision of a gate.

    Args:
        key: digest that identifies the gate, see `bench.run.key_of`.
        gate: node id of its class or function.
        profile: the profile under which it was judged.
        profile_note: what that profile means for this gate, in one line.
        golden: the FP32 baseline.
        fp32: the row of FP32.
        shipment: what ships, and everything that was tried.
        paths: paths of the files of each variant, by label.
        tests: for each test of the gate, deselected ones included, the requested precision that it
            runs on, by node id; "" for a test that runs once.
        unjudged: names of the gates that no test of this run asks for.
        fallback: the first precision to try if one does not pass; None for none.
        ship_by: what decides among variants that pass.
        data: the images that were used, by their role.
        pictures: the images to show, as data URIs by name; empty unless they are asked for.
    """

    key: str
    gate: str
    profile: Profile
    profile_note: str
    golden: Golden
    fp32: VariantRecord
    shipment: Shipment
    paths: Mapping[str, tuple[str, ...]]
    tests: Mapping[str, str]
    unjudged: tuple[str, ...] = ()
    fallback: str | None = None
    ship_by: ShipBy = "product"
    data: Mapping[str, DataEntry] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Present:
    """The gates that pytest collected, whether or not any of their tests ran.

    Args:
        gates: name of the model and of the gate, by the digest that identifies the gate.
        whole: whether files were collected whole, not single tests of them.
        pipelines: node ids of the pipelines.
        shard: the part of the run that this is; None for a whole run.
    """

    gates: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    whole: bool = False
    pipelines: tuple[str, ...] = ()
    shard: Shard | None = None

    def has(self, name: str) -> bool:
        """Whether a gate or pipeline is to be judged here, not in another shard."""
        return self.shard is None or name in self.shard.gates

    def dump(self) -> str:
        """Serialize as text, which pytest-xdist can transfer."""
        return json.dumps(plain(self), allow_nan=False)

    @classmethod
    def load(cls, text: str) -> Present:
        """Read what `dump` wrote."""
        return from_plain(cls, json.loads(text))


@dataclass(frozen=True)
class Found:
    """What a test found: about a gate or about a pipeline.

    Args:
        origin: the process and the machine that the figures come from.
        inconclusive: what an undecided gate does to its test.
        gate: the result of a gate; None for a test of a pipeline.
        pipeline: the record of a pipeline; None for a test of a gate.
        limits: the limits that were judged.
        stage_waivers: for each waiver of a pipeline's stages, by its source, whether it is needed.
        members: node ids of the tests of a pipeline, deselected ones included.
    """

    origin: Origin
    inconclusive: Inconclusive
    gate: GateFound | None = None
    pipeline: PipelineRecord | None = None
    limits: tuple[LimitEntry, ...] = ()
    stage_waivers: Mapping[str, bool] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    @property
    def fallback(self) -> str:
        """Label of the variant that the gate fell back to; "" if there was no fallback."""
        shipment = self.gate.shipment if self.gate else None
        return shipment.record.variant if shipment and shipment.fell_back else ""

    def dump(self) -> str:
        """Serialize as text, which pytest-xdist can transfer."""
        return json.dumps(plain(self), allow_nan=False)

    @classmethod
    def load(cls, text: str) -> Found:
        """Read what `dump` wrote."""
        return from_plain(cls, json.loads(text))
