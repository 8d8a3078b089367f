"""Models that are valid but must not be gated: random, endless, recursive."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import Case
from tests.corpus.graphs import add, constant, embedder, insert
from tests.corpus.judge import PASSING, refused
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


def cases(rng: random.Random) -> Iterator[Case]:
    """Random, recursive and endless models, and tricks with external data."""
    for name, change in _RANDOM_GRAPHS.items():
        says = r"random|not a function|differ|Dropout|Bernoulli|Multinomial"
        yield Case(
            f"crafted-random-{name}", "face", rewritten(change), refused("face.onnx", says=says)
        )
    for name, change in _RECURSIVE.items():
        says = r"recurs|itself|calls|circle|cycl"
        expect = refused("face.onnx", says=says)
        yield Case(f"crafted-recursive-{name}", "face", rewritten(change), expect)
    for name, change in _EXTERNAL.items():
        expect = refused("face.onnx", "external", "w.bin", "location")
        if name == "link-outside":  # as in the caches of model hubs; the name stays in the folder
            expect = PASSING
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
