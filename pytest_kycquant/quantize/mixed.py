"""Partly quantized models, derived from one whose operators are all quantized.

Quantizing a model anew for each set of operators that stay in FP32 takes half a second or more.
Combining the activation scales and integer weights of a fully quantized model with the FP32 graph
takes a few hundredths of a second.

An operator in FP32 reads a tensor as computed, not its rounded copy, unless the operator that
writes it is quantized. Integer kernels write only integers, and a second reader of the float tensor
would make onnxruntime compute the writer in float, too. With onnxruntime's own option
(`nodes_to_exclude`), excluded operators always read rounded tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .graph import (
    WEIGHTED,
    drop_unused_initializers,
    initializers,
    producers,
    sort_nodes,
)

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# Operators that the quantizer quantizes only if they read integers; the scale stays the same.
_FOLLOWERS = frozenset(
    ("AveragePool", "Clip", "Flatten", "Gather", "GatherElements", "MaxPool", "Pad", "Relu",
     "Reshape", "Resize", "Slice", "Split", "Squeeze", "TopK", "Transpose", "Unsqueeze")
)  # fmt: skip

_SUMS = frozenset(("Add", "Sub"))


@dataclass(frozen=True, eq=False)
class FullyQuantized:
    """A model whose quantizable operators are all quantized, with its origin.

    Args:
        source: the FP32 model.
        made: result of the quantizer: operators under their old names, between pairs of
            QuantizeLinear and DequantizeLinear. A Relu or Clip may be missing if a range has the
            same effect.
        op_types: operator types to quantize.
        kept: names of the operators that were excluded from quantization.
        parts: operators that replaced the rewritten ones, as in `PreparedModel`.
        corrected: names of the operators with corrected biases; None if correction was not
            requested.
        shifted: `made` with biases that are also corrected for the shift from quantized
            activations. The shift depends on all earlier operators, so this is valid only if none
            is kept.
    """

    source: ModelProto
    made: ModelProto
    op_types: tuple[str, ...]
    kept: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    corrected: tuple[str, ...] | None = None
    shifted: ModelProto | None = None


def keep_in_float(whole: FullyQuantized, kept: Collection[str]) -> ModelProto:
    """Derive the model in which some operators stay in FP32.

    Args:
        whole: fully quantized model; it is not changed.
        kept: names of the operators that stay in FP32, before any rewrite.

    Returns:
        The model, with its operators in topological order.
    """
    parts = {part for name in kept for part in whole.parts.get(name, (name,))}
    if not parts and whole.shifted is not None:
        whole = replace(whole, made=whole.shifted)
    made = _Assembly(whole, {*whole.kept, *parts}).model()
    sort_nodes(made.graph)
    return made


def corrections(whole: FullyQuantized, kept: Collection[str]) -> dict[str, int]:
    """Count the corrected biases of such a model; empty if correction was not requested."""
    if whole.corrected is None:
        return {}
    return {"biases_corrected": len(set(whole.corrected).difference(kept))}


class _Assembly:
    """Builds one partly quantized model; tensors go by their names in the FP32 graph."""

    def __init__(self, whole: FullyQuantized, kept: set[str]) -> None:
        self._whole = whole
        self._graph = whole.source.graph
        self._made = {node.name: node for node in whole.made.graph.node}
        self._writers = producers(self._graph)
        self._outputs = {info.name for info in self._graph.output}
        self._weights: dict[str, NodeProto] = {}  # dequantizations, by output
        self._pairs: dict[str, tuple[NodeProto, NodeProto]] = {}  # by activation
        self._find_quantizations()
        self._dequantized = {second.output[0] for _, second in self._pairs.values()}
        self._quantized: set[str] = set()  # names of operators
        self._merged: dict[str, str] = {}  # input of a removed Relu or Clip -> its output
        self._integer: set[str] = set()  # tensors that quantized operators write
        self._lost: set[str] = set()  # tensors that only full quantization writes as integers
        for node in self._graph.node:
            self._settle(node, kept)
        self._rounded = {
            name
            for node in self._graph.node
            if node.name in self._quantized
            for name in (*node.input, *map(self._written, node.output))
            if name in self._pairs
        }

    def model(self) -> ModelProto:
        """Assemble the model."""
        result = type(self._whole.made)()
        result.CopyFrom(self._whole.made)
        graph = result.graph
        del graph.node[:], graph.initializer[:]
        weights = initializers(self._graph) | initializers(self._whole.made.graph)
        floats = initializers(self._graph)
        used: dict[str, NodeProto] = {}
        for node in self._graph.node:
            if self._is_merged(node):
                continue
            changed = node.name in self._quantized
            own = self._made[node.name] if changed else node
            copy = graph.node.add()
            copy.CopyFrom(own)
            for place, given in enumerate(own.input):
                name = node.input[place] if place < len(node.input) else ""
                if changed and given in self._weights:
                    # The quantizer gives a dequantized bias the name of the bias.
                    copy.input[place] = f"{self._weights[given].input[0]}_dequantized"
                    used[copy.input[place]] = self._weights[given]
                elif not changed and name in floats:
                    weights[name] = floats[name]  # a corrected bias may have the same name
                elif name and given not in weights:
                    copy.input[place] = self._read(name, changed)
            copy.output[:] = [self._raw(self._written(name)) for name in node.output]
        for name, (first, second) in self._pairs.items():
            if name not in self._rounded:
                continue
            raw = self._raw(name)
            if self._would_be_quantized(name):
                guard = graph.node.add(op_type="Sum", name=f"{name}_guard", input=[raw])
                guard.output.append(raw := f"{name}_guarded")
            graph.node.add().CopyFrom(first)
            graph.node[-1].input[0] = raw
            graph.node.add().CopyFrom(second)
        for name, weight in used.items():
            graph.node.add().CopyFrom(weight)
            graph.node[-1].output[0] = name
        graph.initializer.extend(weights.values())
        drop_unused_initializers(graph)
        return result

    def _find_quantizations(self) -> None:
        """Sort the quantizer's dequantizations into those of weights and those of activations."""
        made = self._whole.made.graph
        writers = producers(made)
        for node in made.node:
            if node.op_type != "DequantizeLinear":
                continue
            first = writers.get(node.input[0])
            if first is None:
                self._weights[node.output[0]] = node
            else:
                # A graph output keeps its name; the tensor before rounding gets another one.
                written = node.output[0]
                name = written if written in self._outputs else first.input[0]
                self._pairs[name] = (first, node)

    def _settle(self, node: NodeProto, kept: set[str]) -> None:
        """Decide whether one operator is quantized, once the earlier ones are decided."""
        made = self._made.get(node.name)
        source = node.input[0] if node.input else ""
        outputs = [name for name in node.output if name]
        if made is None:
            if source in self._integer:
                self._merged[source] = outputs[0]
                self._integer.update(outputs)
            else:
                self._lost.update(outputs)
        elif self._can_be_integer(made):
            follows = node.op_type in _FOLLOWERS and source in self._lost
            # Rounding the sum would undo the accuracy that a term in FP32 gains.
            follows |= node.op_type in _SUMS and not self._lost.isdisjoint(node.input)
            if node.name in kept or follows:
                self._lost.update(outputs)
            else:
                self._quantized.add(node.name)
                self._integer.update(outputs)

    def _can_be_integer(self, made: NodeProto) -> bool:
        if made.op_type not in self._whole.op_types or made.name in self._whole.kept:
            return False
        return any(name in self._dequantized or name in self._weights for name in made.input)

    def _would_be_quantized(self, name: str) -> bool:
        """Whether onnxruntime would quantize the operator in FP32 that writes a tensor.

        Since 1.21, loading a model quantizes the weights of any operator between a dequantization
        and a quantization, with one scale for all channels (`WeightBiasQuantization`). A Sum of one
        tensor does not change it, but hides the quantization that follows.
        """
        node = self._writers.get(name)
        while node is not None and node.op_type in ("Relu", "Clip"):
            node = self._writers.get(node.input[0])
        if node is None or node.op_type not in WEIGHTED or node.name in self._quantized:
            return False
        return node.input[0] in self._rounded and node.input[0] in self._integer

    def _is_merged(self, node: NodeProto) -> bool:
        merged = self._merged.get(node.input[0], "") if node.input else ""
        return bool(merged) and merged in node.output  # an output that is not given is "", too

    def _written(self, name: str) -> str:
        """Name of the tensor that replaces this one if each Relu or Clip after it was merged."""
        while name in self._merged:
            name = self._merged[name]
        return name

    def _read(self, name: str, changed: bool) -> str:
        """Name of the tensor that an operator reads; `changed` if the operator is quantized."""
        if name in self._rounded and (changed or name in self._integer):
            return str(self._pairs[name][1].output[0])
        return self._raw(name)

    def _raw(self, name: str) -> str:
        """Name of a tensor before it is rounded."""
        is_output = name in self._outputs
        return f"{name}_unrounded" if is_output and name in self._rounded else name
