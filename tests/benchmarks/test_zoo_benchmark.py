"""The zoo gates a model from its file and sees a verdict that contradicts the outputs."""

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.zoo.case import DAMAGED, PRECISIONS, Case
from benchmarks.zoo.exports import IMAGES, exports
from benchmarks.zoo.judged import Cell, Judged, judge
from benchmarks.zoo.others import others
from benchmarks.zoo.truth import error


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {case.name: case for case in exports(tmp_path_factory.mktemp("models"))}


def test_exports_are_valid_and_of_their_operator_set(made: dict[str, Case]) -> None:
    for name, case in made.items():
        model = onnx.load(case.model)
        onnx.checker.check_model(model, full_check=True)
        if name.startswith("opset "):
            assert model.opset_import[0].version == int(name.removeprefix("opset "))


def test_a_model_is_gated_from_its_file(made: dict[str, Case], tmp_path: Path) -> None:
    found = judge(made["initializers are inputs (IR 3)"], tmp_path)
    assert found.refused == ""
    assert not found.traceback
    assert found.wrong == []
    assert {name: cell.verdict for name, cell in found.cells.items()} == {
        **dict.fromkeys(PRECISIONS, "PASS"),
        DAMAGED: "FAIL",
    }
    assert found.cells["int8"].size < 0.5 < found.cells["fp16"].size < 0.6
    assert found.cells["fp16"].error < 0.003 < found.cells["int8"].error < 0.3


@pytest.mark.parametrize(
    ("verdict", "deviation", "wrong"),
    [
        ("PASS", 0.01, False),
        ("PASS", 1.5, True),
        ("PASS", float("nan"), True),
        ("FAIL", 0.001, True),
        ("FAIL", 0.1, False),
        ("INCONCLUSIVE", 0.001, False),
    ],
)
def test_a_verdict_that_contradicts_the_outputs_is_wrong(
    made: dict[str, Case], verdict: str, deviation: float, wrong: bool
) -> None:
    cells = {"int8": Cell(verdict, "", deviation, 0.4)}
    assert Judged(made["NHWC"], cells).wrong == (["int8"] if wrong else [])


def test_a_damaged_model_must_not_pass(made: dict[str, Case]) -> None:
    assert Judged(made["NHWC"], {DAMAGED: Cell("PASS", "", 0.5, 1.0)}).wrong == [DAMAGED]
    assert Judged(made["NHWC"], {DAMAGED: Cell("FAIL", "", 0.5, 1.0)}).wrong == []


def test_the_error_is_relative_to_what_differs_between_inputs(tmp_path: Path) -> None:
    def scaled(factor: float, name: str) -> Path:
        graph = onnx.parser.parse_graph(
            f"g (float[1,2] input) => (float[1,2] output) <float f = {{{factor}}}>"
            " { output = Mul(input, f) }"
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        )
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    inputs = [np.array([[9.0, at]], np.float32) for at in (-1.0, 1.0)]
    # The difference is 9 and 1 (root mean square 6.4); FP32's outputs differ by 0 and 1 (.707).
    found = error(scaled(1.0, "fp32.onnx"), scaled(2.0, "variant.onnx"), inputs)
    assert found == pytest.approx(np.sqrt(41) / np.sqrt(0.5))


def test_models_of_a_folder_are_taken_as_their_files_say(
    made: dict[str, Case], tmp_path: Path
) -> None:
    (tmp_path / "NHWC.onnx").write_bytes(made["NHWC"].model.read_bytes())
    (tmp_path / "symbols.onnx").write_bytes(made["symbols for all axes"].model.read_bytes())
    last, symbols = others(tmp_path, tmp_path)
    assert last.preprocess == "size=(48, 48), mean=127.5, scale=1 / 127.5, layout='NHWC'"
    assert symbols.preprocess == "size=(224, 224), mean=127.5, scale=1 / 127.5"


def test_a_file_that_is_not_a_model_is_a_row_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (case,) = others(tmp_path, IMAGES[0])
    found = judge(case, tmp_path / "project")
    assert "broken.onnx" in found.refused
    assert (found.traceback, found.cells, found.errors) == (False, {}, [])


@pytest.mark.parametrize(("kind", "batch"), [(onnx.TensorProto.FLOAT16, 1), (1, 3)])
def test_the_error_is_known_for_other_types_and_batches(
    tmp_path: Path, kind: int, batch: int
) -> None:
    def made(factor: float, name: str) -> Path:
        info = [onnx.helper.make_tensor_value_info(end, kind, [batch, 2]) for end in ("x", "y")]
        value = onnx.helper.make_tensor("f", kind, [], [factor])
        node = onnx.helper.make_node("Mul", ["x", "f"], ["y"])
        graph = onnx.helper.make_graph([node], "g", info[:1], info[1:], [value])
        opsets = [onnx.helper.make_opsetid("", 17)]
        onnx.save(
            onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / name
        )
        return tmp_path / name

    inputs = [np.array([[at, -at]], np.float32) for at in (-1.0, 1.0)]
    assert error(made(1.0, "a.onnx"), made(1.5, "b.onnx"), inputs) == pytest.approx(0.5)


def test_a_crash_is_no_refusal(
    made: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = subprocess.CompletedProcess([], -11, "= test session starts =", "Segmentation fault")
    monkeypatch.setattr("benchmarks.zoo.judged.subprocess.run", lambda *_, **__: crash)
    found = judge(made["NHWC"], tmp_path / "project")
    assert found.traceback
    assert found.refused == "the process ended with -11"
