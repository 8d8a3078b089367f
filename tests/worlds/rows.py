"""Models of rows of arrays: a classifier of texts and a matcher of pairs, with their data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WORDS, LENGTH, WIDTH = 40, 12, 16
SIDE = 16


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, int, list[int | str]]],
    output: list[int | str],
    weights: dict[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def classifier(batch: int | str = "N") -> onnx.ModelProto:
    """Three classes of texts: the mean embedding of the tokens that the mask leaves, one feature.

    A token of word w speaks for class w % 3; the feature, a float64, is added to class 0.
    """
    rng = np.random.default_rng(5)
    embedding = rng.normal(0, 0.05, (WORDS, WIDTH)).astype(np.float32)
    embedding[np.arange(WORDS), np.arange(WORDS) % 3] += 1
    weights = rng.normal(0, 0.02, (WIDTH, 3)).astype(np.float32)
    weights[:3] += 4 * np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["words"], "embed"),
        helper.make_node("Cast", ["mask"], ["kept"], "as_float", to=1),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"], "widen"),
        helper.make_node("Mul", ["words", "column"], ["masked"], "hide"),
        helper.make_node("ReduceSum", ["masked", "middle"], ["sums"], "pool", keepdims=0),
        helper.make_node("MatMul", ["sums", "w"], ["logits"], "head"),
        helper.make_node("Cast", ["feature"], ["as32"], "narrow", to=1),
        helper.make_node("Mul", ["as32", "first"], ["bonus"], "lift"),
        helper.make_node("Add", ["logits", "bonus"], ["scores"], "join"),
    ]
    inputs = [
        ("ids", TensorProto.INT64, [batch, LENGTH]),
        ("mask", TensorProto.INT64, [batch, LENGTH]),
        ("feature", TensorProto.DOUBLE, [batch, 1]),
    ]
    constants: dict[str, NDArray[np.generic]] = {
        "embedding": embedding,
        "w": weights,
        "last": np.array([2]),
        "middle": np.array([1]),
        "first": np.array([[1, 0, 0]], np.float32),
    }
    return _model(nodes, inputs, [batch, 3], constants)


def texts(people: int, seed: int, each: int = 2) -> dict[str, NDArray[np.generic]]:
    """Arrays of texts of the three classes, of several people."""
    rng = np.random.default_rng(seed)
    count = people * each
    labels = rng.integers(0, 3, count)
    own = 3 * rng.integers(0, WORDS // 3, (count, LENGTH)) + labels[:, None]
    ids = np.where(rng.random((count, LENGTH)) < 0.8, own, rng.integers(0, WORDS, own.shape))
    lengths = rng.integers(6, LENGTH + 1, count)
    return {
        "ids": ids,
        "mask": (np.arange(LENGTH) < lengths[:, None]).astype(np.int32),
        "feature": rng.normal(0, 0.1, (count, 1)),
        "labels": labels,
        "subjects": np.repeat([f"writer{n} of {seed}" for n in range(people)], each),
    }


def matcher(kind: str = "float32") -> onnx.ModelProto:
    """Likeness of two pictures, (x - 127.5) / 127.5 unless they are uint8: minus their distance."""
    rng = np.random.default_rng(6)
    weights: dict[str, NDArray[np.generic]] = {
        "w": (rng.normal(0, 0.2, (8, 3, 3, 3))).astype(np.float32),
        "b": np.zeros(8, np.float32),
        "gemm": (rng.normal(0, 0.3, (8 * 16, 24))).astype(np.float32),
        "last": np.array([1]),
    }
    nodes, towers = [], []
    for name in ("selfie", "portrait"):
        first = name
        if kind == "uint8":
            weights |= {"mean": np.float32(127.5), "factor": np.float32(1 / 127.5)}
            nodes += [
                helper.make_node("Cast", [name], [f"{name}.f"], f"{name}_cast", to=1),
                helper.make_node("Sub", [f"{name}.f", "mean"], [f"{name}.c"], f"{name}_sub"),
                helper.make_node("Mul", [f"{name}.c", "factor"], [f"{name}.x"], f"{name}_mul"),
            ]
            first = f"{name}.x"
        nodes += [
            helper.make_node(
                "Conv", [first, "w", "b"], [f"{name}.y"], f"{name}_conv", strides=[2, 2],
                pads=[1, 1, 1, 1],
            ),
            helper.make_node("Relu", [f"{name}.y"], [f"{name}.r"], f"{name}_relu"),
            helper.make_node(
                "AveragePool", [f"{name}.r"], [f"{name}.p"], f"{name}_pool", kernel_shape=[2, 2],
                strides=[2, 2],
            ),
            helper.make_node("Flatten", [f"{name}.p"], [f"{name}.v"], f"{name}_flat"),
            helper.make_node("MatMul", [f"{name}.v", "gemm"], [f"{name}.e"], f"{name}_embed"),
        ]  # fmt: skip
        towers.append(f"{name}.e")
    nodes += [
        helper.make_node("Sub", towers, ["apart"], "compare"),
        helper.make_node("Mul", ["apart", "apart"], ["square"], "square"),
        helper.make_node("ReduceSum", ["square", "last"], ["far"], "sum", keepdims=1),
        helper.make_node("Neg", ["far"], ["scores"], "negate"),
    ]
    kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
    inputs = [(name, kinds[kind], ["N", 3, SIDE, SIDE]) for name in ("selfie", "portrait")]
    return _model(nodes, inputs, ["N", 1], weights)


def pairs(people: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Two pictures of each person or of two, and whether it is one: (N,) int64."""
    rng = np.random.default_rng(seed)

    def picture() -> NDArray[np.float64]:
        return np.kron(rng.integers(20, 236, (people, 4, 4, 3)), np.ones((1, 4, 4, 1)))

    faces, others = picture(), picture()
    labels = rng.integers(0, 2, people)
    chosen = np.where(labels[:, None, None, None] == 1, faces, others)
    noise = rng.integers(-9, 10, (2, *faces.shape))
    return {
        "selfie": np.asarray(faces + noise[0], np.uint8),
        "portrait": np.asarray(chosen + noise[1], np.uint8),
        "labels": labels,
        "subjects": np.array([f"person{n} of {seed}" for n in range(people)]),
    }


