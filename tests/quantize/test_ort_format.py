"""Variants in ORT format: the graph is optimized when the file is made, and the file is judged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, quantize
from pytest_kycquant.errors import ModelError, SpecError
from pytest_kycquant.quantize.ort_format import OPERATORS, to_ort
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.environment import u8s8_saturates
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.recipe import RECIPES, Recipe, runtimes_of
from pytest_kycquant.spec.runtime import Runtime
from tests.worlds.population import Run, embedder
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401

ON_ONNXRUNTIME = [
    name
    for name in RECIPES
    if name not in ("fp32", "bf16", "mixed") and "onnxruntime" in runtimes_of(name)
]


def images(count: int = 12) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(count)]


@pytest.fixture
def face(tmp_path: Path) -> Path:
    onnx.save(embedder(), tmp_path / "face.onnx")
    return tmp_path / "face.onnx"


def test_the_file_gives_what_the_onnx_file_gives(face: Path) -> None:
    found = to_ort(face.read_bytes(), face)
    assert found.content[4:8] == b"ORTM"
    (image, *_) = images()
    (expected,) = open_session(face).run(None, {"input": image})
    opened = library().open(found.content)  # a file and its content open alike
    (face.parent / "face.ort").write_bytes(found.content)
    again = library().open(face.parent / "face.ort")
    for model in (opened, again):
        assert (model.inputs, model.outputs) == (("input",), ("output",))
        np.testing.assert_allclose(model.run({"input": image})[0], expected, atol=1e-5)


def test_it_lists_the_operators_that_a_reduced_build_must_have(face: Path) -> None:
    listed = to_ort(face.read_bytes(), face).operators
    lines = dict(line.rsplit(";", 1) for line in listed.splitlines())
    # Conv and PRelu of x86's own layout, NCHWc, would not run on a phone.
    assert lines.keys() == {"ai.onnx;11", "ai.onnx;13", "ai.onnx;16"}
    assert lines["ai.onnx;11"] == 'Conv{"inputs": {"0": ["float"]}}'
    assert lines["ai.onnx;16"] == "PRelu"
    assert "nchwc" not in listed
    assert "#" not in listed


def test_types_are_listed_where_an_operator_has_several(face: Path) -> None:
    made = quantize(face, images(), Recipe("int8", format="ort", rewrites=False))
    assert 'QLinearConv{"inputs": {"0": ["uint8_t"]}}' in made.companions[OPERATORS]


@pytest.mark.parametrize("precision", ON_ONNXRUNTIME)
def test_every_precision_can_be_converted(face: Path, precision: str) -> None:
    recipe = Recipe(precision, format="ort", rewrites="optimized" in precision)
    made = quantize(face, images(), recipe)
    assert made.path == face.with_name(f"face.{precision}.ort")
    assert made.resolved["format"] == "ort"
    assert made.size == made.path.stat().st_size
    (image, *_) = images()
    plain = quantize(face, images(), recipe.as_onnx, output=face.with_name("plain.onnx"))
    (expected,), (found,) = (each.open().run({"input": image}) for each in (plain, made))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def saturating() -> bytes:
    """A convolution whose sum of products overflows 16 bits: 64 channels of 255 times 127."""
    true = 64 * 255 * 127.0
    constants = {
        "one": np.float32(1), "zero": np.uint8(0), "signed": np.int8(0),
        "scale": np.float32(true / 255), "w": np.full((1, 64, 1, 1), 127, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "signed"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


@pytest.mark.skipif(not u8s8_saturates(), reason="this CPU does not saturate: it has VNNI")
def test_saturation_is_decided_when_the_file_is_made() -> None:
    pixels = np.full((1, 64, 8, 8), 255, np.float32)

    def share(content: bytes, exact: bool) -> float:
        (found,) = library().open(content, exact=exact).run({"x": pixels})
        return float(found.min()) / (64 * 255 * 127)

    plain, exact = to_ort(saturating(), "m"), to_ort(saturating(), "m", exact=True)
    assert share(saturating(), True) > 0.99 > 0.6 > share(saturating(), False)
    assert [share(plain.content, flag) < 0.6 for flag in (False, True)] == [True, True]
    assert [share(exact.content, flag) > 0.99 for flag in (False, True)] == [True, True]


def test_logging_stays_as_it_was(face: Path) -> None:
    before = list(logging.getLogger().handlers)
    to_ort(face.read_bytes(), face)
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("content", [b"ORTM", b"no model", b"    ORTM" + bytes(200)])
def test_a_file_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.ort").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.ort: onnxruntime cannot load it"):
        library().open(tmp_path / "m.ort")


def test_a_file_that_is_cut_off(face: Path) -> None:
    target = face.with_suffix(".ort")
    target.write_bytes(to_ort(face.read_bytes(), face).content[:-5000])
    with pytest.raises(ModelError, match=r"face\.ort: onnxruntime cannot load it"):
        library().open(target)


def test_a_model_that_cannot_be_converted() -> None:
    with pytest.raises(ModelError, match="cannot be converted to ORT format"):
        to_ort(b"no model", "face as int8-ort")


def test_labels_and_the_recipe_of_the_onnx_file() -> None:
    assert Recipe("int8", format="ort").name == "int8-ort"
    assert Recipe("fp32", format="ort").name == "fp32-ort"
    assert Recipe("int8", name="phone", format="ort").name == "phone"
    assert Recipe("int8", format="ort").as_onnx.format is None
    assert Recipe("int8", format="ort") != Recipe("int8", name="int8-ort")


@pytest.mark.parametrize("runtime", ["openvino", Runtime(provider="XnnpackExecutionProvider")])
def test_other_runtimes_do_not_open_it(runtime: str | Runtime) -> None:
    with pytest.raises(SpecError, match=r"Recipe\.format: 'ort' is a format for the CPU kernels"):
        Recipe("int8", format="ort", runtime=runtime)


def test_labels_of_fallbacks_are_reserved() -> None:
    limits, model = FaceLimits(), KycModel("m.onnx", Preprocess((16, 16)), FaceVerification("f"))
    other = Recipe("fp16", name="int8-weights-ort", format="ort")
    with pytest.raises(SpecError, match="int8-weights-ort"):
        GateSpec.of({"model": model, "limits": limits, "precisions": other}, "TestFace")


def test_a_format_that_does_not_exist() -> None:
    with pytest.raises(SpecError, match=r"Recipe\.format: 'orp' is unknown; did you mean 'ort'"):
        Recipe("int8", format="orp")  # type: ignore[arg-type]


def test_the_ending_of_the_output_must_fit(face: Path) -> None:
    with pytest.raises(SpecError, match=r"m\.onnx is not an \.ort file; give a name such as"):
        quantize(face, images(), Recipe("int8", format="ort"), output=face.with_name("m.onnx"))


def test_a_gate_judges_the_ort_file(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    project(
        precisions='Recipe("int8", format="ort"), "int8", Recipe("fp32", format="ort")',
        fallback=None,
    )
    result = run("--kycquant-report=r.json", "-v")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == sum(outcomes.values()), result.stdout.str()
    (gate,) = json.loads((pytester.path / "r.json").read_text())["gates"]
    rows = {row["variant"]: row for row in gate["variants"]}
    assert rows.keys() == {"fp32", "fp32-ort", "int8-ort", "int8"}
    assert len({row["sha256"] for row in rows.values()}) == 4
    assert "QLinearConv" in rows["int8-ort"]["options"]["required_operators"]
    assert "Conv" in rows["fp32-ort"]["options"]["required_operators"]


def test_a_row_that_no_test_asks_for_says_what_it_does_not_pass(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All tests are green, and a FAIL in the table would be a riddle."""
    monkeypatch.setattr("pytest_kycquant.bench.sizes._REWRITTEN", 0.5)
    project(precisions='Recipe("int8", format="ort")', fallback=None)
    result = run("--kycquant-cache=own")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines_random(
        ["fp32-ort * FAIL size*", "fp32-ort: FAIL size relative to FP32 *, limit < 0.5"]
    )


def test_the_list_of_operators_is_exported_and_removed_with_its_file(
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    project(precisions='Recipe("int8", format="ort")', fallback=None)
    run("--kycquant-report=r.json", "--kycquant-export=out")
    (gate,) = json.loads((pytester.path / "r.json").read_text())["gates"]
    assert gate["ship"] == "int8-ort"
    (row,) = [row for row in gate["variants"] if row["variant"] == "int8-ort"]
    out = pytester.path / "out"
    config = f"face.{OPERATORS}"
    assert {path.name for path in out.iterdir()} == {"face.json", "face.ort", config}
    assert (out / config).read_text() == row["companions"]["face"][OPERATORS]
    gate_file = pytester.path / "test_gate.py"
    gate_file.write_text(gate_file.read_text().replace('Recipe("int8", format="ort")', '"int8"'))
    run("--kycquant-export=out")
    assert {path.name for path in out.iterdir()} == {"face.json", "face.onnx"}
