"""The float ``.tflite`` file that LiteRT's precisions are made from: converted, and verified.

A converter that misreads a layout or an attribute gives a file that runs and is wrong. So the file
is compared with FP32 on images before anything is made from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..spec.coerce import shown
from .folding import fold_constants
from .graph import serialize
from .litert_file import LiteRtFile, not_float32
from .litert_tensors import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ..runtimes import OpenModel
    from ..runtimes.interface import Interface
    from .preparation import PreparedModel

    Array = NDArray[Any]
    Feed = Mapping[str, Array]

TOLERANCE = 1e-3
"""Largest difference of a float file from FP32, relative to the largest output."""


def with_shapes(prepared: PreparedModel, sample: Feed) -> bytes:
    """The ONNX model with the shapes of its inputs fixed, for a converter.

    Args:
        prepared: the model.
        sample: what one run is fed.
    """
    from onnx import ModelProto, shape_inference

    proto = ModelProto()
    proto.CopyFrom(prepared.proto)
    free = False
    for each in proto.graph.input:
        if each.name in sample:
            shape = each.type.tensor_type.shape
            for dimension, size in zip(shape.dim, sample[each.name].shape, strict=True):
                free |= dimension.dim_value != size
                dimension.dim_value = size
    if free:
        # A converter that reads the free dimensions of inner tensors takes them for 1.
        del proto.graph.value_info[:]
        for each in proto.graph.output:
            each.type.tensor_type.ClearField("shape")
        proto = shape_inference.infer_shapes(proto, data_prop=True)
        fold_constants(proto)  # shapes that are computed from those of the inputs
    _with_gemm(proto)
    return serialize(proto)


def _with_gemm(proto: ModelProto) -> None:
    """Write products of a row and a constant matrix as Gemm, which converters know as a layer.

    As BatchMatMul, its weights could not have a scale for each channel in LiteRT.
    """
    from onnx import helper

    graph = proto.graph
    ranks = {each.name: len(each.dims) for each in graph.initializer}
    for each in (*graph.input, *graph.value_info):
        if each.type.tensor_type.HasField("shape"):
            ranks[each.name] = len(each.type.tensor_type.shape.dim)
    constants = {each.name for each in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in constants:
            continue
        if ranks.get(node.input[0]) == ranks[node.input[1]] == 2:
            node.op_type = "Gemm"
            node.attribute.append(helper.make_attribute("transB", 0))


def check_float(content: bytes, where: object) -> None:
    """Refuse a file that is already quantized.

    Raises:
        ModelError: it is quantized, or stores weights in float16.
    """
    if sign := not_float32(LiteRtFile(content, where)):
        raise ModelError(
            where, f"is not a float32 model: {sign}",
            "give the file that it was made from as KycModel(litert=...)",
        )  # fmt: skip


def difference(
    model: OpenModel, interface: Interface, feeds: Sequence[Feed], expected: Sequence[Feed]
) -> float:
    """Largest difference of a file's outputs from FP32's, relative to the largest of each output.

    Args:
        model: the file.
        interface: how it stands in for FP32.
        feeds: what FP32 is fed.
        expected: what it returns, by the names of its outputs.
    """
    there = interface.present(model)
    found = [
        dict(
            zip(there.outputs, there.run({name: feed[name] for name in there.inputs}), strict=True)
        )
        for feed in feeds
    ]
    worst = 0.0
    for name in expected[0]:
        largest = max(float(np.abs(each[name]).max(initial=0)) for each in expected) or 1.0
        for ours, theirs in zip(found, expected, strict=True):
            if ours[name].shape != theirs[name].shape:
                return float("inf")
            apart = np.abs(np.asarray(ours[name], np.float64) - theirs[name])
            worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0)) / largest)
    return worst


def check_same(worst: float, where: object, layer: str, remedy: str) -> None:
    """Refuse a float file whose outputs are not FP32's.

    Args:
        worst: result of `difference`.
        where: the file.
        layer: the first layer that differs; "" if that is unknown.
        remedy: what to do.

    Raises:
        ModelError: the difference is beyond float accuracy.
    """
    if worst <= TOLERANCE:
        return
    begins = f", first at {layer}" if layer else ""
    raise ModelError(
        where,
        f"gives other outputs than FP32: they differ by {worst:.2g} of the largest{begins}; "
        f"rounding explains {TOLERANCE:g}",
        remedy,
    )


def first_layer(onnx: bytes, content: bytes, report: bytes, sample: Feed, feed: Feed) -> str:
    """The first operator of an ONNX model whose output the converted file does not reproduce.

    Args:
        onnx: the ONNX model that was converted.
        content: the ``.tflite`` file.
        report: onnx2tf's report of which tensor stands for which.
        sample: what the ONNX model is fed.
        feed: what the file is fed.

    Returns:
        Name and type of the operator; "" if all agree, or cannot be compared.
    """
    records = json.loads(report).get("records", [])
    names = {r["onnx_output_name"]: r.get("resolved_tflite_tensor_name") for r in records}
    wanted = dict(_values(onnx, list(names), sample))
    observer = Observer(content, "converted file")
    observer.run(feed)
    found = dict(observer.values({name: None for name in names.values() if name}))
    for record in records:
        ours = found.get(names[record["onnx_output_name"]] or "")
        theirs = wanted.get(record["onnx_output_name"])
        if ours is None or theirs is None or theirs.dtype.kind != "f" or not theirs.size:
            continue
        if ours.size == theirs.size and _apart(ours, theirs) > TOLERANCE:
            name = record.get("onnx_op_name") or record["onnx_output_name"]
            return f"{shown(name)} ({record.get('onnx_op_type')})"
    return ""


def _values(onnx: bytes, names: Sequence[str], sample: Feed) -> Iterator[tuple[str, Array]]:
    """Values of tensors within an ONNX model."""
    from onnx import ModelProto

    from ..runtimes.ort import open_session

    proto: ModelProto = ModelProto.FromString(onnx)
    present = [output for node in proto.graph.node for output in node.output]
    outputs = {output.name for output in proto.graph.output}
    for name in names:
        if name in present and name not in outputs:
            proto.graph.output.add().name = name
    session = open_session(proto.SerializeToString(), optimize=False)
    read = [each.name for each in session.get_outputs()]
    yield from zip(read, session.run(read, dict(sample)), strict=True)


def _apart(ours: Array, theirs: Array) -> float:
    """Relative difference of the sorted values of two arrays: their layouts may differ."""
    largest = float(np.abs(theirs).max()) or 1.0
    return float(np.abs(np.sort(ours, axis=None) - np.sort(theirs, axis=None)).max()) / largest
