"""Files that somebody else quantized are judged like ours, and never replaced by ours unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.worlds import inputs, rows, vendors
from tests.worlds.population import SIZE, Run, embedder

Project = Callable[..., None]
PIXELS = "Preprocess(size=(16, 16), mean=0, scale=1, layout='NHWC')"
GATES = 6


def tensors(root: Path) -> np.ndarray:
    """The calibration images as FP32 sees them, (N, 3, 16, 16)."""
    images = np.load(root / "calibration.npz")["images"].astype(np.float32)
    return np.ascontiguousarray(((images - 127.5) / 127.5).transpose(0, 3, 1, 2))


@pytest.fixture
def vendor(project: Project, pytester: pytest.Pytester) -> Callable[..., Path]:
    """Write a project whose gate file names a vendor's file, and return the path of that file."""

    def write(given: str = "", *, name: str = "vendor.onnx", **options: object) -> Path:
        more = f", {given}" if given else ""
        project(precisions=f'Prequantized("models/{name}"{more})', fallback="mixed", **options)
        return pytester.path / "models" / name

    return write


@pytest.fixture
def int8(pytester: pytest.Pytester) -> Callable[[Path], Path]:
    """Quantize FP32 with onnxruntime's own tool."""

    def make(target: Path, *, qdq: bool = True) -> Path:
        fp32 = pytester.path / "models" / "face.onnx"
        return vendors.by_onnxruntime(fp32, target, tensors(pytester.path), qdq=qdq)

    return make


@pytest.mark.parametrize("qdq", [True, False])
def test_a_vendors_file_is_judged_and_ships(
    vendor: Callable[..., Path],
    int8: Callable[..., Path],
    run: Run,
    pytester: pytest.Pytester,
    qdq: bool,
) -> None:
    path = vendor(golden=False)
    int8(path, qdq=qdq)
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run("--kycquant-export=out", "--kycquant-report=report.json")
    result.assert_outcomes(passed=GATES)
    result.stdout.fnmatch_lines(
        ["vendor * PASS", "ship: vendor (*", "exported: *out/face.onnx (vendor)"]
    )
    assert (pytester.path / "out/face.onnx").read_bytes() == path.read_bytes()
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    row = next(row for row in gate["variants"] if row["variant"] == "vendor")
    assert row["options"] == {"precision": "prequantized", "reason": "made elsewhere: vendor.onnx"}
    changed = row["gates"]["size"]["checks"][1]
    assert changed["value"] >= 5
    assert "Conv" in changed["detail"]


@pytest.mark.parametrize("qdq", [True, False])
def test_a_file_that_saturates_has_a_remedy_that_its_maker_can_follow(
    vendor: Callable[..., Path], run: Run, pytester: pytest.Pytester, qdq: bool
) -> None:
    path = vendor(golden=False)
    fp32, images = pytester.path / "models/face.onnx", tensors(pytester.path)
    vendors.by_onnxruntime(fp32, path, images, qdq=qdq, reduce_range=False)
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run("-k", "finite")
    result.stdout.fnmatch_lines(["*vendor: * saturate *have it quantized with weights of 7 bits*"])
    result.stdout.no_fnmatch_line("*Recipe(reduce_range=True)*")


def test_the_second_run_opens_nothing_anew(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run
) -> None:
    path = vendor(golden=False)
    int8(path)
    run("--kycquant-update-golden", "-q", "-k", "size")
    run("-k", "finite").assert_outcomes(passed=1, deselected=5)
    run("-v", "-k", "finite").stdout.fnmatch_lines(["artefacts: 0 built, *"])


def test_a_file_that_drifts_fails_and_nothing_made_here_takes_its_place(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run
) -> None:
    path = vendor(golden=False)
    int8(path)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "gemm.w_quantized":
            values = np.frombuffer(tensor.raw_data, np.int8).copy()
            values[np.arange(values.size) % 20 > 0] = 0
            tensor.raw_data = values.tobytes()
    onnx.save(model, path)
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run()
    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(["vendor * FAIL *degradation"])
    result.stdout.no_fnmatch_line("*>mixed*")
    result.stdout.no_fnmatch_line("int8*")


