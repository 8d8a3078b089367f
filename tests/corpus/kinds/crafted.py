"""Models that are valid but must not be gated: random, quantized before, endless, recursive."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import Case
from tests.corpus.graphs import add, constant, embedder, insert, node, replace_weight
from tests.corpus.judge import refused
from tests.corpus.kinds.models import FILE, rewritten
from tests.corpus.trial import Trial

_RANDOM = {
    "RandomNormalLike": {"scale": 1e-6},
    "RandomUniformLike": {"high": 1e-6},
    "RandomNormal": {"scale": 1e-6, "shape": [1, 128]},
    "RandomUniform": {"high": 1e-6, "shape": [1, 128]},
}  # fmt: skip


def _random(kind: str) -> Callable[..., None]:
    def change(model: onnx.ModelProto, trial: Trial) -> None:
        inputs = ["x"] if kind.endswith("Like") else []
        insert(
            model, "c",
            helper.make_node(kind, inputs, ["noise"], name="noise", **_RANDOM[kind]),
            helper.make_node("Add", ["x", "noise"], ["y"], name="noisy"),
        )  # fmt: skip

    return change


def _bernoulli(model: onnx.ModelProto, trial: Trial) -> None:
    add(model, "half", np.full((1, 128), 0.5, np.float32))
    add(model, "little", np.array(1e-6, np.float32))
    insert(
        model, "c",
        helper.make_node("Bernoulli", ["half"], ["coin"], name="coin"),
        helper.make_node("Mul", ["coin", "little"], ["small"], name="small"),
        helper.make_node("Add", ["x", "small"], ["y"], name="noisy"),
    )  # fmt: skip


def _multinomial(model: onnx.ModelProto, trial: Trial) -> None:
    add(model, "little", np.array(1e-6, np.float32))
    insert(
        model, "c",
        helper.make_node("Multinomial", ["x"], ["draw"], name="draw", sample_size=1),
        helper.make_node("Cast", ["draw"], ["drawn"], name="drawn", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["drawn", "little"], ["small"], name="small"),
        helper.make_node("Add", ["x", "small"], ["y"], name="noisy"),
    )  # fmt: skip


def _dropout(model: onnx.ModelProto, trial: Trial) -> None:
    add(model, "ratio", np.array(0.01, np.float32))
    add(model, "training", np.array(True))
    insert(model, "c", helper.make_node("Dropout", ["x", "ratio", "training"], ["y"], name="drop"))


def _random_in_branch(model: onnx.ModelProto, trial: Trial) -> None:
    add(model, "yes", np.array(True))
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    noise = helper.make_node("RandomNormalLike", ["c.before"], ["n"], name="hidden", scale=1e-6)
    noisy = helper.make_graph(
        [noise, helper.make_node("Add", ["c.before", "n"], ["o"], name="sum")], "then", [], [out]
    )
    plain = helper.make_graph(
        [helper.make_node("Identity", ["c.before"], ["o"], name="same")], "else", [], [out]
    )
    branches = {"then_branch": noisy, "else_branch": plain}
    insert(model, "c", helper.make_node("If", ["yes"], ["y"], name="if", **branches))


def _function(model: onnx.ModelProto, name: str, nodes: list[onnx.NodeProto]) -> None:
    """Declare a local function of one input ``p`` and one output ``q``."""
    model.functions.append(
        helper.make_function("local", name, ["p"], ["q"], nodes,
                             [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)])
    )  # fmt: skip
    if not any(entry.domain == "local" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("local", 1))


def _random_in_function(model: onnx.ModelProto, trial: Trial) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["p"], ["n"], name="hidden", scale=1e-6),
        helper.make_node("Add", ["p", "n"], ["q"], name="sum"),
    ]
    _function(model, "Noisy", nodes)
    insert(model, "c", helper.make_node("Noisy", ["x"], ["y"], name="call", domain="local"))


def _recursive(names: tuple[str, ...], branch: bool = False) -> Callable[..., None]:
    """Functions that call each other in a circle, perhaps out of a branch."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        for name, following in zip(names, (*names[1:], names[0]), strict=True):
            call = helper.make_node(following, ["p"], ["q"], name="call", domain="local")
            if branch:
                out = helper.make_tensor_value_info("q2", TensorProto.FLOAT, None)
                call.output[0] = "q2"
                inner = helper.make_graph([call], "g", [], [out])
                yes = helper.make_node("Constant", [], ["yes"], value_int=1)
                cast = helper.make_node("Cast", ["yes"], ["bool"], to=TensorProto.BOOL)
                both = {"then_branch": inner, "else_branch": inner}
                nodes = [yes, cast, helper.make_node("If", ["bool"], ["q"], name="if", **both)]
            else:
                nodes = [call]
            _function(model, name, nodes)
        insert(model, "c", helper.make_node(names[0], ["x"], ["y"], name="call", domain="local"))

    return change


