"""What an exported program of torch contains: what is quantized, and whether it is damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..runtimes import library
from ..runtimes.torch import load_program
from ..runtimes.verified import read_verified
from ..spec.runtime import Runtime
from .contents import Contents, remarks

# Operators with weights, by the place of the weight among their inputs.
_WEIGHTED = {
    "conv1d": 1, "conv2d": 1, "conv3d": 1, "conv_transpose2d": 1, "convolution": 1, "linear": 1,
    "addmm": 2, "mm": 1, "matmul": 1, "bmm": 1, "embedding": 0,
}  # fmt: skip
# Namespaces whose operators compute with integers, and parts of the names of others that do.
_INTEGER = ("quantized", "onednn", "torchao")
_PACKED = ("int4pack", "int8pack", "int_mm", "choose_qparams")
_MOST = 8  # operators between a weight as it is stored and its use


def read_program(path: Path, sha256: str) -> Contents:
    """Read a ``.pt2`` file.

    Raises:
        RuntimeUnavailableError: torch is not installed.
        ModelError: it has changed since it was hashed, or is not an exported program.
    """
    library(Runtime("torch"))
    import torch

    program = load_program(read_verified(path, sha256), path)
    signature = program.graph_signature
    state = {
        *signature.inputs_to_parameters,
        *signature.inputs_to_buffers,
        *signature.inputs_to_lifted_tensor_constants,
    }
    quantized: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    halves: Counter[str] = Counter()
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        space, kind = _split(node.target)
        if space in _INTEGER or any(part in kind for part in _PACKED):
            quantized[kind] += 1
        elif kind in _WEIGHTED and len(node.args) > _WEIGHTED[kind]:
            stored = _stored(node.args[_WEIGHTED[kind]], state)
            if stored is None:
                continue
            (kept if stored in (torch.float32, torch.float64) else quantized)[kind] += 1
            halves[kind] += stored in (torch.float16, torch.bfloat16)
    broken = [
        name
        for name, tensor in program.state_dict.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    return Contents(
        dict(sorted(quantized.items())),
        dict(sorted(kept.items())),
        tuple(sorted(broken)),
        notes=remarks(kept, quantized, halves),
    )


def _split(target: Any) -> tuple[str, str]:
    """Namespace and name of an operator."""
    space, _, rest = str(target).partition(".")
    return space, rest.partition(".")[0]


def _stored(node: Any, state: set[str]) -> Any:
    """The type of the tensor that a weight is made of; None for an activation."""
    for _ in range(_MOST):
        if getattr(node, "op", "") == "placeholder":
            return node.meta["val"].dtype if node.name in state else None
        if getattr(node, "op", "") != "call_function" or not node.args:
            return None
        node = node.args[0]
    return None
