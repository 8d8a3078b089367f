"""What a test sends along with its report, from whatever process it ran in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..bench.golden import Golden
from ..bench.records import VariantRecord
from ..bench.shipping import Shipment
from ..pipeline.record import PipelineRecord
from ..plain import from_plain, plain
from ..runtimes.environment import Environment
from ..spec.profiles import Profile


@dataclass(frozen=True)
class Origin:
    """Where figures come from.

    Args:
        environment: fingerprint of the machine.
        exact: whether INT8 ran without saturation.
        worker: name of the process.
        reused: number of artefacts that this process took from the cache so far.
        built: number of artefacts that it built so far.
    """

    environment: Environment
    exact: bool
    worker: str
    reused: int
    built: int


@dataclass(frozen=True)
class GateFound:
    """What one requested precision of a gate came to.

    Args:
        key: digest of what the gate asks for.
        gate: node id of its class or function.
        profile: under which it was judged.
        profile_note: what that means for it, in a line.
        golden: the FP32 baseline.
        fp32: the row of FP32.
        shipment: what ships, and everything that was tried.
        paths: where the files of each variant lie, by label.
    """

    key: str
    gate: str
    profile: Profile
    profile_note: str
    golden: Golden
    fp32: VariantRecord
    shipment: Shipment
    paths: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Found:
    """What a test found: about a gate or about a pipeline.

    Args:
        origin: where the figures come from.
        gate: of a test of a gate.
        pipeline: of a test of a pipeline.
    """

    origin: Origin
    gate: GateFound | None = None
    pipeline: PipelineRecord | None = None

    @property
    def fallback(self) -> str:
        """Label of the variant that the gate fell back on; "" if it did not."""
        shipment = self.gate.shipment if self.gate else None
        return shipment.record.variant if shipment and shipment.fell_back else ""

    def dump(self) -> str:
        """Text that survives pytest-xdist."""
        return json.dumps(plain(self), allow_nan=False)

    @classmethod
    def load(cls, text: str) -> Found:
        """Inverse of `dump`."""
        return from_plain(cls, json.loads(text))
