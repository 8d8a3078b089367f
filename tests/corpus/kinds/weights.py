"""Weights that were quantized before, in files given as FP32."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.case import Case
from tests.corpus.graphs import add, constant, insert, node, replace_weight, weights
from tests.corpus.judge import refused
from tests.corpus.kinds.models import FILE, rewritten
from tests.corpus.trial import Trial


def _half(where: str, kind: int = TensorProto.FLOAT16) -> Callable[..., None]:
    """Half precision behind Cast, from an initializer, a Constant or a function."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        cast = helper.make_node("Cast", ["stored"], ["weight"], name="cast", to=TensorProto.FLOAT)
        value = replace_weight(model, "gemm.w", cast)
        stored = helper.make_tensor("stored", kind, value.shape, value.ravel().tolist())
        if where == "initializer":
            model.graph.initializer.append(stored)
            return
        made = helper.make_node("Constant", [], ["stored"], name="stored", value=stored)
        if where == "constant":
            model.graph.node.insert(0, made)
            return
        made.output[0] = "s"
        inner = [made, helper.make_node("Cast", ["s"], ["q"], name="cast", to=TensorProto.FLOAT)]
        function = helper.make_function(
            "local", "Weight", [], ["q"], inner, [helper.make_opsetid("", 21)]
        )
        model.functions.append(function)
        model.opset_import.append(helper.make_opsetid("local", 1))
        node(model, "cast").CopyFrom(
            helper.make_node("Weight", [], ["gemm.w"], name="cast", domain="local")
        )

    return change


def _bits(bits: int, how: str) -> Callable[..., None]:
    """Weights of few bits behind Cast and Mul, DequantizeLinear, or a codebook."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        most = 2 ** (bits - 1) - 1
        if how == "codebook":
            nodes = [
                helper.make_node("Cast", ["indices"], ["wide"], name="wide", to=TensorProto.INT64),
                helper.make_node("Gather", ["codebook", "wide"], ["weight"], name="gather"),
            ]
            value = replace_weight(model, "gemm.w", *nodes)
            step = np.abs(value).max() / most
            indices = np.clip(np.rint(value / step) + most, 0, 2 * most).astype(np.uint8)
            add(model, "indices", indices)
            add(model, "codebook", ((np.arange(2 * most + 1) - most) * step).astype(np.float32))
            return
        if how == "dequantize":
            nodes = [
                helper.make_node("DequantizeLinear", ["stored", "step"], ["weight"], name="dq")
            ]
        else:
            nodes = [
                helper.make_node("Cast", ["stored"], ["wide"], name="wide", to=TensorProto.FLOAT),
                helper.make_node("Mul", ["wide", "step"], ["weight"], name="scaled"),
            ]
        value = replace_weight(model, "gemm.w", *nodes)
        step = np.float32(np.abs(value).max() / most)
        rounded = np.clip(np.rint(value / step), -most, most).astype(np.int8)
        kind = TensorProto.INT4 if bits == 4 and how == "dequantize" else TensorProto.INT8
        stored = helper.make_tensor("stored", kind, rounded.shape, rounded.ravel().tolist())
        model.graph.initializer.append(stored)
        add(model, "step", np.array(step))

    return change


def _fake(levels: int) -> Callable[..., None]:
    """Single precision, but few different values, in a layer that is large enough to show it."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        model.graph.initializer.remove(constant(model, "gemm.w"))
        for name, shape in (("wide.w", (1024, 128)), ("gemm.w", (64, 1024))):
            value = weights(3, *shape)
            step = np.float32(2 * np.abs(value).max() / levels)
            add(model, name, (np.rint(value / step) * step).astype(np.float32))
        insert(model, "c", helper.make_node("Gemm", ["x", "wide.w"], ["y"], name="wide", transB=1))

    return change


