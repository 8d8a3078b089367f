"""Blocks of a graph: operators with weights, each with the arithmetic that belongs to it.

A convolution and its activation form one block: a kernel may fuse them, and keeping only one of
them in FP32 would put a rounding between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .search import Block

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import GraphProto

_ACTIVATIONS = frozenset(
    ("Add", "Clip", "Div", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min",
     "Mish", "Mul", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Sub", "Tanh")
)  # fmt: skip


def blocks_of(
    graph: GraphProto, operators: Collection[str], others: Collection[str]
) -> tuple[Block, ...]:
    """Find the block of each operator: itself and the elementwise operators that depend only on it.

    The sigmoid and the product of a SiLU belong to the block of its convolution, and so do the
    operators that replace a rewritten PReLU. The sum of a residual connection does not, since it
    reads another branch, too.

    Args:
        graph: topologically sorted graph with a name for every operator.
        operators: names of operators with weights, each of which starts a block.
        others: names of further operators that a recipe quantizes; they may belong to a block.

    Returns:
        The blocks in the order of their first operators.
    """
    constants = {tensor.name: len(tensor.SerializeToString()) for tensor in graph.initializer}
    owner: dict[str, str] = {}  # tensor -> operator that its block starts with
    names: dict[str, list[str]] = {}
    saves: dict[str, int] = {}
    for node in graph.node:
        read = [name for name in node.input if name and name not in constants]
        sources = {owner.get(name, "") for name in read}
        if node.name in operators:
            start = node.name
            names[start] = [start]
            saves[start] = sum(constants.get(name, 0) for name in node.input)
        elif node.op_type in _ACTIVATIONS and len(sources) == 1 and sources != {""}:
            (start,) = sources
            if node.name in others:
                names[start].append(node.name)
        elif node.op_type == "Constant":
            constants.update(dict.fromkeys(node.output, 0))
            continue
        else:
            continue
        owner.update(dict.fromkeys(node.output, start))
    return tuple(Block(tuple(members), saves[start]) for start, members in names.items())