def _loop(model: onnx.ModelProto, condition: onnx.NodeProto, *before: onnx.NodeProto) -> None:
    """A loop that goes on while a condition holds, which may depend on the image."""
    add(model, "most", np.array(2**62))
    add(model, "go", np.array(True))
    body = helper.make_graph(
        [helper.make_node("Identity", ["value"], ["next"], name="body"), condition],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    insert(
        model,
        "c",
        *before,
        helper.make_node("Loop", ["most", "go", "x"], ["y"], name="loop", body=body),
    )


def _endless(model: onnx.ModelProto, trial: Trial) -> None:
    _loop(model, helper.make_node("Identity", ["on"], ["still"], name="always"))


def _rare(model: onnx.ModelProto) -> onnx.NodeProto:
    """A number that is 1 for a few images and 0 for the others, by the sign of their content."""
    axes = add(model, "axes", np.array([0, 1]))
    add(model, "level", np.array(0.55, np.float32))
    return helper.make_node("ReduceMean", ["x", axes], ["mean"], name="mean", keepdims=0)


def _endless_for_some(model: onnx.ModelProto, trial: Trial) -> None:
    insert(model, "b")
    mean = _rare(model)
    bright = helper.make_node("Greater", ["mean", "level"], ["bright"], name="bright")
    _loop(model, helper.make_node("Identity", ["bright"], ["still"], name="while"), mean, bright)
    _threshold(model)


def _threshold(model: onnx.ModelProto) -> None:
    """Set the level so that about one image in thirty is above it."""
    import onnxruntime

    from tests.worlds.population import people

    probe = embedder()
    probe.graph.output[0].CopyFrom(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 128]))
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    pixels = (people(40, 2, seed=3)[0].astype(np.float32) - 127.5) / 127.5
    means = [
        session.run(None, {"input": one[None].transpose(0, 3, 1, 2)})[0].mean() for one in pixels
    ]
    level = np.float32(np.sort(means)[-4:-2].mean())
    constant(model, "level").CopyFrom(numpy_helper.from_array(np.array(level), "level"))


def _fails_for_some(model: onnx.ModelProto, trial: Trial) -> None:
    """An index out of range for bright images."""
    mean = _rare(model)
    axis = add(model, "two", np.array([[1.0] * 128], np.float32))
    insert(
        model, "c", mean,
        helper.make_node("Greater", ["mean", "level"], ["bright"], name="bright"),
        helper.make_node("Cast", ["bright"], ["index"], name="index", to=TensorProto.INT64),
        helper.make_node("Gather", [axis, "index"], ["row"], name="gather", axis=0),
        helper.make_node("Mul", ["x", "row"], ["y"], name="mul"),
    )  # fmt: skip
    _threshold(model)


def _terabytes(model: onnx.ModelProto, trial: Trial) -> None:
    size = trial.rng.choice((2**38, 2**42, 2**61))
    add(model, "huge", np.array([size]))
    axes = add(model, "axes0", np.array([0]))
    insert(
        model, "c",
        helper.make_node("ConstantOfShape", ["huge"], ["zeros"], name="zeros"),
        helper.make_node("ReduceMax", ["zeros", axes], ["none"], name="none"),
        helper.make_node("Add", ["x", "none"], ["y"], name="add"),
    )  # fmt: skip


