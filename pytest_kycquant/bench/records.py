"""The findings about a variant: a row of the table, as a plain record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..curves import Curves
from ..results import GateResult, GroupIncrease
from ..runtimes import Deployment
from ..spec.recipe import UNQUANTIZED
from ..verdicts import Verdict
from .file_ports import FilePorts


@dataclass(frozen=True)
class VariantRecord:
    """A variant and everything that is known about it: a row of the table.

    Args:
        model: name of the model.
        variant: label, such as "int8" or "int8>mixed".
        sha256: digest of the file, or of the digests of several.
        size: file size in bytes, of all files together.
        size_ratio: size relative to FP32.
        options: the recipe as finally used, with the reason for each choice.
        gates: results by gate, in the order in which they were judged.
        figures: further figures for reports (drift, wall latency).
        notes: caveats that change what a reader would do.
        shown: further columns of the table, as cell by header.
        files: digest of each file, by the name of the FP32 file that it replaces.
        companions: text of files that production needs beside each file, by the name of the FP32
            file and by their endings.
        ports: inputs and outputs of each file, by the name of the FP32 file; without those of ONNX
            files on onnxruntime that are fed as FP32 is.
        preprocess: how pixels become what FP32 takes, or what the file takes where a
            `Prequantized` declares another, by the name of the FP32 file; without functions of the
            user's.
        groups: error rates of each group of people, if the data names groups.
        runtime: the runtime that it was judged on; None for a record that no gate has made.
        curves: what plots show; None unless a report is wanted that shows them.
        remarks: what else is worth knowing, such as what stays in FP32 and why.
    """

    model: str
    variant: str
    sha256: str
    size: int
    size_ratio: float
    options: Mapping[str, Any]
    gates: Mapping[str, GateResult]
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[GroupIncrease, ...] = ()
    runtime: Deployment | None = None
    companions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ports: Mapping[str, FilePorts] = field(default_factory=dict)
    preprocess: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Curves | None = None
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the gates that were judged; INCONCLUSIVE if there are none."""
        return Verdict.worst([gate.verdict for gate in self.gates.values()])

    @property
    def ships(self) -> bool:
        """Whether the gates let this variant ship. An undecided latency does not prevent it."""
        return bool(self.gates) and not self.failed

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that keep this variant from shipping."""
        return tuple(gate for gate in self.gates.values() if not gate.ships)

    @property
    def latency_ratio(self) -> float | None:
        """Latency relative to FP32; None for FP32 itself."""
        gate = self.gates.get("latency")
        return gate.checks[0].value if gate and self.variant != "fp32" else None

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized: FP32, as it is, after rewrites or on another runtime."""
        return self.variant == "fp32" or self.options.get("precision") in UNQUANTIZED

    @property
    def is_integer(self) -> bool:
        """Whether operators are computed in integers, so that they may saturate."""
        return "reduce_range" in self.options
