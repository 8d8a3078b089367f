"""Models that are damaged, crafted, or not what they are given for."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import Case
from tests.corpus.graphs import add, constant, embedder, insert, node
from tests.corpus.judge import FAILING, PASSING, Expect, refused
from tests.corpus.trial import Trial

FILE = "models/face.onnx"
REFUSED = refused("face.onnx")


def rewritten(change: Callable[[onnx.ModelProto, Trial], object]) -> Callable[[Trial], None]:
    """Change the graph, and accept the changed model as the new baseline."""

    def damage(trial: Trial) -> None:
        model = embedder()
        changed = change(model, trial)
        content = changed if isinstance(changed, bytes) else model.SerializeToString()
        trial.file(FILE).write_bytes(content)
        trial.update_golden()

    return damage


def _flip(trial: Trial, bits: int) -> None:
    content = bytearray(trial.file(FILE).read_bytes())
    for _ in range(bits):
        content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
    trial.file(FILE).write_bytes(content)


def _flip_structure(trial: Trial) -> None:
    """Flip bits outside of the weights, where they change what the file means."""
    content = bytearray(trial.file(FILE).read_bytes())
    weights = content.index(b"gemm.w") + 20, content.index(b"gemm.b")
    places = [i for i in range(len(content)) if not weights[0] <= i < weights[1] - 40]
    for _ in range(2):
        content[trial.rng.choice(places)] ^= 1 << trial.rng.randrange(8)
    trial.file(FILE).write_bytes(content)
    trial.update_golden()


def _cut(trial: Trial) -> None:
    content = trial.file(FILE).read_bytes()
    trial.file(FILE).write_bytes(content[: trial.rng.randrange(1, len(content))])
    trial.update_golden()


def _delete(trial: Trial) -> None:
    content = trial.file(FILE).read_bytes()
    at, length = trial.rng.randrange(len(content)), trial.rng.choice((1, 2, 7, 300))
    trial.file(FILE).write_bytes(content[:at] + content[at + length :])
    trial.update_golden()


def _dimension(model: onnx.ModelProto, trial: Trial) -> None:
    tensor = constant(model, trial.rng.choice(("conv.w", "gemm.w", "gemm.b")))
    which = trial.rng.randrange(len(tensor.dims))
    wrong = (0, -1, tensor.dims[which] + 1, 2**31, 2**40, 2**62, -(2**63))
    tensor.dims[which] = trial.rng.choice(wrong)


def _raw_length(model: onnx.ModelProto, trial: Trial) -> None:
    tensor = constant(model, "gemm.w")
    tensor.raw_data = tensor.raw_data[: trial.rng.randrange(0, len(tensor.raw_data))]


def _input(shape: list[int | str], kind: int = TensorProto.FLOAT) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", kind, shape))

    return change


def _no_output(model: onnx.ModelProto, trial: Trial) -> None:
    del model.graph.output[:]


def _two_inputs(model: onnx.ModelProto, trial: Trial) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    insert(model, "c", helper.make_node("Mul", ["x", "more"], ["y"], name="mul"))


def _cycle(model: onnx.ModelProto, trial: Trial) -> None:
    node(model, "relu").input[0] = "c"


def _duplicates(model: onnx.ModelProto, trial: Trial) -> None:
    node(model, "flatten").output[0] = "b"
    node(model, "gemm").input[0] = "b"


def _dangling(model: onnx.ModelProto, trial: Trial) -> None:
    node(model, "gemm").input[0] = "nowhere"


def _operator(kind: str, domain: str = "") -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        node(model, "relu").op_type = kind
        node(model, "relu").domain = domain
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))

    return change


def _opset(version: int) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        model.opset_import[0].version = version

    return change


def _no_opset(model: onnx.ModelProto, trial: Trial) -> None:
    del model.opset_import[:]


def _ir(version: int) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        model.ir_version = version

    return change


def _attribute(model: onnx.ModelProto, trial: Trial) -> None:
    conv = node(model, "conv")
    del conv.attribute[:]
    wrong = ([0, 0], [-1, 4], [2**40, 2**40], [4], [4, 4, 4], [])
    conv.attribute.append(helper.make_attribute("strides", trial.rng.choice(wrong), attr_type=7))


def _pads(model: onnx.ModelProto, trial: Trial) -> None:
    wrong = ([-1, -1, -1, -1], [2**40] * 4, [1, 2], [2**62, 0, 0, 0])
    node(model, "conv").attribute.append(helper.make_attribute("pads", trial.rng.choice(wrong)))


def _values(value: float, share: float) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        tensor = constant(model, "gemm.w")
        weights = numpy_helper.to_array(tensor).copy()
        rng = np.random.default_rng(trial.rng.randrange(2**32))
        weights[rng.random(weights.shape) < share] = value
        tensor.CopyFrom(numpy_helper.from_array(weights, "gemm.w"))

    return change


def _batch(size: int) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        _input([size, 3, 16, 16])(model, trial)
        model.graph.output[0].CopyFrom(
            helper.make_tensor_value_info("output", TensorProto.FLOAT, [size, 64])
        )

    return change


def _empty_output(model: onnx.ModelProto, trial: Trial) -> None:
    """Everything is sliced away, behind an output without a shape."""
    zero, axis = add(model, "zero", np.array([0])), add(model, "axis", np.array([1]))
    insert(model, "output", helper.make_node("Slice", ["x", zero, zero, axis], ["y"], name="slice"))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["a", "b"])
    )


def _untyped(model: onnx.ModelProto, trial: Trial) -> None:
    model.graph.output[0].type.Clear()


def _other_bytes(content: bytes) -> Callable[[Trial], None]:
    def damage(trial: Trial) -> None:
        trial.file(FILE).write_bytes(content)
        if trial.rng.random() < 0.5:
            trial.update_golden()

    return damage


def _noise(trial: Trial) -> None:
    trial.file(FILE).write_bytes(trial.rng.randbytes(trial.rng.choice((1, 100, 40_000))))


def _instead(make: Callable[[str], object]) -> Callable[[Trial], None]:
    """Something else lies where the model should."""

    def damage(trial: Trial) -> None:
        trial.file(FILE).unlink()
        make(os.fspath(trial.file(FILE)))

    return damage


def _unreadable(trial: Trial) -> None:
    trial.file(FILE).chmod(0)
    trial.unprivileged = True


def _names(text: str) -> Callable[..., None]:
    """Names from the model that end up in messages: here of an operator that does not exist."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        node(model, "relu").op_type = f"Nothing{text}"
        node(model, "relu").name = text

    return change


