"""`kycquant init`: what it finds, what it writes, and that what it writes runs."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from pytest_kycquant.cli import exits
from tests.cli.conftest import Kycquant
from tests.worlds.population import Run, embedder, people, write_folders, write_npz
from tests.worlds.presentations import detector, write_presentations

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture
def world(pytester: pytest.Pytester, kycquant: Kycquant, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models, in which commands and gates run."""
    root = pytester.path
    monkeypatch.chdir(root)
    onnx.save(embedder(), root / "face.onnx")
    (root / "of_liveness.onnx").write_bytes(detector())
    return root


def found(kycquant: Kycquant, *words: object) -> dict[str, Any]:
    code, shown, error = kycquant("init", *words, "--json")
    assert code == exits.DONE, error
    read: dict[str, Any] = json.loads(shown)
    return read


def outcomes(run: Run, *words: str) -> dict[str, int]:
    """What became of the tests of a gate whose golden is recorded in the same run."""
    # Latency and size of a model of microseconds say nothing.
    result = run("--kycquant-update-golden", "-k", "not latency and not size", *words)
    return dict(result.parseoutcomes())


def test_faces_of_people(kycquant: Kycquant, world: Path, run: Run) -> None:
    write_folders(world / "faces", 330, 2, seed=3)
    write_npz(world / "calibration.npz", 60, 2, seed=1)
    read = found(kycquant, "face.onnx", "faces", "--calibration", "calibration.npz")
    assert read["model"]["family"] == "face"
    assert read["images"]["format"] == "people"
    assert read["fill_in"] == {}
    assert "Preprocess" in read["preprocessing"]
    assert "best of" in read["preprocessing"]["why"]
    text = (world / "test_face.py").read_text()
    assert 'precisions = ("fp16", "int8-weights", "int8")' in text
    done = outcomes(run, "test_face.py")
    assert done.get("errors", 0) == 0
    assert done["passed"] >= 8  # the others are undecided, or fall back


def test_the_order_of_colours_is_measured(kycquant: Kycquant, world: Path) -> None:
    """An embedder that sees nothing but red, of people who differ in red alone."""
    rng = np.random.default_rng(0)
    pixels, names = people(120, 3, seed=3)
    pixels[..., 1:] = rng.integers(0, 256, pixels[..., 1:].shape, dtype=np.uint8)
    np.savez(world / "faces.npz", images=pixels, subjects=names)
    for order, channel in (("RGB", 0), ("BGR", 2)):
        proto = embedder()
        (first,) = (t for t in proto.graph.initializer if t.name == "first.w")
        weights = np.zeros_like(onnx.numpy_helper.to_array(first))
        weights[:, channel] = onnx.numpy_helper.to_array(first)[:, channel]
        first.CopyFrom(onnx.numpy_helper.from_array(weights, first.name))
        onnx.save(proto, world / f"{order}.onnx")
        read = found(kycquant, f"{order}.onnx", "faces.npz")
        assert f'channels="{order}"' in read["preprocessing"]["Preprocess"]


def test_captures_and_the_live_class(kycquant: Kycquant, world: Path, run: Run) -> None:
    write_presentations(world / "captures.npz", 330, seed=3)
    read = found(kycquant, "of_liveness.onnx", "captures.npz")
    assert read["model"]["family"] == "liveness"
    assert read["images"]["format"] == "captures"
    text = (world / "test_of_liveness.py").read_text()
    assert "lets no attack species through and turns no live person away." in text
    assert "live_class=1," in text
    assert "CHECK: the index" not in text
    assert any("int8 needs calibration=" in mark for mark in read["check"].values())
    done = outcomes(run, "test_of_liveness.py")
    assert done.get("errors", 0) == 0
    assert done.get("passed", 0) + done.get("fallback", 0) == 8


def test_the_live_class_is_measured(kycquant: Kycquant, world: Path) -> None:
    proto = onnx.load_model_from_string(detector())
    (output,) = proto.graph.output
    order = helper.make_tensor("order", TensorProto.INT64, [3], [1, 0, 2])
    proto.graph.initializer.append(order)
    proto.graph.node.append(helper.make_node("Gather", [output.name, "order"], ["new"], axis=1))
    output.name = "new"
    onnx.save(proto, world / "turned.onnx")
    write_presentations(world / "captures.npz", 100, seed=3)
    found(kycquant, "turned.onnx", "captures.npz")
    assert "live_class=0," in (world / "test_turned.py").read_text()


