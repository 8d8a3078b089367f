"""The graph that recipes start from: equal to the FP32 file, in a form that the quantizer takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, QuantizationError, one_line
from ..runtimes.feeding import named
from ..runtimes.model_files import within
from ..runtimes.ort import open_session
from .doubles import computes_in_double, narrow
from .equal import Errors, largest_difference
from .gemms import plain_biases
from .graph import (
    WEIGHTED,
    consumers,
    drop_unused_initializers,
    has_subgraphs,
    initializers,
    producers,
    serialize,
)
from .local_functions import inlined
from .masks import limit_masks
from .names import free_names
from .opsets import OPSET, lower, merge_domains, upgraded
from .plain_weights import keep_outputs, plain_weights
from .trail import Trail
from .unfused import unfuse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto

    from ..runtimes.feeding import Sample
    from .load import LoadedModel

_TOLERANCE = 1e-4
"""Relative to the largest magnitude of an output, or to 1 if that is larger."""


@dataclass(frozen=True)
class PreparedModel:
    """An FP32 model ready for quantization.

    Args:
        path: the file of the FP32 model, for messages.
        proto: graph of opset 17 or later with inferred tensor types, in which every operator has a
            unique name. Treat it as constant.
        inputs: names of its inputs.
        opset_upgraded_from: opset of the file if it was older than 17, otherwise None.
        max_difference: largest absolute difference between any output and that of the file, on the
            inputs used for verification; a rewritten model is compared with the one before
            rewriting.
        parts: rewritten operator -> names of the operators that replaced it.
        bounds: tensor that a rewrite added -> an older tensor and a factor. No magnitude in the new
            tensor exceeds the factor times the largest magnitude in the older one.
        equalized: number of channels that `equalize_channels` scaled; None before equalization.
        narrowed: first outputs of the operators that compute in float64 in the file.
        gone: name or type of operators of the file that are not in the graph -> what became of
            them.
    """

    path: Path
    proto: ModelProto
    inputs: tuple[str, ...]
    opset_upgraded_from: int | None
    max_difference: float
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    equalized: int | None = None
    narrowed: tuple[str, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)

    @property
    def input_name(self) -> str:
        """Name of the first input, which is the only one of a model of images."""
        return self.inputs[0]

    def feed(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """What one run is given: the arrays of a sample by the names of the inputs."""
        return named(sample, self.inputs)

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the operators that rewrites added."""
        return tuple(part for name, parts in self.parts.items() for part in parts if part != name)


def prepare(model: LoadedModel, inputs: Sequence[Sample]) -> PreparedModel:
    """Bring a model into the form that all recipes start from, and verify its outputs.

    Args:
        model: a loaded FP32 model.
        inputs: preprocessed images, each of the model's input shape; a handful suffices.

    Raises:
        ModelError: onnxruntime cannot run the model as it is.
        QuantizationError: the model cannot be upgraded, or the result has different outputs.
    """
    if not inputs:
        raise QuantizationError(
            model.path, "there are no inputs to verify the prepared graph with", "give images"
        )
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    trail = Trail(proto.graph)
    proto.CopyFrom(inlined(model.path, proto))  # the quantizer knows no functions
    trail.follow(proto.graph, "calls a function of the model, which was expanded")
    _drop_weights_from_inputs(proto)
    _drop_empty_ends(proto.graph)
    merge_domains(proto)
    renamed = free_names(proto.graph)
    called = {old: f"is called {new!r} here" for old, new in renamed.items()}
    trail.follow(proto.graph, "", called)
    upgraded_from = model.opset if model.opset < OPSET else None
    if upgraded_from is not None:
        proto = upgraded(model.path, model.opset, proto)
        trail.follow(proto.graph, f"is written in other operators since opset {OPSET}")
    lower(proto)
    plain_weights(proto)
    trail.follow(proto.graph, "was computed beforehand, since no pixel reaches it")
    unfuse(proto)
    trail.follow(proto.graph, "was taken apart into standard operators")
    narrowed = narrow(proto)
    trail.follow(proto.graph, "casts to float64 or back, which is computed in float32")
    limit_masks(proto.graph)
    _fold_batch_norms(proto.graph)
    trail.follow(proto.graph, "was folded into the Conv before it")
    keep_outputs(proto.graph)
    plain_biases(proto.graph)
    _name_operators(proto.graph)
    proto = _infer_types(model, proto)
    return PreparedModel(
        path=model.path,
        proto=proto,
        inputs=tuple(each.name for each in model.inputs),
        opset_upgraded_from=upgraded_from,
        max_difference=_verify(model, proto, inputs, narrowed),
        narrowed=narrowed,
        gone=trail.gone,
    )


def _verify(
    model: LoadedModel,
    proto: ModelProto,
    inputs: Sequence[Sample],
    narrowed: Collection[str],
) -> float:
    """Verify that a prepared graph is equal to the file; see `verify_equal`."""
    names = tuple(each.name for each in model.inputs)
    try:
        return verify_equal(model.path, names, model.proto, proto, inputs)
    except QuantizationError as error:
        if not narrowed:
            raise
        raise QuantizationError(
            model.path,
            f"what it computes in float64 differs in float32 ({error.problem})",
            "export it in float32 and compare the outputs: what needs float64 cannot be quantized",
        ) from error
    except ModelError as error:
        if not (
            computes_in_double(within(model.proto.graph)) and "implementation" in error.problem
        ):
            raise
        raise ModelError(
            model.path,
            error.problem,
            "export it in float32: few operators have kernels for float64",
        ) from error


def operators(prepared: PreparedModel) -> tuple[str, ...]:
    """Names of the operators that hold the weights, in graph order."""
    return tuple(node.name for node in prepared.proto.graph.node if node.op_type in WEIGHTED)