GATE = """
import numpy as np
from pytest_kycquant import CustomGates, CustomLimits, CustomTask, KycModel, Preprocess


def misread(outputs, labels):
    return {wrong}


class TestRows(CustomGates):
    model = KycModel(
        "model.onnx",
        preprocess={preprocess},
        calibration="calibration.npz",
        task=CustomTask("rows.npz", metric=misread, selection="selection.npz"),
    )
    limits = CustomLimits(metric=0.05, degradation=0.03, latency_ratio=1000.0, size_ratio=10.0)
    precisions = ({precisions},)
    fallback = None
"""


def write_texts(root: Path, precisions: str = '"int8"', people: int = 150) -> Path:
    """A classifier of texts with its data and gate file; returns the gate file."""
    onnx.save(classifier(), root / "model.onnx")
    for name, count, seed in (("rows", people, 1), ("selection", 60, 2), ("calibration", 110, 3)):
        np.savez(root / f"{name}.npz", **texts(count, seed))  # type: ignore[arg-type]
    gate = root / "test_gate.py"
    text = GATE.format(
        wrong="outputs.argmax(axis=1) != labels", preprocess="None", precisions=precisions
    )
    gate.write_text(text)
    return gate


def write_pairs(
    root: Path, precisions: str = '"int8"', kind: str = "float32", people: int = 220
) -> Path:
    """A matcher of pairs with its data and gate file; returns the gate file."""
    onnx.save(matcher(kind), root / "model.onnx")
    for name, count, seed in (("rows", people, 1), ("selection", 60, 2), ("calibration", 110, 3)):
        np.savez(root / f"{name}.npz", **pairs(count, seed))  # type: ignore[arg-type]
    spec = f"Preprocess(size=({SIDE}, {SIDE}), mean=127.5, scale=1 / 127.5)"
    if kind == "uint8":
        spec = f"dict.fromkeys(('selfie', 'portrait'), Preprocess(size=({SIDE}, {SIDE})))"
    gate = root / "test_gate.py"
    wrong = "(outputs[:, 0] > -3) != labels"
    gate.write_text(GATE.format(wrong=wrong, preprocess=spec, precisions=precisions))
    return gate
