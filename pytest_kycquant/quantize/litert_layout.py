"""The operators of a float ``.tflite`` file, and which of them stay in float together.

A search knows operators by name, which is that of their first output.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache

from ..errors import QuantizationError
from .litert_file import Graph, LiteRtFile, Operator, Tensor, is_integer
from .search import Block

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
_ACTIVATIONS = frozenset(
    ("ADD", "DIV", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM",
     "MUL", "PRELU", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "SUB", "TANH")
)  # fmt: skip
_MOVERS = frozenset(
    ("AVERAGE_POOL_2D", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER",
     "GATHER_ND", "MAX_POOL_2D", "MIRROR_PAD", "PACK", "PAD", "PADV2", "RELU", "RELU6",
     "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
     "REVERSE_V2", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE",
     "TILE", "TOPK_V2", "TRANSPOSE", "UNPACK")
)  # fmt: skip
"""Operators whose outputs are values of their inputs, or close: rounding them gains nothing."""
_JOINS = frozenset(("ADD", "CONCATENATION", "PACK", "SUB"))
"""Operators whose result is as inaccurate as the worst of their inputs."""
_JOINED = ("CONCATENATION", "PACK")
_UNLIKE = 8.0  # a range so much smaller keeps 5 of the 8 bits of the common scale


class Layout:
    """Operators and tensors of the main subgraph of a float file.

    Args:
        file: the float file.

    Attributes:
        kinds: type of each operator by its name, in topological order.
        weighted: names of the operators with weights.
        ranks: number of dimensions of all tensors that are computed, of all subgraphs.
    """

    def __init__(self, file: LiteRtFile) -> None:
        graph = self._graph = file.graphs[0]
        self._constants = {at for at, each in enumerate(graph.tensors) if file.is_constant(each)}
        self._sizes = {at: file.size(graph.tensors[at]) for at in self._constants}
        joined = {at for each in graph.operators if each.kind in _JOINED for at in each.inputs}
        self._bounds = {
            at: (float(values.min()), float(values.max()))
            for at in self._constants & joined
            for values in [file.constant(graph.tensors[at])]
            if values is not None and values.size and values.dtype.kind == "f"
        }
        self.ranks = {
            each.name: len(each.shape)
            for part in file.graphs
            for each in part.tensors
            if not file.is_constant(each)
        }
        self.kinds = {operator.name: operator.kind for operator in graph.operators}
        self.weighted = tuple(each.name for each in graph.operators if self._has_weights(each))

    def resolve(self, entries: Iterable[str], where: str) -> tuple[str, ...]:
        """Turn names, types, "first" and "last" into names of operators, in topological order.

        Raises:
            QuantizationError: an entry matches nothing.
        """
        kept: set[str] = set()
        for entry in entries:
            if entry in self.kinds:
                matches = [entry]
            elif entry in ("first", "last"):
                matches = [*(self.weighted[:1] if entry == "first" else self.weighted[-1:])]
            else:
                matches = [name for name, kind in self.kinds.items() if kind == entry]
            if not matches:
                known = dict.fromkeys([*self.kinds, *self.kinds.values()])
                if self.weighted:
                    known |= dict.fromkeys(["first", "last"])
                kinds = difflib.get_close_matches(entry, set(self.kinds.values()), n=1)
                names = kinds or difflib.get_close_matches(entry, known, n=3)
                close = names or self.weighted[:3]
                reason = "is not an operator of the .tflite file"
                if entry in ("first", "last"):
                    reason = f"is not in the .tflite file: it has no {', '.join(_WEIGHTED)}"
                raise QuantizationError(
                    where,
                    f"keep_fp32 names {entry!r}, which {reason}",
                    f"did you mean {' or '.join(map(repr, close))}?" if close else "leave it out",
                )
            kept.update(matches)
        return self._ordered(kept)

    def with_followers(self, kept: Collection[str]) -> tuple[str, ...]:
        """Operators that stay in float if these do, in topological order.

        Rounding what an operator in float has computed, only to move it or to add it to something,
        would undo what was gained. So would rounding an input on its way to such an operator.
        """
        found, lost, front = set(kept), set[int](), set(self._graph.inputs)
        for operator in self._graph.operators:
            read = self._read(operator)
            moves = operator.kind in _MOVERS and read[:1] and read[0] in lost
            joins = operator.kind in _JOINS and not lost.isdisjoint(read)
            if operator.name in found or moves or joins:
                found.add(operator.name)
                lost.update(operator.outputs)
            if not read or (operator.kind in _MOVERS and front.issuperset(read)):
                front.update(operator.outputs)
        for operator in reversed(self._graph.operators):
            if operator.kind in _MOVERS and front.issuperset(operator.outputs):
                readers = [name for at in operator.outputs for name in self._readers.get(at, ())]
                if readers and found.issuperset(readers):
                    found.add(operator.name)
        return self._ordered(found)

    def float_ends(self, kept: Collection[str]) -> tuple[bool, bool]:
        """Whether operators in float read an input of the file, and whether they write an output.

        Rounding there would undo what was gained, too.
        """
        chosen = [each for each in self._graph.operators if each.name in kept]
        return (
            any(not set(self._graph.inputs).isdisjoint(self._read(each)) for each in chosen),
            any(not set(self._graph.outputs).isdisjoint(each.outputs) for each in chosen),
        )

    def blocks(self, integer: Collection[str], kept: Collection[str]) -> tuple[Block, ...]:
        """Blocks of operators that a search may keep in float, in topological order.

        A block is an operator with weights and the elementwise ones that depend only on it.

        Args:
            integer: names of the operators that have an integer form.
            kept: names of operators that stay in float in any case.
        """
        owner: dict[int, str] = {}
        names: dict[str, list[str]] = {}
        behind = {*self.postprocessing(integer), *kept}
        for operator in self._graph.operators:
            sources = {owner.get(at, "") for at in self._read(operator)}
            if operator.name in self.weighted:
                start = operator.name
                if start in integer and start not in kept:
                    names[start] = [start]
            elif operator.kind in _ACTIVATIONS and len(sources) == 1 and sources != {""}:
                (start,) = sources
                if start in names and operator.name in integer and operator.name not in behind:
                    names[start].append(operator.name)
            else:
                continue
            owner.update(dict.fromkeys(operator.outputs, start))
        sizes = {
            each.name: sum(self._sizes.get(at, 0) for at in each.inputs)
            for each in self._graph.operators
        }
        return tuple(Block(tuple(members), sizes[start]) for start, members in names.items())

    def postprocessing(self, integer: Collection[str]) -> tuple[str, ...]:
        """Names of those operators with an integer form that follow the last weights."""
        return tuple(name for name in self.tail if name in integer)

    @cached_property
    def tail(self) -> tuple[str, ...]:
        """Names of the operators that follow the last weights, in topological order."""
        leads_to_weights: set[int] = set()
        found = []
        for operator in reversed(self._graph.operators):
            leads = not leads_to_weights.isdisjoint(operator.outputs)
            if operator.name in self.weighted or leads:
                leads_to_weights.update(operator.inputs)
            else:
                found.append(operator.name)
        return tuple(reversed(found))

    def unlike(self, bounds: Mapping[str, tuple[float, float]]) -> tuple[str, str]:
        """The first operator of the tail that joins what one scale of 8 bits cannot represent.

        Detectors join boxes, in pixels, with scores, in parts of one: all scores would become 0.

        Args:
            bounds: bounds of each tensor by its name.

        Returns:
            Its name, and the operator and the ranges that it joins in words; "" if there is none.
        """
        for operator in self._graph.operators:
            if operator.kind not in _JOINED or operator.name not in self.tail:
                continue
            known = [self._bounds[at] for at in operator.inputs if at in self._bounds]
            known += [
                bounds[name]
                for name in (self._graph.tensors[at].name for at in self._read(operator))
                if name in bounds
            ]
            spans = sorted((max(high, 0.0) - min(low, 0.0), low, high) for low, high in known)
            spans = [each for each in spans if each[0] > 0]
            if spans and spans[-1][0] > _UNLIKE * spans[0][0]:
                (_, *least), (_, *most) = spans[0], spans[-1]
                return operator.name, (
                    f"{operator.kind} {operator.name!r} joins values in [{least[0]:.3g}, "
                    f"{least[1]:.3g}] with values in [{most[0]:.3g}, {most[1]:.3g}]"
                )
        return "", ""

    def scopes(self, names: Collection[str]) -> str:
        """A regular expression that finds these operators, as litert-quantizer calls them."""
        tensors = self._graph.tensors
        whole = (
            "".join(f"{tensors[at].name};" for at in each.outputs if at >= 0 and tensors[at].name)
            for each in self._graph.operators
            if each.name in names
        )
        return f"^(?:{'|'.join(map(re.escape, whole))})$"

    @cached_property
    def _readers(self) -> dict[int, list[str]]:
        """Names of operators that compute floats from a tensor; "" for whoever runs the file."""
        found: dict[int, list[str]] = {}
        kinds = self._graph.tensors
        for operator in self._graph.operators:
            if all(kinds[at].kind != "FLOAT32" for at in operator.outputs):
                continue  # it asks for the shape
            for at in operator.inputs:
                found.setdefault(at, []).append(operator.name)
        for at in self._graph.outputs:
            found.setdefault(at, []).append("")
        return found

    def _has_weights(self, operator: Operator) -> bool:
        return operator.kind in _WEIGHTED and operator.inputs[1] in self._constants

    def _read(self, operator: Operator) -> list[int]:
        """Floats that an operator reads, without constants."""
        kinds = self._graph.tensors
        return [
            at
            for at in operator.inputs
            if at >= 0 and at not in self._constants and kinds[at].kind == "FLOAT32"
        ]

    def _ordered(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.kinds if name in names)


@lru_cache(maxsize=4)
def layout_of(content: bytes) -> Layout:
    """The layout of a float file, read once for all that is made from it."""
    return Layout(LiteRtFile(content, "float file"))


def on_unlike(unlike: str, kept: Collection[str]) -> tuple[str, ...]:
    """A note on what would share a scale at the end of a file, and what became of it."""
    if not unlike:
        return ()
    if kept:
        return (f"{unlike}, so the {len(kept)} operators after the last weights are in float",)
    return (f"{unlike} in one scale of 8 bits: give the model an output for each",)


def check_names(content: bytes, where: str) -> None:
    """Refuse a file in which names do not tell tensors apart: quantizers know them by name.

    Raises:
        QuantizationError: a tensor that is computed has no name, or that of another one.
    """
    file = LiteRtFile(content, where)
    graph = file.graphs[0]
    computed = {*graph.inputs, *(at for each in graph.operators for at in each.outputs if at >= 0)}
    counts = Counter(graph.tensors[at].name for at in computed)
    twice = next((name for name, number in counts.items() if number > 1 or not name), None)
    if twice is not None:
        problem = f"{counts[twice]} tensors of its float .tflite file are called {twice!r}"
        raise QuantizationError(
            where, problem, "convert it again, without stripping names: each needs one of its own"
        )


def integer_operators(graph: Graph) -> tuple[str, ...]:
    """Names of the operators that write integers which stand for floats."""
    return tuple(
        each.name
        for each in graph.operators
        if each.kind not in ("QUANTIZE", "DEQUANTIZE") and _integers(each.outputs, graph.tensors)
    )


def not_kept(graph: Graph, names: Collection[str]) -> tuple[str, ...]:
    """Those of these operators that read or write integers although they should not."""
    floats = {
        each.name
        for each in graph.operators
        if not _integers((*each.inputs, *each.outputs), graph.tensors)
    }
    return tuple(name for name in names if name not in floats)


def _integers(indices: Iterable[int], tensors: tuple[Tensor, ...]) -> bool:
    return any(at >= 0 and is_integer(tensors[at]) for at in indices)
