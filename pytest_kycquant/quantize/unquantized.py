"""How many weights a recipe left in float32, and why: otherwise only the size of the file tells."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..runtimes.model_files import within
from .graph import WEIGHTED
from .weight_sources import weights_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from onnx import GraphProto, ModelProto

    from .recipe_kind import Request
    from .weight_sources import Weight

_WORTH_SAYING = 0.01  # of the weights of a model


def unquantized(request: Request, made: ModelProto) -> tuple[str, ...]:
    """Note the weights that are still float32 although no recipe asked for that.

    Args:
        request: the resolved recipe; one that stores its weights in integers.
        made: its result.
    """
    source = request.source.proto
    sizes = Counter(_sizes([source.graph]))
    left = set(_sizes([made.graph]))
    for name, size in _sizes(itertools.islice(within(source.graph), 1, None)).items():
        if name not in sizes:
            sizes[name] = size  # of a subgraph, which no recipe that stores integers changes
            left.add(name)
    total = 0
    seen: set[str] = set()
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for weight in weights_of(source):
        names = _names(weight, sizes.keys() - seen)
        seen |= names
        total += sum(sizes[name] for name in names)
        kept = sum(sizes[name] for name in names & left)
        if kept and weight.node.name not in request.excluded:
            kind = weight.node.op_type
            label = weight.node.name or weight.name
            found[kind, _reason(request, weight, names & left)][label] += kept
    for node in source.graph.node:  # a table, such as the embeddings of tokens
        table = node.input[0] if node.op_type == "Gather" else ""
        if table in sizes and table not in seen:
            seen.add(table)
            total += sizes[table]
            if table in left:
                found[node.op_type, "no recipe quantizes this type"][node.name or table] += sizes[
                    table
                ]
    return tuple(_sentences(found, total))


def _sizes(parts: Iterable[GraphProto]) -> Counter[str]:
    """Number of values of each float32 initializer; those of one name count together."""
    from onnx import TensorProto

    found: Counter[str] = Counter()
    for part in parts:
        for tensor in part.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                found[tensor.name] += math.prod(tensor.dims)
    return found


def _names(weight: Weight, stored: Collection[str]) -> set[str]:
    """Stored float32 tensors that a weight comes from."""
    if not weight.certain:
        return set()
    return {each.name for each in weight.sources if each.rows is None and each.name in stored}


def _reason(request: Request, weight: Weight, names: set[str]) -> str:
    kind = weight.node.op_type
    if weight.scope.parent is not None:
        return "within a subgraph (If, Loop, Scan)"
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
