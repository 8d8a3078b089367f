"""`kycquant inspect`: what recipes cover, what it costs, and the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_kycquant.cli import exits
from pytest_kycquant.cli.own_gates import gates_of
from tests.cli.conftest import Kycquant
from tests.worlds.population import embedder, write_npz

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(autouse=True)
def model(tmp_path: Path, rewrite_ratio: list[float]) -> None:
    onnx.save(embedder(), tmp_path / "face.onnx")


def inspected(kycquant: Kycquant, *words: object) -> dict[str, Any]:
    code, shown, _ = kycquant("inspect", *words, "--json")
    found: dict[str, Any] = json.loads(shown)
    assert code == (exits.DONE if found["advice"]["quantize"] else exits.NEGATIVE)
    return found


def test_text(kycquant: Kycquant, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    code, shown, _ = kycquant("inspect", "face.onnx")
    assert code == exits.DONE
    assert shown.startswith("face.onnx: face embedder, since it returns a vector of 96 numbers\n")
    assert max(map(len, shown.splitlines())) <= 80
    assert "kycquant init face.onnx IMAGES" in shown
    assert sorted(tmp_path.iterdir()) == before


GATE = """
from pytest_kycquant import FaceGates, presets

class TestFace(FaceGates):
    model = presets.arcface("../face.onnx", "faces")
"""


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("tests/test_it.py", GATE, "pytest tests/test_it.py::TestFace"),
        ("my gates/gate.py", GATE, "pytest 'my gates/gate.py::TestFace'"),
        (
            "tests/test_it.py",
            GATE.replace("presets.arcface", "MODEL\nMODEL = presets.arcface"),
            "pytest tests/test_it.py",
        ),
        ("tests/test_it.py", GATE.replace("../face", "../other/face"), ""),  # there is none
        ("tests/test_it.py", GATE.replace("../face", "../surface"), ""),
        ("tests/test_it.py", GATE + "def broken(:", ""),
        ("tests/test_it.py", GATE.replace("pytest_kycquant", "another_plugin"), ""),
        (".venv/test_it.py", GATE, ""),
    ],
)
def test_a_gate_that_the_project_has(
    kycquant: Kycquant, tmp_path: Path, path: str, content: str, told: str
) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(content + 'raise RuntimeError("it is read, not run")\n')
    lines = kycquant("inspect", "face.onnx")[1].splitlines()
    if told:
        assert lines[lines.index("next: this project has 1 gate of this model already") + 1] == (
            f"  {told}"
        )
        assert not any("kycquant init" in line for line in lines)
    else:
        assert "  kycquant init face.onnx IMAGES" in lines


def test_another_model_of_the_same_name(kycquant: Kycquant, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    onnx.save(embedder(seed=3), tmp_path / "other" / "face.onnx")
    (tmp_path / "other" / "test_it.py").write_text(GATE.replace("..", "other"))
    assert "  kycquant init face.onnx IMAGES" in kycquant("inspect", "face.onnx")[1].splitlines()
    assert gates_of(tmp_path / "other" / "face.onnx", tmp_path) == ["other/test_it.py::TestFace"]


def test_weights_and_work_are_counted(kycquant: Kycquant, tmp_path: Path) -> None:
    found = inspected(kycquant, "face.onnx")["coverage"]
    stored = {t.name: int(np.prod(t.dims)) for t in embedder().graph.initializer}
    layers = [n for n in embedder().graph.node if n.op_type in ("Conv", "Gemm")]
    expected = sum(stored[name] for node in layers for name in node.input[1:])
    assert found["weights"] == expected
    # Four by four positions of each 1x1 convolution and of the first one, and the Gemm once.
    work = sum(stored[node.input[1]] * (16 if node.op_type == "Conv" else 1) for node in layers)
    assert found["work"] == work
    sizes = {each["recipe"]: each["size_bytes"] for each in found["recipes"]}
    assert sizes["int4-weights"] < sizes["int8-weights"] < sizes["fp16"] < found["size_bytes"]


def test_what_stays_in_fp32_is_named(kycquant: Kycquant, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "c": rng.normal(size=(8, 3, 3, 3)), "w": rng.normal(size=(1, 64, 8)),
        "r": rng.normal(size=(1, 64, 16)), "g": rng.normal(size=(80, 16)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"], "conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["s"]),
        helper.make_node("LSTM", ["s", "w", "r"], ["", "h"], "lstm", hidden_size=16),
        helper.make_node("Reshape", ["h", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["y"], "gemm", transB=1),
    ]
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    stored += [numpy_helper.from_array(np.array(v), k)
               for k, v in {"shape": [1, 1, 8], "flat": [1, 16]}.items()]  # fmt: skip
    graph = helper.make_graph(
        nodes, "recurrent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 80])], stored,
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, tmp_path / "recurrent.onnx")
    recipes = {
        each["recipe"]: each
        for each in inspected(kycquant, "recurrent.onnx")["coverage"]["recipes"]
    }
    notes = " ".join(recipes["int8-weights"]["not_covered"])
    assert "1 LSTM with 1,536 of" in notes
    assert recipes["int8"]["weights"] == 1.0  # of the layers that recipes can store
    assert "does not quantize the type" in notes


@pytest.mark.parametrize(
    ("words", "quantize", "last"),
    [
        (("--gpu",), False, "gpu"),
        (("--budget-mb", "1000"), False, "budget"),
        (("--budget-mb", "1000", "--budget-ms", "1000"), False, "budget"),
        (("--budget-mb", "0.000001"), True, "bits"),
        ((), True, "bits"),
    ],
)
def test_when_not_to(kycquant: Kycquant, words: tuple[str, ...], quantize: bool, last: str) -> None:
    advice = inspected(kycquant, "face.onnx", *words)["advice"]
    assert advice["quantize"] is quantize
    assert advice["answers"][-1]["key"] == last


def test_images_are_counted(kycquant: Kycquant, tmp_path: Path) -> None:
    write_npz(tmp_path / "few.npz", 20, 2)
    write_npz(tmp_path / "enough.npz", 60, 2)
    few = inspected(kycquant, "face.onnx", "--images", "few.npz")
    assert few["situation"]["images"] == 40
    assert "int8" not in few["advice"]["recipes"]
    enough = inspected(kycquant, "face.onnx", "--images", "enough.npz")
    assert "int8" in enough["advice"]["recipes"]


def test_a_detector_decodes(kycquant: Kycquant) -> None:
    found = inspected(kycquant, MODELS / "yolov8_fp32.onnx")
    assert found["situation"]["decodes"] is True
    assert found["coverage"]["work"] > 6e8
    (head,) = (a for a in found["advice"]["answers"] if a["key"] == "head")
    assert 'op_types=("Conv",)' in head["so"]


def test_a_rewrite_that_pays(kycquant: Kycquant, rewrite_ratio: list[float]) -> None:
    from pytest_kycquant.quantize import rewrite_choice

    rewrite_choice._RACES.clear()
    rewrite_ratio[0] = 0.5
    found = inspected(kycquant, "face.onnx")
    rewrite_choice._RACES.clear()
    assert found["advice"]["recipes"][0] == "fp32-optimized"
