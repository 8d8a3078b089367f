"""Transposes that crash onnxruntime in half precision.

onnxruntime takes a Transpose that moves the first axis of a MatMul's input into the MatMul. In
float16 the result ends the process with a segmentation fault when the session is opened (seen in
1.32.0). Attention that was exported from torch begins so: (batch, places, channels) becomes
(places, batch, channels). In float32, with casts around, such a Transpose stays what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .graph import attributes, consumers

if TYPE_CHECKING:
    from onnx import GraphProto

_DROPPED = ("Identity", "Cast")  # onnxruntime removes them before it looks


def moved_batches(graph: GraphProto) -> set[str]:
    """Names of the Transposes that onnxruntime would take into a MatMul with their first axis."""
    readers = consumers(graph)

    def is_multiplied(tensor: str) -> bool:
        return any(
            node.op_type == "MatMul" or (node.op_type in _DROPPED and is_multiplied(node.output[0]))
            for node in readers.get(tensor, ())
        )

    return {
        node.name
        for node in graph.node
        if node.op_type == "Transpose"
        and _moves_batch(list(attributes(node).get("perm", ())))
        and is_multiplied(node.output[0])
    }


def _moves_batch(perm: list[int]) -> bool:
    """Whether the first axis becomes one of the last two, and the others keep their order.

    These are (1, 0, 2) and (1, 2, 0) for three axes, (1, 2, 0, 3) and (1, 2, 3, 0) for four.
    """
    rank = len(perm)
    if rank < 3:
        return False
    inner = list(range(1, rank - 1))
    return perm in ([*inner, 0, rank - 1], [*inner, rank - 1, 0])
