"""What a file of OpenVINO IR contains."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import ModelError, one_line
from ..runtimes.verified import copied
from .contents import Contents, remarks

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")
_WIDE = ("f32", "f64")
_HALF = ("f16", "bf16")
_THROUGH = ("Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize")


def read_ir(path: Path, sha256: str) -> Contents:
    """Read an ``.xml`` file with its weights.

    Raises:
        ModelError: it has changed since it was hashed, or OpenVINO cannot read it.
    """
    import openvino

    with copied(path, sha256) as copy:
        try:
            # Mapped weights would keep the copy open.
            model = openvino.Core().read_model(str(copy), config={"ENABLE_MMAP": "NO"})
        except Exception as error:
            raise ModelError(
                path, f"OpenVINO cannot read it ({one_line(error)})", "export it again"
            ) from error
    quantized: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    halves: Counter[str] = Counter()
    broken = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            broken += _broken(node)
        elif kind in _WEIGHTED:
            stored = _stored(node)
            (kept if stored in _WIDE else quantized)[kind] += 1
            halves[kind] += stored in _HALF
    return Contents(
        dict(sorted(quantized.items())),
        dict(sorted(kept.items())),
        tuple(broken),
        notes=remarks(kept, quantized, halves),
    )


def _stored(node: Any) -> str:
    """The type that weights are stored in or, on their way, rounded to; "f32" if unknown."""
    source = node.input_value(1).get_node()
    for _ in range(8):
        kind = source.get_type_name()
        if kind == "FakeQuantize":
            return "i8"
        if kind == "Constant":
            return str(source.get_element_type().get_type_name())
        if kind not in _THROUGH:
            break
        source = source.input_value(0).get_node()
    return "f32"


def _broken(node: Any) -> list[str]:
    import numpy as np

    if not node.get_element_type().is_real():
        return []
    # In FP32: numpy has no bfloat16.
    values = np.asarray(node.get_data(dtype=np.float32))
    return [] if np.isfinite(values).all() else [node.get_friendly_name()]