def _cast(value: np.ndarray, kind: int) -> onnx.TensorProto:
    return helper.make_tensor("stored", kind, value.shape, value.ravel().tolist())


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
    """Single precision, but few different values."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        for name in ("conv.w", "gemm.w"):
            tensor = constant(model, name)
            value = numpy_helper.to_array(tensor)
            step = np.float32(2 * np.abs(value).max() / levels)
            rounded = (np.rint(value / step) * step).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, name))

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


def _external(
    location: str, make: Callable[[Trial, bytes], object] | None = None, **entries: str
) -> Callable[..., None]:
    """A weight whose data are said to be in another file."""

    def change(model: onnx.ModelProto, trial: Trial) -> None:
        tensor = constant(model, "gemm.w")
        content = bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        if make is not None:
            make(trial, content)

    return change


def _beside(name: str) -> Callable[[Trial, bytes], object]:
    return lambda trial, content: (trial.file("models") / name).write_bytes(content)


def _outside(trial: Trial, content: bytes) -> None:
    (trial.root / "home" / "secret.bin").write_bytes(content)


def _linked(trial: Trial, content: bytes) -> None:
    _outside(trial, content)
    (trial.file("models") / "w.bin").symlink_to("../../home/secret.bin")


_EXTERNAL: dict[str, Callable[..., None]] = {
    "absent": _external("w.bin"),
    "absolute": _external("/etc/passwd"),
    "above": _external("../../home/secret.bin", _outside),
    "link-outside": _external("w.bin", _linked),
    "nul": _external("w\x00.bin", _beside("w")),
    "empty-name": _external(""),
    "escape": _external("\x1b[2J.bin"),
    "long-name": _external("x" * 5_000),
    "folder": _external("w.bin", lambda trial, content: (trial.file("models") / "w.bin").mkdir()),
    "fifo": _external("w.bin", lambda trial, content: os.mkfifo(trial.file("models") / "w.bin")),
    "device": _external("w.bin", lambda t, content: t.file("models/w.bin").symlink_to("/dev/zero")),
    "cut": _external("w.bin", lambda t, content: t.file("models/w.bin").write_bytes(content[:-5])),
    "offset-beyond": _external("w.bin", _beside("w.bin"), offset="999999999"),
    "offset-negative": _external("w.bin", _beside("w.bin"), offset="-8"),
    "offset-text": _external("w.bin", _beside("w.bin"), offset="abc"),
    "length-huge": _external("w.bin", _beside("w.bin"), length=str(2**63)),
    "length-short": _external("w.bin", _beside("w.bin"), length="16"),
    "itself": _external("face.onnx"),
}  # fmt: skip
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
_RANDOM_GRAPHS: dict[str, Callable[..., None]] = {
    **{name: _random(name) for name in _RANDOM},
    "Bernoulli": _bernoulli,
    "Multinomial": _multinomial,
    "Dropout": _dropout,
    "in-branch": _random_in_branch,
    "in-function": _random_in_function,
}
_RECURSIVE: dict[str, Callable[..., None]] = {
    "itself": _recursive(("Again",)),
    "two": _recursive(("One", "Two")),
    "five": _recursive(("A", "B", "C", "D", "E")),
    "through-branch": _recursive(("Again",), branch=True),
    "two-through-branch": _recursive(("One", "Two"), branch=True),
}


def _changed_data(trial: Trial) -> None:
    """External data change after the golden was recorded: here, when it has none of them."""
    model = embedder()
    _external("w.bin", _beside("w.bin"))(model, trial)
    trial.file(FILE).write_bytes(model.SerializeToString())
    data = trial.file("models/w.bin")
    data.write_bytes(data.read_bytes()[::-1])


def _exported(precision: str) -> Callable[[Trial], None]:
    """A file that this package made, given as FP32."""

    def damage(trial: Trial) -> None:
        from pytest_kycquant import quantize

        made = trial.file("models/made.onnx")
        quantize(trial.file(FILE), recipe=precision, output=made)
        os.replace(made, trial.file(FILE))
        trial.update_golden()

    return damage


def cases(rng: random.Random) -> Iterator[Case]:
    """Random, prequantized, recursive and endless models, and tricks with external data."""
    for name, change in _RANDOM_GRAPHS.items():
        says = r"random|not a function|differ|Dropout|Bernoulli|Multinomial"
        yield Case(
            f"crafted-random-{name}", "face", rewritten(change), refused("face.onnx", says=says)
        )
    for name, graph in _PREQUANTIZED.items():
        says = r"quantized|bit|half|precision|float16|int8|stored|values"
        expect = refused("face.onnx", says=says)
        yield Case(f"crafted-quantized-{name}", "face", rewritten(graph), expect)
    for name in ("int8-weights", "int4-weights", "fp16", "int8-dynamic"):
        yield Case(f"crafted-own-{name}", "face", _exported(name), refused("face.onnx"))
    for name, change in _RECURSIVE.items():
        says = r"recurs|itself|calls|circle|cycl"
        expect = refused("face.onnx", says=says)
        yield Case(f"crafted-recursive-{name}", "face", rewritten(change), expect)
    for name, change in _EXTERNAL.items():
        expect = refused("face.onnx", "external", "w.bin", "location")
        yield Case(f"crafted-external-{name}", "face", rewritten(change), expect)
    yield Case("crafted-external-changed", "face", _changed_data, refused("face.onnx", "face.json"))
    image = r"\[\d+\]"  # faces.npz[17]
    yield Case(
        "crafted-fails-for-some",
        "face",
        rewritten(_fails_for_some),
        refused("face.onnx", says=image),
    )
    for index in range(2):
        yield Case(
            f"crafted-terabytes-{index}", "face", rewritten(_terabytes), refused("face.onnx")
        )
    for name, change in (("endless", _endless), ("endless-for-some", _endless_for_some)):
        yield Case(f"crafted-{name}", "face", _patient(rewritten(change)),
                   refused("face.onnx", says=r"\[\d+\]|image"), slow=True)  # fmt: skip


def _patient(damage: Callable[[Trial], None]) -> Callable[[Trial], None]:
    """The time limit for an image is generous."""

    def damaged(trial: Trial) -> None:
        damage(trial)
        trial.timeout = 240.0

    return damaged
