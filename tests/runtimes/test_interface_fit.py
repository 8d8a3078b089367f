"""How a file with other names, orders and layouts is matched with FP32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes import Port
from pytest_kycquant.runtimes.interface import Interface, fit


class File:
    """An open file of these inputs and outputs, which gives what it is told."""

    def __init__(self, inputs: dict[str, Any], outputs: dict[str, Any], kind: str = "float32"):
        self.input_ports = tuple(Port(name, shape, kind) for name, shape in inputs.items())
        self.output_ports = tuple(Port(name, shape, "float32") for name, shape in outputs.items())
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.seen: dict[str, Any] = {}

    def run(self, inputs: Any) -> list[Any]:
        self.seen = dict(inputs)
        return [np.arange(np.prod(p.shape), dtype="f4").reshape(p.shape) for p in self.output_ports]

    def runner(self, inputs: Any) -> Any:
        return lambda: self.run(inputs)


def arrays(**shapes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def matched(file: File, inputs: dict[str, Any], outputs: dict[str, Any], /, **options: Any) -> Any:
    found = fit("m.tflite", file, inputs, outputs, **options)
    shown = found.present(file)
    result = dict(zip(shown.outputs, shown.run(inputs), strict=True))
    assert {name: array.shape for name, array in result.items()} == {
        name: array.shape for name, array in outputs.items()
    }
    return found


def test_nothing_differs() -> None:
    file = File({"x": (1, 3, 4, 4)}, {"y": (1, 8)})
    assert matched(file, arrays(x=(1, 3, 4, 4)), arrays(y=(1, 8))) == Interface()


def test_fp32s_own_names_in_another_order() -> None:
    """A declared order holds also where the file has FP32's names, which may stand for others."""
    file, sample = File({"x": (1, 2)}, {"b": (1, 4), "a": (1, 4)}), arrays(x=(1, 2))
    wanted = arrays(a=(1, 4), b=(1, 4))
    file.run = lambda inputs: [np.full((1, 4), value, "f4") for value in (7, 8)]  # type: ignore[method-assign]
    as_named = fit("m", file, sample, wanted).present(file)
    assert as_named.outputs == ("a", "b")
    assert [each[0, 0] for each in as_named.run(sample)] == [8, 7]
    swapped = fit("m", file, sample, wanted, outputs=("b", "a")).present(file)
    assert swapped.outputs == ("a", "b")
    assert [each[0, 0] for each in swapped.run(sample)] == [7, 8]
    same = File({"x": (1, 2)}, {"a": (1, 4), "b": (1, 4)})
    assert fit("m", same, sample, wanted) == Interface()
    assert fit("m", same, sample, wanted, outputs=("a", "b")) == Interface()
    turned = fit("m", same, sample, wanted, outputs=("b", "a"))
    assert [(each.at, each.of) for each in turned.outputs] == [(1, "a"), (0, "b")]


def test_channels_last() -> None:
    file = File({"image": (1, 4, 5, 3)}, {"map": (1, 2, 2, 7)})
    sample = arrays(x=(1, 3, 4, 5))
    matched(file, sample, arrays(y=(1, 7, 2, 2)))
    assert (file.seen["image"] == sample["x"].transpose(0, 2, 3, 1)).all()


def test_channels_last_in_a_square() -> None:
    file = File({"image": (1, 6, 6, 3)}, {"y": (1, 8)})
    found = matched(file, arrays(x=(1, 3, 6, 6)), arrays(y=(1, 8)))
    assert found.inputs[0].axes == (0, 2, 3, 1)


def test_channels_first_in_the_file() -> None:
    file = File({"x": (1, 3, 6, 6)}, {"y": (1, 8)})
    found = matched(file, arrays(x=(1, 6, 6, 3)), arrays(y=(1, 8)))
    assert found.inputs[0].axes == (0, 3, 1, 2)


def test_channels_that_only_the_values_tell() -> None:
    """As many channels as rows and columns: the map is the same shape in both layouts."""

    class Map(File):
        def run(self, inputs: Any) -> list[Any]:
            return [inputs["image"] * 2]

    file = Map({"image": (1, 4, 4, 4)}, {"map": (1, 4, 4, 4)})
    sample = arrays(image=(1, 4, 4, 4))
    first = fit("m", file, sample, {"map": 2 * sample["image"]})
    assert first == Interface()
    last = fit("m", file, sample, {"map": 2 * sample["image"].transpose(0, 3, 1, 2)})
    assert last.outputs[0].axes == (0, 3, 1, 2)


def test_an_unusual_order_if_only_one_fits() -> None:
    file = File({"x": (5, 1, 4, 3)}, {"y": (1, 8)})
    sample = arrays(x=(1, 3, 4, 5))
    found = matched(file, sample, arrays(y=(1, 8)))
    assert file.seen["x"].shape == (5, 1, 4, 3)
    assert found.inputs[0].axes == (3, 0, 2, 1)


