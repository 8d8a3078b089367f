"""Files for LiteRT, written with its schema: no converter is needed for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
KINDS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9, "int16": 7}


class T(NamedTuple):
    """A tensor of a file; `data` makes it a constant, and -1 in `free` a free dimension."""

    name: str
    shape: tuple[int, ...]
    kind: str = "float32"
    data: Array | None = None
    scales: tuple[float, ...] = ()
    zero: int = 0
    free: tuple[int, ...] = ()


class Op(NamedTuple):
    """An operator; `code` is a number of `BuiltinOperator`, and `custom` the name of another."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = None
    kind: int = 0
    custom: str = ""


def file(
    tensors: Sequence[T],
    operators: Sequence[Op],
    inputs: Sequence[int],
    outputs: Sequence[int],
    signatures: Sequence[str] = (),
) -> bytes:
    """A ``.tflite`` file of one subgraph, with signatures of that graph by these names."""
    from ai_edge_litert import schema_py_generated as s
    from ai_edge_litert.tools import flatbuffer_utils

    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.description = 3, b"written by a test"
    model.buffers, model.operatorCodes, model.metadata = [s.BufferT()], [], []
    graph.tensors, graph.operators = [], []
    for each in tensors:
        tensor = s.TensorT()
        tensor.name, tensor.type = each.name.encode(), KINDS[each.kind]
        tensor.shape = np.asarray(each.shape, np.int32)
        if each.free:
            tensor.shapeSignature = np.asarray(each.free, np.int32)
        if each.scales:
            tensor.quantization = s.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(each.scales, np.float32)
            tensor.quantization.zeroPoint = np.full(len(each.scales), each.zero, np.int64)
        if each.data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(each.data).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
    for op in operators:
        code = s.OperatorCodeT()
        code.builtinCode, code.version = op.code, 1
        code.deprecatedBuiltinCode = min(op.code, 127)
        if op.custom:
            code.customCode = op.custom.encode()
        model.operatorCodes.append(code)
        made = s.OperatorT()
        made.opcodeIndex = len(model.operatorCodes) - 1
        made.inputs = np.asarray(op.inputs, np.int32)
        made.outputs = np.asarray(op.outputs, np.int32)
        made.builtinOptionsType, made.builtinOptions = op.kind, op.options
        graph.operators.append(made)
    graph.inputs, graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
    model.subgraphs, model.signatureDefs = [graph], []
    for key in signatures:
        definition = s.SignatureDefT()
        definition.signatureKey, definition.subgraphIndex = key.encode(), 0
        definition.inputs = [_mapped(f"in{k}", at) for k, at in enumerate(inputs)]
        definition.outputs = [_mapped(f"out{k}", at) for k, at in enumerate(outputs)]
        model.signatureDefs.append(definition)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _mapped(name: str, index: int) -> Any:
    from ai_edge_litert import schema_py_generated as s

    found = s.TensorMapT()
    found.name, found.tensorIndex = name.encode(), index
    return found


def add(kind: str = "float32", shape: tuple[int, ...] = (1, 2), **options: Any) -> bytes:
    """A file that adds its input to itself; integers have the scale .5 and the zero point 3."""
    from ai_edge_litert import schema_py_generated as s

    scales, zero = ((0.5,), 3) if kind in ("int8", "uint8") else ((), 0)
    free = options.pop("free", ())
    tensors = [
        T("x", shape, kind, scales=scales, zero=zero, free=free),
        T("y", shape, kind, scales=scales, zero=zero, free=free),
    ]
    operator = Op(s.BuiltinOperator.ADD, (0, 0), (1,), s.AddOptionsT(), s.BuiltinOptions.AddOptions)
    return file(tensors, [operator], [0], [1], **options)


def custom(name: str = "Wizardry") -> bytes:
    """A file with an operator that nobody has."""
    from ai_edge_litert import schema_py_generated as s

    operator = Op(s.BuiltinOperator.CUSTOM, (0,), (1,), custom=name)
    return file([T("x", (1, 2)), T("y", (1, 2))], [operator], [0], [1])


SIDE = 16
_HIDDEN, _OUT = 8, 48


