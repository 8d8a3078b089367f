"""A text model and a pair model in the ten lines of a custom task: every gate, and what is told."""

import json

import numpy as np
import onnxruntime
import pytest

from tests.worlds.population import Run
from tests.worlds.rows import write_pairs, write_texts


def golden(pytester: pytest.Pytester) -> dict:
    return json.loads((pytester.path / "golden" / "model.json").read_text())


def test_a_text_model_is_gated(run: Run, pytester: pytest.Pytester) -> None:
    write_texts(pytester.path, precisions='"fp16", "int8-dynamic"')
    result = run("-v", "--kycquant-update-golden", "--kycquant-report=report.json")
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(
        ["note on fp32: rows of arrays are compared bit for bit*; no extreme inputs were tried *"]
    )
    # The errors of FP32, counted here.
    with np.load(pytester.path / "rows.npz") as rows:
        feed = {name: rows[name] for name in ("ids", "feature")}
        feed["mask"] = rows["mask"].astype(np.int64)
        (scores,) = onnxruntime.InferenceSession(pytester.path / "model.onnx").run(None, feed)
        wrong = int((scores.argmax(axis=1) != rows["labels"]).sum())
    found = golden(pytester)
    assert found["rates"]["misread"]["errors"] == wrong
    assert found["rates"]["misread"]["subjects"] == 150
    # What was not tried is not claimed.
    gates = json.loads((pytester.path / "report.json").read_text())
    assert "images with NaN or Inf" in json.dumps(gates)
    assert "edge inputs" not in json.dumps(gates)
    # Other data makes the golden stale.
    with np.load(pytester.path / "rows.npz") as rows:
        arrays = dict(rows)
    arrays["mask"][0] = 1 - arrays["mask"][0]
    np.savez(pytester.path / "rows.npz", **arrays)
    stale = run("-k", "finite and fp16")
    stale.assert_outcomes(errors=1)
    stale.stdout.fnmatch_lines(["*is stale: *evaluation*"])


def test_a_pair_model_is_gated(run: Run, pytester: pytest.Pytester) -> None:
    gate = write_pairs(pytester.path, precisions='"fp16", "int8"', kind="uint8")
    options = ("--kycquant-export=out", "--kycquant-report=report.json")
    result = run("--kycquant-update-golden", *options)
    result.assert_outcomes(passed=10)
    assert '"edge inputs with NaN or Inf"' in (pytester.path / "report.json").read_text()
    prepared = golden(pytester)["inputs"]["preprocess"]["arrays"]
    assert sorted(prepared) == ["portrait", "selfie"]
    shipped = onnxruntime.InferenceSession(next((pytester.path / "out").glob("*.onnx")))
    assert [(x.name, x.type) for x in shipped.get_inputs()] == [
        ("selfie", "tensor(uint8)"),
        ("portrait", "tensor(uint8)"),
    ]
    gate.write_text(gate.read_text().replace("'portrait'", "'portait'"))
    result = run("-k", "finite and fp16", "--kycquant-update-golden")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*array 'portait', which * is missing; did you mean 'portrait'*"])


def test_agreement_of_rows_without_labels(run: Run, pytester: pytest.Pytester) -> None:
    gate = write_texts(pytester.path, precisions='"fp16"')
    with np.load(pytester.path / "rows.npz") as rows:
        np.savez(pytester.path / "rows.npz", **{n: rows[n] for n in ("ids", "mask", "feature")})
    text = gate.read_text().replace("CustomGates", "AgreementGates")
    text = text.replace("misread,", "misread, labelled=False,")
    text = text.replace("!= labels", "!= labels.argmax(axis=1)")
    gate.write_text(text.replace("metric=0.05, degradation=0.03", "agreement=0.05"))
    result = run("--kycquant-update-golden")
    result.assert_outcomes(passed=4)