def test_names_before_shapes_and_the_order_of_fp32() -> None:
    file = File({"b": (1, 4), "a": (1, 4)}, {"scores": (1, 9), "boxes": (1, 9)})
    sample = arrays(a=(1, 4), b=(1, 4))
    found = matched(file, sample, arrays(boxes=(1, 9), scores=(1, 9)))
    assert [each.at for each in found.outputs] == [1, 0]
    assert (file.seen["a"] == sample["a"]).all()


def test_shapes_that_follow_from_each_other() -> None:
    """One output is known by its shape, and so is another, which could have been either."""
    file = File({"x": (1, 4)}, {"p": (1, 3, 5), "q": (1, 3, 3)})
    found = matched(file, arrays(x=(1, 4)), arrays(one=(1, 3, 3), two=(1, 5, 3)))
    assert [(each.of, each.at) for each in found.outputs] == [("one", 1), ("two", 0)]


def test_further_outputs_are_left_out() -> None:
    file = File({"x": (1, 4)}, {"debug": (1, 2), "y": (1, 8)})
    found = matched(file, arrays(x=(1, 4)), arrays(y=(1, 8)))
    assert [each.at for each in found.outputs] == [1]


def test_free_dimensions() -> None:
    file = File({"x": (None, None, None, 3)}, {"z": (1, 8)})
    found = matched(file, arrays(x=(1, 3, 6, 6)), arrays(y=(1, 8)))
    assert found.inputs[0].axes == (0, 2, 3, 1)


def test_another_type_of_input() -> None:
    file = File({"x": (1, 4)}, {"y": (1, 8)}, "uint8")
    found = fit("m", file, {"x": np.zeros((1, 4), "f4")}, arrays(y=(1, 8)))
    assert found.inputs[0].dtype == "uint8"
    assert found.feed({"x": np.full((1, 4), 7.0, "f4")})["x"].dtype == np.uint8


def test_what_is_said_wins() -> None:
    file = File({"p": (1, 4), "q": (1, 4)}, {"r": (1, 9), "s": (1, 9)})
    sample = arrays(a=(1, 4), b=(1, 4))
    expected = arrays(boxes=(1, 9), scores=(1, 9))
    found = matched(file, sample, expected, inputs={"a": "q", "b": "p"}, outputs=("s", "r"))
    assert (file.seen["q"] == sample["a"]).all()
    assert [(each.of, each.at) for each in found.outputs] == [("boxes", 1), ("scores", 0)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            {"p": (1, 4), "q": (1, 4)}, {"y": (1, 8)},
            "inputs cannot be matched .* it has 'p' 1x4, 'q' 1x4; FP32 has 'a' 1x4, 'b' 1x4",
        ),
        ({"a": (1, 4), "b": (1, 4)}, {"r": (1, 8), "s": (1, 8)}, "outputs cannot .*'r' 1x8, 's'"),
        ({"a": (2, 4), "b": (1, 4)}, {"y": (1, 8)}, "inputs cannot be matched .*'a' 2x4"),
        ({"a": (1, 4), "b": (1, 4)}, {"y": (1, 9)}, "outputs cannot be matched .*'y' 1x9; FP32"),
        ({"a": (1, 4), "b": (1, 4), "c": (1,)}, {"y": (1, 8)}, "inputs cannot be matched .*'c' 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched(inputs: Any, outputs: Any, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^m\.tflite: its {message}"):
        fit("m.tflite", File(inputs, outputs), arrays(a=(1, 4), b=(1, 4)), arrays(y=(1, 8)))


@pytest.mark.parametrize(
    "options", [{"inputs": {"x": "nobody"}}, {"outputs": ("y", "y2")}, {"outputs": ("nobody",)}]
)
def test_names_that_are_not_there(options: Any) -> None:
    file = File({"x": (1, 4)}, {"y": (1, 8)})
    with pytest.raises(ModelError, match=r"cannot be matched|are named, and 1 of"):
        fit("m.tflite", file, arrays(x=(1, 4)), arrays(y=(1, 8)), **options)


def test_integers_that_the_file_does_not_hold() -> None:
    file = File({"ids": (1, 2)}, {"y": (1, 8)}, kind="int8")
    found = fit("m.onnx", file, {"ids": np.array([[1, 127]])}, arrays(y=(1, 8)))
    assert found.feed({"ids": np.array([[1, 127]])})["ids"].dtype == np.int8
    with pytest.raises(ModelError, match=r"'ids': is int8, and 128 is not one .* holds all values"):
        found.feed({"ids": np.array([[1, 128]])})
