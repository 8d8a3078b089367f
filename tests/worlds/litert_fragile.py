"""The fragile embedder of `population` for LiteRT: INT8 fails, and mixed precision passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from .litert import Op, T, file
from .population import EMBEDDING, SIZE, WIDTH, embedder

CONVOLUTIONS = ("first", "second", "third", "fourth", "fifth")


def write_fragile(folder: Path) -> None:
    """Write the model in both formats."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(embedder(fragile=True), folder / "face.onnx")
    (folder / "face.tflite").write_bytes(fragile_content())


def fragile_content(*, fragile: bool = True) -> bytes:
    """The model for LiteRT: NHWC, and PRelu as MUL and MAXIMUM."""
    from ai_edge_litert import schema_py_generated as s

    graph = embedder(fragile=fragile).graph
    given = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    codes, kinds = s.BuiltinOperator, s.BuiltinOptions
    side = SIZE // 4
    hidden, flat = (1, side, side, WIDTH), side * side * WIDTH
    tensors = [T("input", (1, SIZE, SIZE, 3))]
    operators: list[Op] = []

    def add(code: int, name: str, shape: tuple[int, ...], inputs: list[T], options: Any) -> None:
        before = len(tensors) - 1
        tensors.extend([*inputs, T(name, shape)])
        constants = range(before + 1, before + 1 + len(inputs))
        kind = getattr(kinds, type(options).__name__.removesuffix("T"))
        operators.append(Op(code, (before, *constants), (len(tensors) - 1,), options, kind))

    def convolve(name: str) -> None:
        weights = given[f"{name}.w"].transpose(0, 2, 3, 1).copy()
        options = s.Conv2DOptionsT()
        options.padding, options.strideH = 1, weights.shape[1]
        options.strideW = weights.shape[1]
        bias = T(f"{name}.b", (WIDTH,), data=np.zeros(WIDTH, np.float32))
        add(
            codes.CONV_2D,
            name,
            hidden,
            [T(f"{name}.w", weights.shape, data=weights), bias],
            options,
        )

    def activate(name: str) -> None:
        slope = T(f"{name}.slope", (1, 1, 1, WIDTH), data=np.full((1, 1, 1, WIDTH), 0.6, "f4"))
        read = len(tensors) - 1
        add(codes.MUL, f"{name}.mul", hidden, [slope], s.MulOptionsT())
        tensors.append(T(f"{name}.max", hidden))
        operators.append(
            Op(
                codes.MAXIMUM, (read, read + 2), (read + 3,),
                s.MaximumMinimumOptionsT(), kinds.MaximumMinimumOptions,
            )
        )  # fmt: skip

    convolve("first")
    activate("prelu")
    convolve("second")
    convolve("third")
    activate("prelu2")
    convolve("fourth")
    convolve("fifth")
    shape, shaped = np.asarray([1, flat], np.int32), s.ReshapeOptionsT()
    shaped.newShape = shape
    add(codes.RESHAPE, "flat", (1, flat), [T("shape", (2,), "int32", shape)], shaped)
    matrix = given["gemm.w"].reshape(EMBEDDING, WIDTH, side, side).transpose(0, 2, 3, 1)
    constants = [
        T("gemm.w", (EMBEDDING, flat), data=matrix.reshape(EMBEDDING, flat).copy()),
        T("gemm.b", (EMBEDDING,), data=given["gemm.b"]),
    ]
    add(codes.FULLY_CONNECTED, "output", (1, EMBEDDING), constants, s.FullyConnectedOptionsT())
    return file(tensors, operators, [0], [len(tensors) - 1])