def _harmless_names(text: str) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        node(model, "gemm").name = f"{text}2"
        node(model, "conv").name = text
        model.graph.name = model.producer_name = model.doc_string = text

    return change


def _named_output(text: str) -> Callable[..., None]:
    """Two outputs with such names, so that the error has to list them."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        for index in range(2):
            model.graph.node.append(helper.make_node("Relu", ["c"], [f"{text}{index}"]))
            model.graph.output.append(
                helper.make_tensor_value_info(f"{text}{index}", TensorProto.FLOAT, [1, 128])
            )

    return change


def _not_utf8(model: onnx.ModelProto, trial: Trial) -> bytes:
    old = trial.rng.choice((b"flatten", b"relu", b"output", b"conv.w"))
    return model.SerializeToString().replace(old, b"\xff\xfe" + old[2:])


def _deep(levels: int) -> Callable[..., bytes]:
    """A conditional in a conditional in ..., written by hand: the libraries refuse to copy it."""

    def field(number: int, content: bytes) -> bytes:
        return _varint(number << 3 | 2) + _varint(len(content)) + content

    def change(model: onnx.ModelProto, trial: Trial) -> bytes:
        add(model, "yes", np.array(True))
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
        same = helper.make_node("Identity", ["c.before"], ["o"], name="same")
        leaf = helper.make_graph([same], "leaf", [], [out])
        plain = helper.make_attribute("else_branch", leaf).SerializeToString()
        graph = leaf.SerializeToString()
        for level in range(levels):
            then = field(1, b"then_branch") + field(6, graph) + _varint(20 << 3) + _varint(5)
            one = helper.make_node("If", ["yes"], ["o"], name=f"if{level}").SerializeToString()
            both = field(5, then) + field(5, plain)
            graph = field(1, one + both) + field(2, b"g") + field(12, out.SerializeToString())
        insert(model, "c", helper.make_node("If", ["yes"], ["y"], name="outermost"))
        call = node(model, "outermost").SerializeToString()
        then = field(1, b"then_branch") + field(6, graph) + _varint(20 << 3) + _varint(5)
        nested = call + field(5, then) + field(5, plain)
        inner, outer = model.graph.SerializeToString(), model.SerializeToString()
        inner = inner.replace(field(1, call), field(1, nested))
        return outer.replace(field(7, model.graph.SerializeToString()), field(7, inner))

    return change


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _many_nodes(model: onnx.ModelProto, trial: Trial) -> None:
    chain = [f"n{i}" for i in range(300)]
    links = zip(["x", *chain], [*chain, "y"], strict=True)
    insert(model, "c", *(helper.make_node("Identity", [a], [b], name=f"of {b}") for a, b in links))


CONTROL = (
    "\x1b[2J\x1b]0;owned\x07",
    "\r\x08\x08",
    "\u202eevil",
    "\x00nul",
    "a\nnext: pytest",
    "x" * 1_000_000,
)
_REFUSED_GRAPHS: dict[str, Callable[..., object]] = {
    "no-output": _no_output,
    "two-inputs": _two_inputs,
    "cycle": _cycle,
    "duplicate-tensor": _duplicates,
    "dangling-input": _dangling,
    "unknown-operator": _operator("NoSuchOperator"),
    "unknown-domain": _operator("Relu", "org.example"),
    "opset-of-the-future": _opset(9_999),
    "opset-zero": _opset(0),
    "opset-negative": _opset(-5),
    "no-opset": _no_opset,
    "ir-of-the-future": _ir(9_999),
    "ir-negative": _ir(-1),
    "strides": _attribute,
    "pads": _pads,
    "nan-weights": _values(float("nan"), 0.01),
    "inf-weights": _values(float("inf"), 0.001),
    "rank-2": _input([1, 768]),
    "rank-5": _input([1, 1, 3, 16, 16]),
    "four-channels": _input([1, 4, 16, 16]),
    "other-size": _input([1, 3, 32, 32]),
    "input-integer": _input([1, 3, 16, 16], TensorProto.INT64),
    "input-string": _input([1, 3, 16, 16], TensorProto.STRING),
    "input-half": _input([1, 3, 16, 16], TensorProto.FLOAT16),
    "batch-0": _batch(0),
    "batch-huge": _batch(2**40),
    "empty-output": _empty_output,
    "untyped-output": _untyped,
    "raw-data-cut": _raw_length,
    "not-utf-8": _not_utf8,
}  # fmt: skip
_ODD_FILES: dict[str, Callable[[Trial], object]] = {
    "empty": _other_bytes(b""),
    "text": _other_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"),
    "zip": _other_bytes(b"PK\x03\x04" + bytes(200)),
    "zeros": _other_bytes(bytes(5_000)),
    "html": _other_bytes(b"<!DOCTYPE html><html><body>404</body></html>"),
    "field-only": _other_bytes(b"\x08\x08"),
    "noise": _noise,
    "absent": _instead(lambda path: None),
    "folder": _instead(os.mkdir),
    "fifo": _instead(os.mkfifo),
    "device": _instead(lambda path: os.symlink("/dev/zero", path)),
    "dangling-link": _instead(lambda path: os.symlink("nowhere", path)),
    "link-to-itself": _instead(lambda path: os.symlink(path, path)),
    "unreadable": _unreadable,
}


def cases(rng: random.Random) -> Iterator[Case]:
    """Damaged files and graphs; `crafted` has those that look sound."""
    unchanged: Expect = refused("face.onnx", "face.json")
    for index in range(8):
        yield Case(f"model-flip-{index}", "face", lambda t, n=index: _flip(t, 1 + n % 2), unchanged)
    anything = REFUSED | FAILING | PASSING
    for index in range(10):
        yield Case(f"model-flip-structure-{index}", "face", _flip_structure, anything)
    for index in range(6):
        yield Case(f"model-cut-{index}", "face", _cut, REFUSED)
    for index in range(6):
        yield Case(f"model-bytes-deleted-{index}", "face", _delete, anything)
    for index in range(8):
        yield Case(f"model-dimension-{index}", "face", rewritten(_dimension), REFUSED)
    for name, change in _REFUSED_GRAPHS.items():
        yield Case(f"model-{name}", "face", rewritten(change), REFUSED)
    for name, size in (("unknown", -1), ("2", 2)):
        yield Case(f"model-batch-{name}", "face", rewritten(_batch(size)), PASSING)
    yield Case("model-zero-weights", "face", rewritten(_values(0.0, 1.1)), REFUSED | FAILING)
    for name, damage in _ODD_FILES.items():
        yield Case(f"model-file-{name}", "face", damage, REFUSED)
    for index, text in enumerate(CONTROL):
        yield Case(f"model-bad-name-{index}", "face", rewritten(_names(text)), REFUSED)
        harmless = rewritten(_harmless_names(text))
        yield Case(f"model-odd-name-{index}", "face", harmless, REFUSED | PASSING)
        yield Case(f"model-output-name-{index}", "face", rewritten(_named_output(text)),
                   refused("face.onnx", "FaceVerification.output"))  # fmt: skip
    for levels in (5, 60, 5_000):
        yield Case(f"model-deep-{levels}", "face", rewritten(_deep(levels)), REFUSED | PASSING)
    yield Case("model-long-chain", "face", rewritten(_many_nodes), REFUSED | PASSING)
