"""What a model file of somebody else's contains: what is quantized, and whether it is damaged."""

from __future__ import annotations

import pkgutil
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..files import temporary_folder
from ..runtimes.formats import suffix_of
from ..runtimes.verified import read_verified
from ..spec.recipe import runtimes_of
from ..spec.runtime import RUNTIMES
from .constants import broken_constants
from .graph import WEIGHTED, initializers, producers
from .saturation import Exposure, exposure_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_HERE = "pytest_kycquant.quantize"

READERS: Mapping[str, str] = {
    ".onnx": f"{_HERE}.contents:read_onnx",
    ".ort": f"{_HERE}.contents:read_ort",
    ".tflite": f"{_HERE}.litert_contents:read_tflite",
    ".xml": f"{_HERE}.openvino_ir:read_ir",
    ".pt2": f"{_HERE}.torch_program:read_program",
}
"""What reads the contents of a file, as ``module:attribute``, by the suffix of its format."""

# Operators of onnxruntime and ONNX that compute with integers that the file stores.
_INTEGER = ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "MatMulBnb4",
            "QGemm", "QAttention", "QOrderedMatMul", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM",
            "GatherBlockQuantized")  # fmt: skip
_KINDS = re.compile(r"[A-Z]\w+")


@dataclass(frozen=True)
class Contents:
    """What a file contains.

    Args:
        quantized: number of operators that compute with integers, or whose weights are stored in
            fewer than 32 bits, by type.
        kept: number of operators with weights that are neither, by type.
        broken: names of weights and scales with NaN or Inf.
        exposure: exposure to saturation, where it is known.
        notes: remarks for readers of a report.
    """

    quantized: Mapping[str, int]
    kept: Mapping[str, int] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    exposure: Exposure = field(default_factory=Exposure)
    notes: tuple[str, ...] = ()


def contents(path: Path, sha256: str) -> Contents:
    """Read what a file contains.

    Args:
        path: the file.
        sha256: its digest, see `runtimes.formats.identify`.

    Raises:
        ModelError: it has changed since it was hashed, or cannot be read.
    """
    found: Contents = pkgutil.resolve_name(READERS[suffix_of(path)])(path, sha256)
    return found


def require_quantized(path: Path, found: Contents) -> None:
    """Refuse a float file where a quantized one was named.

    Raises:
        ModelError: nothing in it is quantized.
    """
    if not sum(found.quantized.values()):
        remedy = "give the quantized file"
        if any(suffix_of(path) in RUNTIMES[name].formats for name in runtimes_of("fp32")):
            remedy += '; to judge FP32 on another runtime, use Recipe("fp32", runtime=...)'
        raise ModelError(
            path,
            "is a float file: no operator computes with integers or stores its weights in fewer "
            "bits",
            remedy,
        )


def read_onnx(path: Path, sha256: str) -> Contents:
    """Read an ONNX file, with its external data."""
    from onnx import ModelProto

    proto = ModelProto.FromString(read_verified(path, sha256))
    quantized: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    halves: Counter[str] = Counter()
    for graph in _graphs(proto):
        floats, written = initializers(graph), producers(graph)
        for node in graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            if _is_quantized(node, floats, written):
                quantized[node.op_type] += 1
                halves[node.op_type] += _weight(node, floats, written) in _half_types()
            elif node.op_type in WEIGHTED:
                kept[node.op_type] += 1
    return Contents(
        dict(sorted(quantized.items())),
        dict(sorted(kept.items())),
        broken_constants(proto.graph),
        exposure_of(proto),
        remarks(kept, quantized, halves),
    )


def _graphs(proto: ModelProto) -> Iterator[GraphProto]:
    from ..runtimes.model_files import parts

    yield from (part for part in parts(proto) if hasattr(part, "initializer"))


def _is_quantized(
    node: NodeProto, stored: Mapping[str, Any], written: Mapping[str, NodeProto]
) -> bool:
    """Whether an operator computes with integers, or its weights are stored in fewer bits."""
    if node.op_type.startswith("QLinear") or node.op_type in _INTEGER:
        return True
    sources = [_source(name, written) for name in node.input if name]
    activations = [s for name, s in zip(node.input, sources, strict=False) if name not in stored]
    if node.op_type not in WEIGHTED:
        return bool(activations) and all(source == "DequantizeLinear" for source in activations)
    return _weight(node, stored, written) not in (None, *_wide_types())


def _weight(
    node: NodeProto, stored: Mapping[str, Any], written: Mapping[str, NodeProto]
) -> int | None:
    """The type in which the weights of an operator are stored; None if it has none."""
    if node.op_type not in WEIGHTED:
        return None
    for name in node.input[1:2]:
        tensor = stored.get(name) or stored.get(_stored(name, written))
        if tensor is not None:
            return int(tensor.data_type)
    return None


def _half_types() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT16, TensorProto.BFLOAT16


def _wide_types() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.DOUBLE


def _source(name: str, written: Mapping[str, NodeProto]) -> str:
    node = written.get(name)
    return node.op_type if node is not None else ""


def _stored(name: str, written: Mapping[str, NodeProto]) -> str:
    """The tensor that a weight is dequantized, cast or reshaped from."""
    seen = 0
    while name in written and written[name].input and seen < 8:
        node = written[name]
        if node.op_type not in ("Cast", "DequantizeLinear", "Identity", "Mul", "Reshape", "Sub",
                                "Transpose"):  # fmt: skip
            break
        name, seen = node.input[0], seen + 1
    return name


def remarks(
    kept: Mapping[str, int], quantized: Mapping[str, int], halves: Mapping[str, int]
) -> tuple[str, ...]:
    """Say how many operators with weights are in float, by type.

    Args:
        kept: number of those that are neither quantized nor stored in fewer bits, by type.
        quantized: number of those that are.
        halves: number of the quantized ones that only store their weights in floats of 16 bits.
    """
    total = {kind: kept.get(kind, 0) + quantized.get(kind, 0) for kind in {*kept, *quantized}}
    return (
        *(
            f"{number} of {total[kind]} {kind} are in float"
            for kind, number in sorted(kept.items())
        ),
        *(
            f"{number} of {total[kind]} {kind} store their weights in 16-bit floats"
            for kind, number in sorted(halves.items())
            if number
        ),
    )


def read_ort(path: Path, sha256: str) -> Contents:
    """Read which operators a file in ORT format has: their number is not known."""
    from .ort_format import operators_of

    with temporary_folder() as folder:
        copy = folder / path.name
        copy.write_bytes(read_verified(path, sha256))
        try:
            kinds = set(_KINDS.findall(operators_of(copy)))
        except ModelError as error:
            raise ModelError(path, error.problem, error.remedy) from error
    integer = [kind for kind in sorted(kinds) if kind.startswith("QLinear") or kind in _INTEGER]
    stored = sorted(kinds & {"DequantizeLinear"})
    note = "a file in ORT format says which operators it has, but not how many, nor their weights"
    return Contents(dict.fromkeys(integer or stored, 1), notes=(note,))