def test_a_fallback_that_was_asked_for(
    vendor: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    path = vendor("fallback='int8-weights'", golden=False)
    wrong = pytester.path / "other.onnx"
    onnx.save(embedder(seed=5), wrong)
    vendors.by_onnxruntime(wrong, path, tensors(pytester.path))
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run()
    assert result.parseoutcomes() == {"fallback": GATES}
    result.stdout.fnmatch_lines(["ship: int8-weights *"])


def test_other_names_and_pixels(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    """uint8, channels last, normalized within the file: the same outputs as without."""
    path = vendor(f"preprocess={PIXELS}", golden=False)
    plain = int8(pytester.path / "plain.onnx")
    renamed = vendors.renamed(plain, pytester.path / "renamed.onnx")
    vendors.of_pixels(renamed, path, mean=127.5, scale=1 / 127.5)
    run("--kycquant-update-golden", "-q", "-k", "size")
    report = "--kycquant-report=report.json"
    result = run(report, "--kycquant-export=out")
    result.assert_outcomes(passed=GATES)
    result.stdout.fnmatch_lines(
        [
            "feed face: * takes uint8 *, FP32's dimensions in the order 0, 2, 3, 1",
            "feed face: pixels as Prequantized(preprocess=...) says, not as FP32's; *",
        ]
    )
    figures = [figures_of(pytester.path)]
    evidence = json.loads((pytester.path / "out/face.json").read_text())
    (shipped,) = (v for v in evidence["found"]["variants"] if v["variant"] == "vendor")
    assert shipped["preprocess"]["face"]["mean"] == 0
    assert shipped["preprocess"]["face"]["layout"] == "NHWC"
    (fed,) = shipped["ports"]["face"]["inputs"]
    assert (fed["dtype"], fed["shape"][1:], fed["of"]) == ("uint8", [16, 16, 3], "input")
    assert fed["axes"] == [0, 2, 3, 1]
    assert not next(v for v in evidence["found"]["variants"] if v["variant"] == "fp32")["ports"]
    shutil.copy(plain, path)
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace(f", preprocess={PIXELS}", ""))
    run(report).assert_outcomes(passed=GATES)
    figures.append(figures_of(pytester.path))
    assert figures[0] == figures[1]


@pytest.mark.parametrize("layout", ["", ", layout='NHWC'"])
def test_pixels_beside_a_constant(
    vendor: Callable[..., Path],
    int8: Callable[..., Path],
    run: Run,
    pytester: pytest.Pytester,
    layout: str,
) -> None:
    """FP32 has an input more; the shape tells where the channels are if nothing declares it."""
    path = vendor(f"preprocess=Preprocess(size=(16, 16), mean=0, scale=1{layout})", golden=False)
    vendors.of_pixels(int8(path), path, mean=127.5, scale=1 / 127.5)
    fp32 = pytester.path / "models/face.onnx"
    onnx.save(inputs.trained_by(onnx.load(fp32)), fp32)
    gate = pytester.path / "test_gate.py"
    constants = 'constants={"phase_train": False}, calibration='
    gate.write_text(gate.read_text().replace("calibration=", constants))
    run("--kycquant-update-golden", "-q", "-k", "size")
    run("-k", "finite").assert_outcomes(passed=1, deselected=5)


def test_a_file_that_expects_other_pixels(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    """Fed as FP32 is, it fails, and the failure says with which pixels it would not."""
    path = vendor(golden=False)
    model = onnx.load(int8(path))
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim == 4 and weights.shape[1] == 3:  # as if it had learnt from BGR
            tensor.CopyFrom(numpy_helper.from_array(weights[:, ::-1].copy(), tensor.name))
    onnx.save(model, path)
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run()
    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(
        ['*was made elsewhere, and its outputs are near FP32\'s * fed with channels="BGR": *']
    )
    gate = pytester.path / "test_gate.py"
    given = (
        'vendor.onnx", preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, '
        'channels="BGR")'
    )
    gate.write_text(gate.read_text().replace('vendor.onnx"', given))
    run("-k", "not latency").assert_outcomes(passed=GATES - 1, deselected=1)


def test_what_is_declared_of_the_layout_must_be_so(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    path = vendor(f"preprocess={PIXELS}", golden=False)
    vendors.of_pixels(int8(path), path, mean=127.5, scale=1 / 127.5, channels_last=False)
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(
        ["Prequantized.preprocess: says that layout is 'NHWC', and *'pixels' * leave layout *"]
    )


def test_an_output_of_another_width(
    vendor: Callable[..., Path], int8: Callable[..., Path], run: Run
) -> None:
    path = vendor(golden=False)
    vendors.with_doubles(int8(path), path)
    run("--kycquant-update-golden", "-q", "-k", "size")
    run("-k", "finite").assert_outcomes(passed=1, deselected=5)


def test_preprocess_of_a_model_of_two_images(run: Run, pytester: pytest.Pytester) -> None:
    gate = rows.write_pairs(
        pytester.path,
        precisions='Prequantized("vendor.onnx", preprocess=Preprocess(size=(16, 16)))',
    )
    gate.write_text(
        gate.read_text().replace("import CustomGates", "import Prequantized, CustomGates")
    )
    vendors.dynamic(pytester.path / "model.onnx", pytester.path / "vendor.onnx")
    result = run("--kycquant-update-golden", "-k", "finite")
    result.assert_outcomes(errors=1, deselected=4)
    result.stdout.fnmatch_lines(["Prequantized.preprocess: has no effect, because *"])


def test_a_damaged_file_in_ort_format_is_named(vendor: Callable[..., Path], run: Run) -> None:
    path = vendor(name="vendor.ort", golden=False)
    path.write_bytes(b"\x18\0\0\0ORTM" + bytes(50))
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*/models/vendor.ort: its operators cannot be listed *"])


def figures_of(root: Path) -> dict[str, float]:
    (gate,) = json.loads((root / "report.json").read_text())["gates"]
    row = next(row for row in gate["variants"] if row["variant"] == "vendor")
    checks = row["gates"]["degradation"]["checks"] + row["gates"]["far"]["checks"]
    return {check["name"]: check["value"] for check in checks}


BAD: dict[str, tuple[Callable[[Path, Path], object], str, str]] = {
    "float": (
        lambda fp32, path: onnx.save(_touched(fp32), path),
        "",
        "*vendor.onnx: is a float file: no operator computes with integers *",
    ),
    "FP32 itself": (shutil.copy, "", "*vendor.onnx: is the FP32 file itself; *"),
    "missing": (lambda fp32, path: None, "", "*vendor.onnx*does not exist*"),
    "not ONNX": (lambda fp32, path: path.write_bytes(b"nothing"), "", "*is not an ONNX file*"),
    "uint8 without a word": (
        lambda fp32, path: vendors.of_pixels(path, path, mean=127.5, scale=1 / 127.5),
        "",
        "*input 'pixels'*is uint8, and *Prequantized(preprocess=*",
    ),
    "another size": (
        lambda fp32, path: None,
        "preprocess=Preprocess(size=(32, 32))",
        "*Prequantized.preprocess: size differs from FP32's*",
    ),
    "an unknown output": (
        lambda fp32, path: None,
        "outputs=('logits',)",
        "*vendor.onnx: its outputs cannot be matched with those of FP32: it has 'output'*",
    ),
    "raw integers": (
        lambda fp32, path: vendors.with_raw_output(path, path),
        "",
        "*vendor.onnx: gives output 'output' in int8, and FP32 in float32; *dequantizes*",
    ),
    "an input that FP32 lacks": (
        lambda fp32, path: None,
        "inputs={'data': 'input'}",
        "*vendor.onnx: its inputs *; correct the names of its inputs: 'input' for 'data' *",
    ),
    "more outputs than are read": (
        lambda fp32, path: None,
        "outputs=('output', 'more')",
        "*vendor.onnx: 2 of its outputs are named, and 1 of FP32's are read: 'output'; *",
    ),
    "two embeddings": (
        lambda fp32, path: _another_output(vendors.renamed(path, path)),
        "",
        "*vendor.onnx: its outputs cannot be matched *, or say which is which: Prequantized(*",
    ),
    "fails when it runs": (
        lambda fp32, path: _of_any_size(path),
        "",
        "*vendor.onnx: fails (*reshape_*",
    ),
    "more files than FP32 has": (
        lambda fp32, path: None,
        "",
        "*names 2 files, and the model has 1*",
    ),
}


def _touched(fp32: Path) -> onnx.ModelProto:
    model = onnx.load(fp32)
    model.producer_name = "somebody"
    return model


def _another_output(path: Path) -> None:
    model = onnx.load(path)
    result = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Neg", [result], ["negative"], "negate_"))
    model.graph.output.append(helper.make_tensor_value_info("negative", 1, [1, 96]))
    onnx.save(model, path)


def _of_any_size(path: Path) -> None:
    """A file whose input fits, and whose first operator does not take it."""
    model = onnx.load(path)
    name = model.graph.input[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 16, 17]), "shape_"))
    for node in model.graph.node:
        node.input[:] = ["reshaped" if each == name else each for each in node.input]
    node = helper.make_node("Reshape", [name, "shape_"], ["reshaped"], "reshape_")
    back = [node, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(back)
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = f"d{len(dim.dim_param)}"
    onnx.save(model, path)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_error(
    vendor: Callable[..., Path],
    int8: Callable[..., Path],
    run: Run,
    pytester: pytest.Pytester,
    name: str,
) -> None:
    change, given, message = BAD[name]
    path = vendor(given, golden=False)
    if name not in ("float", "FP32 itself", "missing", "not ONNX"):
        int8(path)
    change(pytester.path / "models/face.onnx", path)
    if name == "more files than FP32 has":
        gate = pytester.path / "test_gate.py"
        one = '"models/vendor.onnx"'
        gate.write_text(gate.read_text().replace(one, f'({one}, "models/face.onnx")'))
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run("-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines([message])


def test_a_file_of_another_model(
    vendor: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    """Same shapes: its outputs are judged, and fail."""
    path = vendor(golden=False)
    wrong = pytester.path / "other.onnx"
    onnx.save(embedder(seed=5), wrong)
    vendors.by_onnxruntime(wrong, path, tensors(pytester.path))
    run("--kycquant-update-golden", "-q", "-k", "size")
    result = run()
    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(["*vendor.onnx was made elsewhere: if it is this model, *"])
    result.stdout.no_fnmatch_line("*per-channel*")  # which only who made it could try
    result.stdout.fnmatch_lines(["ship: fp32 *"])
    assert SIZE == 16