def _split(model: onnx.ModelProto, trial: Trial) -> None:
    """Half precision in two slices that are concatenated."""
    nodes = [
        helper.make_node("Concat", ["upper", "lower"], ["stored"], name="concat", axis=0),
        helper.make_node("Cast", ["stored"], ["weight"], name="cast", to=TensorProto.FLOAT),
    ]
    value = replace_weight(model, "gemm.w", *nodes).astype(np.float16)
    add(model, "upper", value[:30])
    add(model, "lower", value[30:])


def _where(model: onnx.ModelProto, trial: Trial) -> None:
    """Half precision that a condition chooses."""
    nodes = [
        helper.make_node("Cast", ["stored"], ["wide"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Where", ["yes", "wide", "zero"], ["weight"], name="where"),
    ]
    value = replace_weight(model, "gemm.w", *nodes).astype(np.float16)
    add(model, "stored", value)
    add(model, "yes", np.array(True))
    add(model, "zero", np.array(0, np.float32))


def _shifted_bits(model: onnx.ModelProto, trial: Trial) -> None:
    """Four bits, two in a byte, unpacked by shifts."""
    nodes = [
        helper.make_node("BitShift", ["packed", "four"], ["high"], name="high", direction="RIGHT"),
        helper.make_node("BitwiseAnd", ["packed", "mask"], ["low"], name="low"),
        helper.make_node("Concat", ["high", "low"], ["both"], name="both", axis=0),
        helper.make_node("Cast", ["both"], ["wide"], name="wide", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["wide", "middle"], ["centred"], name="centred"),
        helper.make_node("Mul", ["centred", "step"], ["weight"], name="scaled"),
    ]
    value = replace_weight(model, "gemm.w", *nodes)
    step = np.float32(np.abs(value).max() / 7)
    whole = (np.clip(np.rint(value / step), -7, 7) + 8).astype(np.uint8)
    add(model, "packed", (whole[:32] << 4) | whole[32:])
    add(model, "four", np.array(4, np.uint8))
    add(model, "mask", np.array(15, np.uint8))
    add(model, "middle", np.array(8, np.float32))
    add(model, "step", np.array(step))


_PREQUANTIZED: dict[str, Callable[..., object]] = {
    "half-initializer": _half("initializer"),
    "half-constant": _half("constant"),
    "half-function": _half("function"),
    "bfloat16": _half("constant", TensorProto.BFLOAT16),
    "float8": _half("initializer", TensorProto.FLOAT8E4M3FN),
    "half-slices": _split,
    "half-where": _where,
    "8-bits-mul": _bits(8, "mul"),
    "4-bits-mul": _bits(4, "mul"),
    "3-bits-mul": _bits(3, "mul"),
    "8-bits-dequantize": _bits(8, "dequantize"),
    "4-bits-dequantize": _bits(4, "dequantize"),
    "4-bits-shifted": _shifted_bits,
    "codebook-6-bits": _bits(6, "codebook"),
    "fake-8-bits": _fake(200),
    "fake-4-bits": _fake(14),
}


def _exported(precision: str) -> Callable[[Trial], None]:
    """A file that this package made, given as FP32."""

    def damage(trial: Trial) -> None:
        from pytest_kycquant import Preprocess, quantize

        made, images = trial.file("models/made.onnx"), trial.file("calibration.npz")
        pixels = Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5)
        quantize(trial.file(FILE), images, precision, output=made, preprocess=pixels)
        os.replace(made, trial.file(FILE))
        trial.update_golden()

    return damage


def cases(rng: random.Random) -> Iterator[Case]:
    """Half precision and few bits on every way to a weight, and files of this package."""
    for name, graph in _PREQUANTIZED.items():
        says = r"quantized|bit|half|precision|float16|int8|stored|values"
        expect = refused("face.onnx", says=says)
        yield Case(f"weight-{name}", "face", rewritten(graph), expect)
    for name in ("int8-weights", "int4-weights", "fp16", "int8-dynamic"):
        yield Case(f"weight-own-{name}", "face", _exported(name), refused("face.onnx"))
