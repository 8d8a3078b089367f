"""What a ``.tflite`` file of somebody else's contains."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..runtimes.trial import examine
from ..runtimes.verified import read_verified
from .contents import Contents, remarks
from .litert_file import LiteRtFile, broken_values, float_operators, half_counts, quantized_counts

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def read_tflite(path: Path, sha256: str) -> Contents:
    """Read a ``.tflite`` file.

    Raises:
        ModelError: it has changed since it was hashed, or LiteRT refuses it.
    """
    content = read_verified(path, sha256)
    examine(content, path)  # a damaged file may keep whoever reads it busy for ever
    file = LiteRtFile(content, path)
    quantized = quantized_counts(file)
    all_of_them = Counter(op.kind for graph in file.graphs for op in graph.operators)
    kept = {
        kind: all_of_them[kind] - quantized.get(kind, 0)
        for kind in _WEIGHTED
        if all_of_them[kind] > quantized.get(kind, 0)
    }
    floats = len(float_operators(file))
    notes = remarks(kept, quantized, half_counts(file))
    if quantized and floats:
        notes += (f"{floats} operators have floats as inputs or outputs",)
    return Contents(quantized, kept, broken_values(file), notes=notes)
