"""What ships: for one requested precision, and among all variants of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..spec.profiles import Profile
from ..spec.settings import ShipBy
from ..verdicts import Check, Verdict
from .records import VariantRecord

NO_FALLBACK = (
    "no fallback was tried, because this data cannot decide even for FP32 compared with itself"
)


@dataclass(frozen=True)
class Shipment:
    """What to ship for one requested precision.

    Args:
        requested: label of the precision that the gate file asked for.
        record: the variant that the gates are asserted on, and that would ship.
        reasons: why that variant is not the requested one; empty if it is.
        tried: every variant that was judged on the way, the requested one first.
        searches: attempts of the mixed-precision search, for the report.
        undecidable: a figure that the data cannot decide even for FP32 compared with itself, for
            which nothing else was tried; None if there is none.
    """

    requested: str
    record: VariantRecord
    reasons: tuple[str, ...]
    tried: tuple[VariantRecord, ...]
    searches: tuple[Mapping[str, Any], ...] = ()
    undecidable: Check | None = None

    @property
    def note(self) -> str:
        """Why nothing else was tried; "" if that needs no explanation."""
        return f"{NO_FALLBACK}: {self.undecidable.describe()}" if self.undecidable else ""

    @property
    def other_reasons(self) -> list[str]:
        """Those of the reasons that the gates of the variants that were tried do not give."""
        given = {reason for record in self.tried for reason in objections_of(record)}
        return [reason for reason in self.reasons if reason not in given]

    @property
    def fell_back(self) -> bool:
        """Whether another variant ships than the requested one."""
        return bool(self.reasons)


def objections_of(record: VariantRecord) -> Iterator[str]:
    """Describe each gate that keeps a variant from shipping."""
    for gate in record.failed:
        yield f"{record.variant} does not pass {gate.gate}: {gate.worst_check().describe()}"


def to_ship(
    records: Iterable[VariantRecord],
    rejected: Collection[str] = (),
    profile: Profile = "standard",
    ship_by: ShipBy = "product",
) -> VariantRecord | None:
    """The best variant that passes everything, on whichever runtime; None if not even FP32 does.

    The smoke profile clears nothing, so the answer is None there, too.

    By default, the chosen variant has the smallest product of size and latency, each relative to
    FP32; where latency is not measured, the smallest size. One whose latency is undecided ships
    only if no decided one does. FP32 comes last. Just before it come variants that save no space,
    such as FP32 after exact rewrites, unless latency alone decides. Of two variants that tie, the
    larger one ships.

    Args:
        records: the variants of one model, including FP32.
        rejected: labels of the variants on which a test failed, including the user's own tests.
        profile: the profile under which the variants were judged.
        ship_by: what is smallest: the "product", "latency" (then the product) or "size" (likewise).
    """
    if profile == "smoke":
        return None
    return min(
        (r for r in records if r.ships and r.variant not in rejected),
        key=lambda r: (
            r.variant == "fp32",
            r.is_float and ship_by != "latency",
            r.verdict is not Verdict.PASS,
            *_costs(r, ship_by),
            -r.size,
            r.variant,
        ),
        default=None,
    )


def _costs(record: VariantRecord, ship_by: ShipBy) -> tuple[float, ...]:
    latency = record.latency_ratio or 1.0
    product = record.size_ratio * latency
    first = {"product": product, "latency": latency, "size": record.size_ratio}[ship_by]
    return first, product