def weights(seed: int = 0) -> dict[str, Array]:
    """Weights of a face embedder for images of 16 x 16, as ONNX has them."""
    rng = np.random.default_rng(seed)
    area = (SIDE // 4) ** 2

    def some(*shape: int) -> Array:
        return (rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return {
        "first.w": some(_HIDDEN, 3, 4, 4),
        "first.b": np.zeros(_HIDDEN, np.float32),
        "last.w": some(_OUT, _HIDDEN * area),
        "last.b": np.zeros(_OUT, np.float32),
    }


def embedder(path: Path, seed: int = 0) -> Path:
    """Write the embedder as ONNX: NCHW, a convolution, Relu and a matrix."""
    arrays = weights(seed)
    nodes = [
        helper.make_node("Conv", ["input", "first.w", "first.b"], ["a"], name="first",
                         strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Flatten", ["b"], ["c"], name="flatten"),
        helper.make_node("Gemm", ["c", "last.w", "last.b"], ["output"], name="last", transB=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, _OUT])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def embedder_content(
    seed: int = 0,
    *,
    broken: bool = False,
    outputs: int = _OUT,
    prelu: bool = False,
    hidden: str = "b",
) -> bytes:
    """The same embedder for LiteRT: NHWC, so that the matrix sees its input in another order.

    Args:
        seed: seed of the weights.
        broken: whether one weight is NaN.
        outputs: length of the output.
        prelu: whether a PReLU, which has no integer form in litert-quantizer, follows.
        hidden: name of what the matrix reads before it is flattened.
    """
    tensors, operators = _layers(seed, broken, outputs, prelu)
    tensors[3] = tensors[3]._replace(name=hidden)
    return file(tensors, operators, [0], [8], ["serving_default"] if prelu else [])


def detector_content(scale: float, *, constant: float = 0.0, boxes: str = "boxes") -> bytes:
    """A file that ends as a detector does: four coordinates, scaled, and two scores are joined.

    Args:
        scale: what the coordinates are multiplied with.
        constant: a value to join, too; 0 for none.
        boxes: name of the scaled coordinates.
    """
    from ai_edge_litert import schema_py_generated as s

    codes, kinds = s.BuiltinOperator, s.BuiltinOptions
    tensors, operators = _layers(0, False, 6, False)
    join, reshape = s.ConcatenationOptionsT(), s.ReshapeOptionsT()
    length = 7 if constant else 6
    join.axis, reshape.newShape = 1, np.asarray([1, length, 1], np.int32)
    first = len(tensors)
    tensors[8] = tensors[8]._replace(name="raw")
    tensors += [
        T("begin.low", (2,), "int32", np.asarray([0, 0], np.int32)),
        T("size.low", (2,), "int32", np.asarray([1, 4], np.int32)),
        T("low", (1, 4)),
        T("scale", (1, 1), data=np.full((1, 1), scale, np.float32)),
        T(boxes, (1, 4)),
        T("begin.high", (2,), "int32", np.asarray([0, 4], np.int32)),
        T("size.high", (2,), "int32", np.asarray([1, 2], np.int32)),
        T("high", (1, 2)),
        T("scores", (1, 2)),
        T("joined", (1, length)),
        T("shape.output", (3,), "int32", np.asarray([1, length, 1], np.int32)),
        T("output", (1, length, 1)),
        T("constant", (1, 1), data=np.full((1, 1), constant, np.float32)),
    ]
    names = [each.name for each in tensors[first:]]
    names[4] = "boxes"
    at = {name: first + place for place, name in enumerate(names)}
    joined = at["boxes"], at["scores"], *([at["constant"]] if constant else [])
    operators += [
        Op(codes.SLICE, (8, at["begin.low"], at["size.low"]), (at["low"],), s.SliceOptionsT(),
           kinds.SliceOptions),
        Op(codes.MUL, (at["low"], at["scale"]), (at["boxes"],), s.MulOptionsT(), kinds.MulOptions),
        Op(codes.SLICE, (8, at["begin.high"], at["size.high"]), (at["high"],), s.SliceOptionsT(),
           kinds.SliceOptions),
        Op(codes.LOGISTIC, (at["high"],), (at["scores"],)),
        Op(codes.CONCATENATION, joined, (at["joined"],), join,
           kinds.ConcatenationOptions),
        Op(codes.RESHAPE, (at["joined"], at["shape.output"]), (at["output"],), reshape,
           kinds.ReshapeOptions),
    ]  # fmt: skip
    return file(tensors, operators, [0], [at["output"]])


def _layers(seed: int, broken: bool, outputs: int, prelu: bool) -> tuple[list[T], list[Op]]:
    """Tensors and operators up to the matrix; the input is the first tensor, the output the 9th."""
    from ai_edge_litert import schema_py_generated as s

    given, side = weights(seed), SIDE // 4
    first = given["first.w"].transpose(0, 2, 3, 1)
    last = given["last.w"].reshape(_OUT, _HIDDEN, side, side).transpose(0, 2, 3, 1)
    last = last.reshape(_OUT, -1)[:outputs].copy()
    if broken:
        last[0, 0] = np.nan
    length, codes, kinds = last.shape[1], s.BuiltinOperator, s.BuiltinOptions
    convolution, shaped, matrix = (
        s.Conv2DOptionsT(), s.ReshapeOptionsT(), s.FullyConnectedOptionsT(),
    )  # fmt: skip
    convolution.padding, convolution.strideH, convolution.strideW = 1, 4, 4
    convolution.fusedActivationFunction = 0 if prelu else 1
    shaped.newShape = np.asarray([1, length], np.int32)
    hidden = (1, side, side, _HIDDEN)
    tensors = [
        T("input", (1, SIDE, SIDE, 3)),
        T("first.w", first.shape, data=first),
        T("first.b", (_HIDDEN,), data=given["first.b"]),
        T("b", hidden),
        T("shape", (2,), "int32", np.asarray([1, length], np.int32)),
        T("c", (1, length)),
        T("last.w", last.shape, data=last),
        T("last.b", (outputs,), data=given["last.b"][:outputs]),
        T("output", (1, outputs)),
        T("a", hidden),
        T("slopes", (1, 1, _HIDDEN), data=np.zeros((1, 1, _HIDDEN), np.float32)),
    ]
    operators = [
        Op(codes.CONV_2D, (0, 1, 2), (9 if prelu else 3,), convolution, kinds.Conv2DOptions),
        *([Op(codes.PRELU, (9, 10), (3,))] if prelu else []),
        Op(codes.RESHAPE, (3, 4), (5,), shaped, kinds.ReshapeOptions),
        Op(codes.FULLY_CONNECTED, (5, 6, 7), (8,), matrix, kinds.FullyConnectedOptions),
    ]
    return tensors, operators
