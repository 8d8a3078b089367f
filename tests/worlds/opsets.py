"""Networks in the words of each opset: what was an attribute became an input, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

IR = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9,
      20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13, 27: 14, 28: 14}  # fmt: skip
"""Opset -> IR version of the release of ONNX that brought it."""


def draw(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Weights."""
    return rng.normal(0, 0.3, shape).astype(np.float32)


def of_nodes(
    nodes: list[onnx.NodeProto],
    weights: dict[str, Any],
    opset: int,
    *,
    ir: int | None = None,
    shape: tuple[int, ...] = (1, 3, 16, 16),
) -> onnx.ModelProto:
    """A model from `input` to `output`; in IR version 3, weights are inputs, too."""
    ir = IR[opset] if ir is None else ir
    graph = helper.make_graph(
        nodes,
        "opsets",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )
    if ir <= 3:
        graph.input.extend(
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
            for t in graph.initializer
        )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


class _Words:
    """Writes operators whose settings moved from attributes to inputs."""

    def __init__(self, opset: int, seed: int) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Any] = {}
        self.last = "input"

    def add(
        self, op_type: str, *inputs: str, since: int = 0, given: dict[str, Any] | None = None,
        **options: Any,
    ) -> str:  # fmt: skip
        """Add an operator behind the last one; `given` are attributes before opset `since`."""
        name = f"{op_type.lower()}{len(self.nodes)}"
        read = [self.last, *inputs]
        for key, value in (given or {}).items():
            if self.opset < since:
                options[key] = value
            else:
                read.append(f"{name}_{key}")
                kind = np.float32 if isinstance(np.asarray(value).flat[0], np.floating) else None
                self.weights[read[-1]] = np.asarray(value, kind)
        self.nodes.append(helper.make_node(op_type, read, [f"{name}_out"], name, **options))
        self.last = f"{name}_out"
        return self.last

    def store(self, name: str, array: Any) -> str:
        self.weights[name] = array
        return name

    def conv(self, name: str, *dims: int, **options: Any) -> None:
        weight = self.store(f"{name}_w", draw(self.rng, *dims))
        self.add("Conv", weight, self.store(f"{name}_b", draw(self.rng, dims[0])), **options)

    def norm(self, name: str, channels: int) -> None:
        arrays = [1 + draw(self.rng, channels), *(draw(self.rng, channels) for _ in range(2))]
        arrays.append(1 + np.abs(draw(self.rng, channels)))
        self.add(
            "BatchNormalization",
            *(self.store(f"{name}_{i}", array) for i, array in enumerate(arrays)),
            epsilon=1e-3,
        )


def network(opset: int, seed: int = 0) -> onnx.ModelProto:
    """Convolutions, normalisations and a head, with every operator that was written otherwise."""
    w = _Words(opset, seed)
    if opset < 11:
        w.add("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0)
    else:
        w.add("Pad", given={"pads": [0, 0, 1, 1, 0, 0, 1, 1], "value": np.float32(0)})
    w.conv("stem", 16, 3, 3, 3, strides=[2, 2])
    w.norm("n1", 16)
    clipped = w.add("Clip", since=11, given={"min": np.float32(0), "max": np.float32(6)})
    w.conv("down", 16, 16, 3, 3, pads=[1] * 4, strides=[2, 2])
    w.add("PRelu", w.store("slope", np.abs(draw(w.rng, 16, 1, 1))))
    scales = np.array([1, 1, 2, 2], np.float32)
    if opset < 9:
        w.add("Upsample", mode="linear", scales=scales.tolist())
    elif opset < 11:
        kind = "Upsample" if opset == 9 else "Resize"
        w.add(kind, w.store("scales", scales), mode="linear")
    else:
        roi = w.store("roi", np.zeros(0, np.float32))
        w.add(
            "Resize", roi, w.store("scales", scales), mode="linear",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
    w.add("Add", clipped)
    w.norm("n2", 16)
    w.add("ReduceMean", since=18, given={"axes": [2, 3]}, keepdims=1)
    w.add("Squeeze", since=13, given={"axes": [2, 3]})
    w.add("Dropout", **({"ratio": 0.5} if opset < 12 else {}))
    head = [w.store("fc_w", draw(w.rng, 24, 16)), w.store("fc_b", draw(w.rng, 24))]
    w.add("Gemm", *head, transB=1)
    w.add("Unsqueeze", since=13, given={"axes": [2]})
    w.add("Reshape", w.store("folded", np.array([1, 4, 6])))
    w.add("Softmax", axis=1)  # before opset 13, over all axes from this one on
    w.add("Flatten")
    w.add("Slice", since=10, given={"starts": [2], "ends": [24], "axes": [1]})
    w.add("MatMul", w.store("last_w", draw(w.rng, 22, 12)))
    w.nodes[-1].output[0] = "output"
    return of_nodes(w.nodes, w.weights, opset)
