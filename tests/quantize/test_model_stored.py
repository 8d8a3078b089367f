"""Weights that are stored in 8 or 16 bits and restored on loading are a quantized model."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import pytest_kycquant
from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.zoo import images, save, tiny_embedder

NAMES = ("w1", "w2", "w3", "w4")
CHAINS = {
    "Cast": [],
    "Cast, Mul": ["Mul"],
    "Cast, Sub, Mul": ["Sub", "Mul"],
    "Cast, Sub, Mul, Reshape": ["Sub", "Mul", "Reshape"],
    "Reshape, Cast, Mul": ["Mul"],
}


def stored(kind, chain, *, constant):
    """The tiny embedder with its weights in few bits."""
    proto = tiny_embedder()
    kept = {t.name: t for t in proto.graph.initializer}
    nodes = []
    for name in NAMES:
        array = numpy_helper.to_array(kept.pop(name))
        shift = {"uint8": 128, "uint16": 32768}.get(kind, 0) if "Sub" in CHAINS[chain] else 0
        levels = 127 if "8" in kind else 32767
        scale = float(np.abs(array).max() / levels)
        codes = array if kind == "float16" else np.round(array / scale) + shift
        codes = np.clip(codes, 0, None) if kind.startswith("u") and not shift else codes
        flat = "Reshape" in chain
        codes = codes.astype(kind)
        held = {"codes": codes.ravel() if flat else codes}
        held["shape"] = np.array(array.shape)
        held["Sub"] = np.array(shift, np.float32)
        held["Mul"] = np.array(1 if kind == "float16" else scale, np.float32)
        steps = [("Cast", "codes"), *((op, op) for op in CHAINS[chain])]
        if chain.startswith("Reshape"):
            steps = [("Reshape", "codes"), ("Cast", None), ("Mul", "Mul")]
        read = f"{name}/codes"
        for index, (op, _) in enumerate(steps):
            inputs = [read]
            if op != "Cast":
                inputs.append(f"{name}/{'shape' if op == 'Reshape' else op}")
            read = name if index == len(steps) - 1 else f"{name}/{index}"
            given = {"to": TensorProto.FLOAT} if op == "Cast" else {}
            nodes.append(helper.make_node(op, inputs, [read], f"{name}_{index}", **given))
        for part, content in held.items():
            tensor = numpy_helper.from_array(content, f"{name}/{part}")
            if constant:
                node = helper.make_node("Constant", [], [tensor.name], tensor.name, value=tensor)
                nodes.insert(0, node)
            else:
                kept[tensor.name] = tensor
    nodes += proto.graph.node
    read = {name for node in nodes for name in node.input}
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(t for name, t in kept.items() if name in read)
    return proto


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "float16"])
def test_it_is_told_from_fp32(tmp_path, kind, chain, constant):
    bits = "'w\\d/codes' has 16 bits" if kind == "float16" else f"which is stored as {kind}"
    with pytest.raises(ModelError, match=f"{bits}; give the FP32 model from which it was made"):
        load_model(save(tmp_path, stored(kind, chain, constant=constant)))


@pytest.mark.parametrize("recipe", ["int8-weights", "int4-weights", "fp16", "int8-dynamic"])
def test_our_own_files_are_recognised(tmp_path, recipe):
    made = pytest_kycquant.quantize(save(tmp_path, tiny_embedder()), images(4), recipe)
    with pytest.raises(ModelError, match=r"is already quantized|is not FP32"):
        load_model(made.path)


def test_small_settings_of_few_bits_are_legitimate(tmp_path):
    """Such as a choice of pixels, which no layer reads as a weight."""
    proto = tiny_embedder()
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.uint8), "on"))
    proto.graph.node.insert(0, helper.make_node("Cast", ["on"], ["one"], "on", to=1))
    proto.graph.node.insert(1, helper.make_node("Mul", ["input", "one"], ["x"], "times"))
    proto.graph.node[2].input[0] = "x"
    load_model(save(tmp_path, proto))