def test_images_without_labels(kycquant: Kycquant, world: Path, run: Run) -> None:
    np.savez(world / "images.npz", images=people(400, 1, seed=4)[0])
    read = found(kycquant, "face.onnx", "images.npz")
    assert list(read["fill_in"].values()) == [
        "the cosine from which on production takes two faces for one person"
    ]
    result = run("test_face.py")
    assert "FaceVerification.threshold" in result.stdout.str()
    (world / "test_face.py").unlink()
    read = found(kycquant, "face.onnx", "images.npz", "--threshold", 0.4)
    assert read["fill_in"] == {}
    assert "AgreementGates" in (world / "test_face.py").read_text()
    done = outcomes(run, "test_face.py")
    assert done.get("errors", 0) == 0
    assert done["passed"] >= 4


def test_another_model(kycquant: Kycquant, world: Path, run: Run) -> None:
    np.savez(world / "images.npz", images=people(300, 1, seed=4)[0])
    read = found(kycquant, "face.onnx", "images.npz", "--family", "other")
    text = (world / "test_face.py").read_text()
    assert "def differs(outputs, fp32):" in text
    assert any("write what your code decides" in mark for mark in read["check"].values())
    done = outcomes(run, "test_face.py")
    assert done.get("errors", 0) == 0
    assert done["passed"] >= 4


def test_without_images(kycquant: Kycquant, world: Path, run: Run) -> None:
    code, shown, _ = kycquant("init", "face.onnx")
    assert code == exits.DONE
    assert max(map(len, shown.splitlines())) <= 80
    assert "FILL IN" in shown
    assert "pytest test_face.py --kycquant-update-golden" in shown
    result = run("test_face.py")
    result.stdout.fnmatch_lines(["*FaceVerification.data: *data/faces does not exist*"])
    assert result.ret != 0


@pytest.mark.parametrize("kind", ["coco", "csv", "yolo", "none"])
def test_boxes(kycquant: Kycquant, world: Path, kind: str) -> None:
    images = world / "scenes" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{index}.png")
    write_labels(world / "scenes", kind)
    words = ("--classes", "document,portrait") if kind == "yolo" else ()
    read = found(kycquant, MODELS / "yolov8_fp32.onnx", "scenes", *words)
    assert read["model"]["detectors"][0]["layout"] == "yolov8"
    assert read["model"]["height_width"] == [320, 320]
    assert read["images"]["format"] == ("images" if kind == "none" else "boxes")
    text = (world / "test_yolov8_fp32.py").read_text()
    compile(text, "gate", "exec")
    base = "AgreementGates" if kind == "none" else "DetectionGates"
    assert f"({base}):" in text
    assert ("confidence=0.25," in text) is (kind == "none")
    order = any("order of the classes" in mark for mark in read["check"].values())
    assert order is (kind in ("coco", "csv"))
    if kind != "none":
        assert 'classes=("document", "portrait"),' in text


def write_labels(root: Path, kind: str) -> None:
    if kind == "coco":
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(4)],
            "annotations": [
                {"id": 2 * i + c, "image_id": i, "category_id": c, "bbox": [5, 5, 20 + c, 20]}
                for i in range(4)
                for c in range(2)
            ],
            "categories": [{"id": 1, "name": "portrait"}, {"id": 0, "name": "document"}],
        }
        (root / "labels.json").write_text(json.dumps(content))
    if kind == "csv":
        rows = [
            f"{i}.png,{name},5,5,{20 + j},20"
            for i in range(4)
            for j, name in enumerate(("document", "portrait"))
        ]
        (root / "boxes.csv").write_text("\n".join(["file,class,x1,y1,x2,y2", *rows]))
    if kind == "yolo":
        (root / "labels").mkdir()
        for index in range(4):
            (root / "labels" / f"{index}.txt").write_text("0 .5 .5 .2 .2\n1 .5 .5 .3 .3\n")


def test_labels_of_another_kind_are_left_aside(kycquant: Kycquant, world: Path) -> None:
    write_presentations(world / "captures.npz", 30, seed=3)
    read = found(kycquant, "face.onnx", "captures.npz", "--threshold", 0.4)
    assert read["images"]["format"] == "images"


