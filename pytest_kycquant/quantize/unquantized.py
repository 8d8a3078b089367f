"""How many weights a recipe left in float32, and why: otherwise only the size of the file tells."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from .graph import WEIGHTED, initializers
from .weight_sources import weights_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from onnx import ModelProto

    from .recipe_kind import Request
    from .weight_sources import Weight

_WORTH_SAYING = 0.01  # of the weights of a model


def unquantized(request: Request, made: ModelProto) -> tuple[str, ...]:
    """Note the weights that are still float32 although no recipe asked for that.

    Args:
        request: the resolved recipe; one that stores its weights in integers.
        made: its result.
    """
    from onnx import TensorProto

    source = request.source.proto
    floats = TensorProto.FLOAT
    stored = {n: t for n, t in initializers(source.graph).items() if t.data_type == floats}
    left = {n for n, t in initializers(made.graph).items() if t.data_type == floats}
    total = 0
    seen: set[str] = set()
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for weight in weights_of(source):
        names = _names(weight, stored.keys() - seen)
        seen |= names
        size = sum(math.prod(stored[name].dims) for name in names)
        total += size
        kept = sum(math.prod(stored[name].dims) for name in names & left)
        if kept and weight.node.name not in request.excluded:
            kind = weight.node.op_type
            found[kind, _reason(request, weight, names & left)][weight.node.name] += kept
    return tuple(_sentences(found, total))


def _names(weight: Weight, stored: Collection[str]) -> set[str]:
    """Stored float32 tensors that a weight comes from."""
    if not weight.certain:
        return set()
    return {each.name for each in weight.sources if each.rows is None and each.name in stored}


def _reason(request: Request, weight: Weight, names: set[str]) -> str:
    kind = weight.node.op_type
    if weight.scope.parent is not None:
        return "within a subgraph (If, Loop)"
    if kind not in request.op_types:
        if request.recipe.op_types:
            return "op_types does not name the type"
        return f"{request.recipe.precision} does not quantize the type"
    if kind in WEIGHTED and not names & {*weight.node.input}:
        return "the weights are computed in the graph; export the model with constants folded"
    return "onnxruntime's quantizer does not take weights of this form"


def _sentences(found: dict[tuple[str, str], Counter[str]], total: int) -> Iterator[str]:
    for (kind, reason), sizes in sorted(found.items()):
        count = sizes.total()
        if count < _WORTH_SAYING * total:
            continue
        was = "was" if len(sizes) == 1 else "were"
        yield (
            f"{len(sizes)} {kind} with {count:,} of {total:,} weights {was} not quantized: {reason}"
        )