def postprocessing(prepared: PreparedModel) -> tuple[str, ...]:
    """Names of the operators after the last weights, in graph order.

    They turn the results of the layers into outputs: the sigmoid of scores, the arithmetic of
    boxes, and the concatenation of both, which in INT8 would have to share one scale.
    """
    leads_to_weights: set[str] = set()  # tensors
    names = []
    for node in reversed(prepared.proto.graph.node):
        if node.op_type in WEIGHTED or leads_to_weights.intersection(node.output):
            leads_to_weights.update(node.input)
        else:
            names.append(node.name)
    return tuple(reversed(names))


def _drop_weights_from_inputs(proto: ModelProto) -> None:
    """Remove weights from the inputs, where IR versions up to 3 also declared them."""
    weights = initializers(proto.graph)
    inputs = [info for info in proto.graph.input if info.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = max(proto.ir_version, 4)


def _drop_empty_ends(graph: GraphProto) -> None:
    """Remove names of optional inputs that are not given and end the inputs of an operator.

    The quantizer takes an empty name at their end for the name of a tensor.
    """
    for part in within(graph):
        for node in part.node:
            while node.input and not node.input[-1]:
                node.input.pop()


def _fold_batch_norms(graph: GraphProto) -> None:
    """Fold each BatchNormalization after a Conv into the weights of the Conv.

    onnxruntime does this when it opens an FP32 model, but cannot do it in a quantized one. The
    normalisation would remain a separate operator, which is slower and less accurate.
    """
    from onnx import numpy_helper

    weights, written, read = initializers(graph), producers(graph), consumers(graph)
    outputs = {info.name for info in graph.output}
    kept = []
    for norm in graph.node:
        conv = written.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        if (
            conv is None
            or conv.op_type != "Conv"
            or any(a.name == "training_mode" and a.i for a in norm.attribute)
            or len([name for name in norm.output if name]) != 1
            or len(read[norm.input[0]]) != 1
            or norm.input[0] in outputs
            or not weights.keys() >= {name for name in (*conv.input[1:], *norm.input[1:]) if name}
            or has_subgraphs(graph)
        ):
            kept.append(norm)
            continue
        scale, shift, mean, variance = (
            numpy_helper.to_array(weights[name]).astype(np.float64) for name in norm.input[1:]
        )
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        weight = numpy_helper.to_array(weights[conv.input[1]]).astype(np.float64)
        bias = np.zeros_like(mean)
        if len(conv.input) > 2 and conv.input[2]:
            bias = numpy_helper.to_array(weights[conv.input[2]]).astype(np.float64)
        folded = (
            (
                f"{norm.output[0]}_folded_weight",
                weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
            ),
            (f"{norm.output[0]}_folded_bias", (bias - mean) * factor + shift),
        )
        for name, array in folded:
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        conv.input[1:] = [name for name, _ in folded]
        conv.output[0] = norm.output[0]
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
        drop_unused_initializers(graph)


def _name_operators(graph: GraphProto) -> None:
    """Name the unnamed operators, because operators are kept in FP32 by name.

    Existing names are unique: onnxruntime checks this when it opens the file.
    """
    taken = {node.name for node in graph.node}
    for index, node in enumerate(graph.node):
        name, suffix = node.name or f"{node.op_type}_{index}", 1
        while not node.name and name in taken:
            suffix += 1
            name = f"{node.op_type}_{index}_{suffix}"
        node.name = name
        taken.add(name)


def _infer_types(model: LoadedModel, proto: ModelProto) -> ModelProto:
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(proto)
    except Exception as error:
        raise QuantizationError(
            model.path,
            f"the shapes of its tensors contradict each other ({one_line(error)})",
            "export the model again with fixed height and width",
        ) from error
    _ask_for_types(inferred)
    return inferred


def _ask_for_types(proto: ModelProto) -> None:
    """Add the float32 tensors behind operators that onnx does not know but onnxruntime does."""
    from onnx import TensorProto, helper

    graph = proto.graph
    known = {info.name for info in (*graph.value_info, *graph.output)}
    missing = [name for node in graph.node for name in node.output if name and name not in known]
    if not missing:
        return
    asking = type(proto)()
    asking.CopyFrom(proto)
    asking.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in missing)
    try:
        outputs = open_session(serialize(asking), optimize=False).get_outputs()
    except ModelError:
        return  # `verify_equal` says why
    for found in outputs:
        if found.name in missing and found.type == "tensor(float)":
            graph.value_info.append(
                helper.make_tensor_value_info(found.name, TensorProto.FLOAT, found.shape)
            )


def verify_equal(
    path: Path,
    names: Sequence[str],
    before: ModelProto,
    after: ModelProto,
    inputs: Sequence[Sample],
) -> float:
    """Return the largest absolute difference between the outputs of two graphs of one model.

    Raises:
        ModelError: onnxruntime cannot run the graph `before`.
        QuantizationError: onnxruntime cannot run the graph `after`, or an output differs by more
            than rounding.
    """
    remedy = f"export the model with opset {OPSET} or later"
    errors = Errors(
        before=lambda reason: ModelError(
            path,
            f"onnxruntime cannot run it ({reason})",
            "export the model for onnxruntime, or install a later onnxruntime",
        ),
        after=lambda reason: QuantizationError(
            path, f"onnxruntime cannot run its prepared graph ({reason})", remedy
        ),
        changed=lambda change: QuantizationError(
            path, f"{change} when the graph was prepared", f"{remedy} and finite weights"
        ),
    )
    return largest_difference(
        before,
        after,
        names,
        inputs,
        relative=_TOLERANCE,
        absolute=_TOLERANCE,
        errors=errors,
    )
