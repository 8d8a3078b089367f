"""What becomes of the operators of a file on the way to the graph that recipes start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto

_BY_TYPE = {
    "If": "was replaced by the branch that always runs",
    "Identity": "passes its input on, so it was left out",
}


class Trail:
    """Follows the operators of a graph by name and type.

    Args:
        graph: the graph of the file.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.gone: dict[str, str] = {}
        """Name or type of operators that are not there any more -> what became of them."""
        self._known = {node.name: node.op_type for node in graph.node}
        self._types = {node.op_type for node in graph.node}

    def follow(self, graph: GraphProto, what: str, named: Mapping[str, str] | None = None) -> None:
        """Note what is not there any more after a step.

        Args:
            graph: the graph after the step.
            what: what the step does to an operator, as in "which was folded".
            named: the same for some operators, by name.
        """
        known = {node.name: node.op_type for node in graph.node}
        types = {node.op_type for node in graph.node}
        for name, op_type in self._known.items():
            if name and name not in known:
                became = (named or {}).get(name) or _BY_TYPE.get(op_type, what)
                self.gone.setdefault(name, became)
        for op_type in self._types - types:
            self.gone.setdefault(op_type, _BY_TYPE.get(op_type, what))
        self._known, self._types = known, types
