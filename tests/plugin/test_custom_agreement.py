"""Without labels, a user-defined metric compares outputs with those of FP32."""

import json
from collections.abc import Callable
from typing import Any

import onnx
import pytest
from onnx import helper

from tests.worlds.documents import write_document_project
from tests.worlds.population import Run

DIFFERS = """
def differs(outputs, fp32):
    return outputs.argmax(axis=1) != fp32.argmax(axis=1)
"""
CORRELATION = """
def correlation(outputs, fp32):
    return float(np.corrcoef(outputs.ravel(), fp32.ravel())[0, 1])
"""
Write = Callable[..., None]


@pytest.fixture
def unlabelled(pytester: pytest.Pytester, run: Run) -> Write:
    """Write a project without labels and record its golden."""

    def write(
        *, metric: str = DIFFERS, limits: str = "agreement=0.02", error: str = "", **options: Any
    ) -> None:
        gate = write_document_project(pytester.path, metric=metric, limits=limits, **options)
        labels = 'classes=("print", "live", "screen"),'
        text = gate.read_text()
        assert labels in text
        text = text.replace(labels, "labelled=False,").replace("CustomGates", "AgreementGates")
        gate.write_text(text)
        result = run("--kycquant-update-golden", "-q", "-k", "test_size")
        assert (pytester.path / "golden" / "document.json").is_file() == (not error)
        assert error in result.stdout.str()

    return write


def test_every_gate(unlabelled: Write, run: Run, pytester: pytest.Pytester) -> None:
    unlabelled(precisions='"fp16", "int8"')
    result = run("-v")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]int8[]] PASSED*" for gate in ("finite", "agreement", "latency", "size")
    )
    result.stdout.fnmatch_lines(["*without labels nothing is claimed about how well FP32 does*"])
    golden = json.loads((pytester.path / "golden" / "document.json").read_text())
    assert list(golden["figures"]) == ["mean of outputs", "spread of outputs"]
    assert golden["rates"] == {}


def test_disagreement_fails(unlabelled: Write, run: Run) -> None:
    unlabelled(fragile=True, fallback=None)
    result = run("-k", "agreement")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["FAIL differs = * must be below 2 %", "  * errors in 990 images, *"]
    )


def test_a_figure_must_reach_its_limit(unlabelled: Write, run: Run) -> None:
    unlabelled(
        metric=CORRELATION,
        limits="agreement=0.99",
        task='direction="higher"',
        fragile=True,
        fallback=None,
    )
    result = run("-k", "agreement")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["FAIL correlation = * must be at least 0.99*"])


def test_a_metric_that_is_infinite_for_equal_outputs(unlabelled: Write) -> None:
    """It would fail FP32, every fallback and a perfect variant."""
    metric = """
def psnr(outputs, fp32):
    with np.errstate(divide="ignore"):
        return -10 * np.log10(((outputs - fp32) ** 2).mean(axis=1))
"""
    unlabelled(
        metric=metric,
        limits="agreement=30",
        task='direction="higher"',
        error="metric psnr: is inf for outputs that equal those of FP32; return a finite figure",
    )


def test_fallback_agrees(unlabelled: Write, run: Run) -> None:
    unlabelled(fragile=True)
    result = run()
    result.stdout.fnmatch_lines(["fallback of int8: int8>mixed*", "ship: int8>mixed *"])


def test_a_metric_of_several_outputs_falls_back(run: Run, pytester: pytest.Pytester) -> None:
    metric = """
def differs(outputs, fp32):
    assert [one.shape[1:] for one in (*outputs, *fp32)] == [(3,), (3,)] * 2
    (scores, _), (wanted, shares) = outputs, fp32
    assert np.array_equal(wanted.argmax(axis=1), shares.argmax(axis=1))
    return scores.argmax(axis=1) != shares.argmax(axis=1)
"""
    gate = write_document_project(
        pytester.path,
        metric=metric,
        limits="agreement=0.02",
        task='outputs=("output", "shares")',
        fragile=True,
    )
    text = gate.read_text().replace('classes=("print", "live", "screen"),', "labelled=False,")
    gate.write_text(text.replace("CustomGates", "AgreementGates"))
    path = pytester.path / "models" / "document.onnx"
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Softmax", ["output"], ["shares"], name="shares"))
    shares = helper.make_tensor_value_info("shares", onnx.TensorProto.FLOAT, [1, 3])
    model.graph.output.append(shares)
    onnx.save(model, path)
    result = run("--kycquant-update-golden")
    result.stdout.fnmatch_lines(
        ["int8 * FAIL *agreement*", "fallback of int8: int8>mixed*", "ship: int8>mixed *"]
    )
    golden = json.loads((pytester.path / "golden" / "document.json").read_text())
    names = [f"{what} of {name}" for name in ("output", "shares") for what in ("mean", "spread")]
    assert list(golden["figures"]) == names


def test_other_outputs_of_fp32_make_the_golden_stale(
    unlabelled: Write, run: Run, pytester: pytest.Pytester
) -> None:
    unlabelled()
    golden = pytester.path / "golden" / "document.json"
    from pytest_kycquant.context.cache import digest_of

    body = json.loads(golden.read_text())
    del body["checksum"]
    body["figures"]["mean of outputs"] += 0.1
    golden.write_text(json.dumps({**body, "checksum": digest_of(body)}))
    result = run("-k", "size")
    result.assert_outcomes(errors=1, deselected=3)
    result.stdout.fnmatch_lines(["*FP32 mean of outputs is * here, but the golden records *"])