def test_neighbours_are_used(kycquant: Kycquant, world: Path) -> None:
    write_folders(world / "data" / "faces", 60, 2, seed=3)
    write_folders(world / "data" / "faces-selection", 60, 2, seed=2)
    write_folders(world / "calibration" / "faces", 60, 2, seed=1)
    read = found(kycquant, "face.onnx", "data/faces")["images"]
    assert Path(read["selection"]).name == "faces-selection"
    assert Path(read["calibration"]).parts[-2:] == ("calibration", "faces")
    text = (world / "test_face.py").read_text()
    assert 'selection="data/faces-selection",' in text
    assert 'calibration="calibration/faces",' in text


def test_neighbours_are_named_from_the_current_folder(
    kycquant: Kycquant, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(world / "data" / "faces", 60, 2, seed=3)
    calibration = write_folders(world / "calibration" / "faces", 30, 2, seed=1)
    (world / "gates").mkdir()
    monkeypatch.chdir(world / "gates")
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as outside these tests
        code, shown, error = kycquant("init", "../face.onnx", "../data/faces")
    assert f"{calibration}: 60 different calibration images" in error
    assert code == exits.DONE
    assert "  calibration   ../calibration/faces\n" in shown
    assert "/../" not in shown + error
    assert 'calibration="../calibration/faces",' in Path("test_face.py").read_text()


def test_paths_are_relative_to_the_gate_file(kycquant: Kycquant, world: Path, run: Run) -> None:
    write_npz(world / "faces.npz", 120, 2, seed=3)
    (world / "tests").mkdir()
    found(kycquant, "face.onnx", "faces.npz", "--out", "tests/test_gate.py")
    assert '"../face.onnx"' in (world / "tests" / "test_gate.py").read_text()
    assert outcomes(run, "tests/test_gate.py").get("errors", 0) == 0


def test_nothing_is_overwritten(kycquant: Kycquant, world: Path) -> None:
    (world / "test_face.py").write_text("mine")
    code, _, error = kycquant("init", "face.onnx")
    assert code == exits.NEGATIVE
    assert error == (
        "kycquant init: test_face.py: exists, and init overwrites nothing; name another file: "
        "--out\n"
    )
    assert (world / "test_face.py").read_text() == "mine"
    (world / "test_link.py").symlink_to("nowhere")
    assert kycquant("init", "face.onnx", "--out", "test_link.py")[0] == exits.NEGATIVE


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("absent.onnx",), "absent.onnx: does not exist"),
        (("face.onnx", "absent"), "absent: does not exist"),
        (("face.onnx", "face.onnx"), "is not in a format that is known"),
        (("face.onnx", "--out", "gate.txt"), "is not a .py file in a folder"),
        (("face.onnx", "--family", "detector"), "are in no layout of detectors that is known"),
        (("face.onnx", "copies.npz"), "copies.npz"),
    ],
)
def test_bad_input_writes_nothing(
    kycquant: Kycquant, world: Path, words: tuple[str, ...], text: str
) -> None:
    pixels, names = people(30, 2)
    pixels[1] = pixels[0]
    np.savez(world / "copies.npz", images=pixels, subjects=names)
    code, shown, error = kycquant("init", *words)
    assert (code, shown) == (exits.NEGATIVE, "")
    assert text in error
    assert len(error.splitlines()) == 1
    assert not list(world.glob("test_*.py"))


def test_marks_are_named_by_their_lines(kycquant: Kycquant, world: Path) -> None:
    read = found(kycquant, "of_liveness.onnx")
    lines = (world / "test_of_liveness.py").read_text().split("\n")
    marked = {**read["fill_in"], **read["check"]}
    assert marked
    for number, text in marked.items():
        line = lines[int(number) - 1]
        match = re.fullmatch(r"\s*# (FILL IN|CHECK): (.*)", line)
        assert match is not None
        assert text.startswith(match[2])


def test_the_text_is_formatted(kycquant: Kycquant, world: Path) -> None:
    found(kycquant, "of_liveness.onnx")
    for line in (world / "test_of_liveness.py").read_text().split("\n"):
        assert len(line) <= 88
        assert line == line.rstrip()
