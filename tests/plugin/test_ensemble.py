"""Two liveness models whose scores are averaged are gated as a pair, compared with FP32's pair."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from pytest_kycquant.errors import RuntimeUnavailableError
from pytest_kycquant.runtimes import onnx2tf
from tests.worlds.population import Run
from tests.worlds.presentations import SIZE, detector, write_liveness_project

pytestmark = pytest.mark.usefixtures("two_rewrites")

PER_TENSOR = (
    'Recipe("int8", per_channel=False, reduce_range=False, calibration_method="minmax", '
    "bias_correction=False)"
)
Pair = Callable[..., Path]


@pytest.fixture
def pair(pytester: pytest.Pytester, run: Run) -> Pair:
    """Write a project with two models and record its golden; return the gate file."""

    def write(*, golden: bool = True, second: bytes | None = None, **options: Any) -> Path:
        gate = write_liveness_project(pytester.path, **options)
        text = gate.read_text()
        single = '"models/liveness.onnx",'
        assert single in text
        both = '("models/liveness.onnx", "models/second.onnx"), name="pair",'
        gate.write_text(text.replace(single, both))
        (pytester.path / "models" / "second.onnx").write_bytes(second or moved())
        if golden:
            result = run("--kycquant-update-golden", "-q", "-k", "test_size")
            assert (pytester.path / "golden" / "pair.json").is_file(), result.stdout.str()
        return gate

    return write


def moved(by: float = 0.5, **options: bool) -> bytes:
    """Return the liveness model of this world with another bias for the live class."""
    model = onnx.load_from_string(detector(**options))
    (bias,) = (t for t in model.graph.initializer if t.name == "gemm.b")
    values = numpy_helper.to_array(bias).copy()
    values[1] += by
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return model.SerializeToString()


def report(pytester: pytest.Pytester) -> dict[str, Any]:
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    return dict(gate)


def test_the_pair_is_quantized_measured_and_exported(
    pair: Pair, run: Run, pytester: pytest.Pytester
) -> None:
    pair(precisions='"int8"')
    result = run("--kycquant-report=report.json", "--kycquant-export=ship")
    result.assert_outcomes(passed=6)
    names = ("liveness", "second")
    result.stdout.fnmatch_lines(
        ["pair, *", "ship: *", *(f"exported: *ship/pair-{name}.onnx (int8)" for name in names)]
    )
    rows = {row["variant"]: row for row in report(pytester)["variants"]}
    sizes = [(pytester.path / "models" / f"{name}.onnx").stat().st_size for name in names]
    assert rows["fp32"]["size"] == sum(sizes)
    for name in names:
        exported = (pytester.path / "ship" / f"pair-{name}.onnx").read_bytes()
        assert rows["int8"]["files"][name] == hashlib.sha256(exported).hexdigest()
        onnxruntime.InferenceSession(exported)
    size = next(c for c in rows["int8"]["gates"]["size"]["checks"] if c["unit"] == "count")
    assert size["detail"].startswith("10 Conv, 2 Flatten, 2 Gemm")


def test_one_file_may_have_nothing_to_rewrite(
    pair: Pair, run: Run, pytester: pytest.Pytester, rewrite_ratio: list[float]
) -> None:
    """Only PRelu is rewritten, so a file with LeakyRelu instead stays unchanged."""
    leaky = onnx.load_from_string(moved())
    for node in leaky.graph.node:
        if node.op_type == "PRelu":
            node.op_type = "LeakyRelu"
            del node.input[1]
            node.attribute.append(helper.make_attribute("alpha", 0.6))
    pair(precisions='"fp32-optimized"', second=leaky.SerializeToString())
    rewrite_ratio[0] = 0.53
    result = run("--kycquant-cache=cache", "--kycquant-report=report.json")
    result.assert_outcomes(passed=6)
    rows = {row["variant"]: row for row in report(pytester)["variants"]}
    fp32, found = rows["fp32"]["files"], rows["fp32-optimized"]["files"]
    assert (found["second"] == fp32["second"], found["liveness"] == fp32["liveness"]) == (
        True,
        False,
    )
    size = next(
        c for c in rows["fp32-optimized"]["gates"]["size"]["checks"] if c["unit"] == "count"
    )
    assert size["detail"] == "2 PRelu"


def test_scores_are_the_mean_of_probabilities(pair: Pair, pytester: pytest.Pytester) -> None:
    """Compared with the arithmetic of the original system, done by hand."""
    from pytest_kycquant import KycModel, LivenessDetection, LivenessLimits, Preprocess
    from pytest_kycquant.runtimes import library
    from pytest_kycquant.tasks.liveness.task import LivenessTask
    from pytest_kycquant.tasks.outputs import run_model

    pair(golden=False, people=30)
    paths = tuple(pytester.path / "models" / f"{n}.onnx" for n in ("liveness", "second"))
    spec = LivenessDetection(pytester.path / "captures.npz", threshold=0.5)
    preprocess = Preprocess(size=(SIZE, SIZE), mean=127.5, scale=1 / 127.5)
    task = LivenessTask(
        KycModel(paths, preprocess, spec), LivenessLimits(), lambda path, _: Path(path)
    )
    part = task.load().evaluation
    each, by_hand = [], []
    for member, path in enumerate(paths):
        model = library().open(path)
        given = task.tensors(part.images, member)
        each.append(run_model(model, given, (), ("output",), task.read, threads=1))
        logits = [model.run({"input": x})[0][0] for _, x in task.tensors(part.images)]
        powers = np.exp(np.asarray(logits, np.float64))
        by_hand.append(powers[:, 1] / powers.sum(axis=1))
    found = task.baseline(part, task.fuse(each), 0.5).fp32.scores
    assert np.allclose(found, np.mean(by_hand, axis=0), atol=1e-9)
    assert not np.allclose(by_hand[0], by_hand[1], atol=1e-3)


def test_fallback_names_the_file_of_each_operator(
    pair: Pair, run: Run, pytester: pytest.Pytester
) -> None:
    """One scale for all channels hurts only the second, so only it gets operators back."""
    pair(precisions=PER_TENSOR, second=detector(fragile=True))
    result = run("--kycquant-report=report.json")
    result.stdout.fnmatch_lines(["fallback of int8: int8>mixed*"])
    gate = report(pytester)
    kept = gate["decisions"][0]["searches"][0]["keep"]
    assert kept
    assert {name.split(":")[0] for name in kept} == {"second"}
    rows = {row["variant"]: row for row in gate["variants"]}
    assert rows["int8>mixed"]["files"]["liveness"] == rows["int8"]["files"]["liveness"]
    assert rows["int8>mixed"]["files"]["second"] != rows["int8"]["files"]["second"]


def test_a_file_may_be_kept_as_a_whole(pair: Pair, run: Run, pytester: pytest.Pytester) -> None:
    """A search may find this: only the other file is quantized."""
    prepared = [node.name for node in onnx.load_from_string(moved()).graph.node]
    keep = tuple(f"second:{name}" for name in prepared)
    pair(precisions=f'Recipe("mixed", name="first-only", keep_fp32={keep!r})')
    result = run("--kycquant-report=report.json")
    result.assert_outcomes(passed=6)
    rows = {row["variant"]: row for row in report(pytester)["variants"]}
    assert rows["first-only"]["files"]["second"] == rows["fp32"]["files"]["second"]
    assert rows["first-only"]["files"]["liveness"] != rows["fp32"]["files"]["liveness"]


def test_a_file_for_litert_may_be_kept_as_a_whole(
    pair: Pair, run: Run, pytester: pytest.Pytester
) -> None:
    pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")
    try:
        onnx2tf.version_there()
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    recipe = 'Recipe("mixed", runtime="litert", name="{}", keep_fp32={})'
    kept = {"part": ("second:CONV_2D",), "whole": ("second:CONV_2D", "second:last")}
    pair(precisions=", ".join(recipe.format(*each) for each in kept.items()), fallback=None)
    run("--kycquant-report=report.json", "-k", "finite").assert_outcomes(passed=2, deselected=10)
    files = {row["variant"]: row["files"] for row in report(pytester)["variants"]}
    assert files["whole"]["second"] == files["fp32-litert"]["second"]
    assert files["part"]["second"] not in (files["whole"]["second"], files["part"]["liveness"])
    assert files["part"]["liveness"] == files["whole"]["liveness"]


def test_nan_of_one_file_fails_the_pair(pair: Pair, run: Run) -> None:
    pair(precisions='"int8"', fallback=None, second=detector(overflows=True))
    result = run("-k", "finite")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(["*FAIL images with NaN or Inf = *"])


def test_golden_is_stale_when_the_second_file_changes(
    pair: Pair, run: Run, pytester: pytest.Pytester
) -> None:
    pair()
    (pytester.path / "models" / "second.onnx").write_bytes(moved(0.6))
    result = run("-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*pair.json: is stale: *model sha256 changed *"])


def test_classes_that_differ(pair: Pair, run: Run) -> None:
    model = onnx.load_from_string(moved())
    for tensor in model.graph.initializer:
        if tensor.name.startswith("gemm."):
            values = numpy_helper.to_array(tensor)[:2]
            tensor.CopyFrom(numpy_helper.from_array(values.copy(), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    pair(golden=False, second=model.SerializeToString())
    result = run("--kycquant-update-golden", "-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*give 3, 2 values, so their classes differ*"])


def test_a_name_alone_is_meant_for_both_files(
    pair: Pair, run: Run, pytester: pytest.Pytester
) -> None:
    pair(precisions='Recipe("mixed", keep_fp32=("first", "second:last"))')
    run("--kycquant-report=report.json").assert_outcomes(passed=6)
    (mixed,) = (r for r in report(pytester)["variants"] if r["variant"] == "mixed")
    changed = next(c for c in mixed["gates"]["size"]["checks"] if c["unit"] == "count")
    assert changed["detail"].startswith("8 Conv, 2 Flatten, 1 Gemm")
    assert mixed["options"]["keep_fp32"] == "first, second:last"


def test_an_operator_of_neither_file(pair: Pair, run: Run) -> None:
    pair(precisions='Recipe("mixed", keep_fp32=("third:conv1",))')
    result = run("-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*keep_fp32 names 'third:conv1', which is not an operator of*"])


def test_rules_of_ones_own_see_both_files(pair: Pair, run: Run) -> None:
    gate = pair()
    gate.write_text(
        gate.read_text()
        + "\n    def test_rule(self, candidate):\n"
        + "        assert [p.suffix for p in candidate.paths] == ['.onnx', '.onnx']\n"
        + "\n    def test_mistake(self, candidate):\n        candidate.path\n"
    )
    result = run("-k", "rule or mistake")
    result.assert_outcomes(passed=1, failed=1, deselected=6)
    result.stdout.fnmatch_lines(["*this model has 2 files*use candidate.paths*"])
