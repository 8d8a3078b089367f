"""A golden is not recorded if FP32 is better beyond doubt when images are prepared otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.worlds.population import SIZE, Run

Project = Callable[..., None]
RECORD = ("--kycquant-update-golden", "-q")
RIGHT = "mean=127.5, scale=1 / 127.5"
ACCEPT = "--kycquant-accept-preprocessing"


def prepare(pytester: pytest.Pytester, old: str, new: str) -> None:
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    assert old in text
    gate.write_text(text.replace(old, new))


def blind_to_blue(pytester: pytest.Pytester) -> None:
    """Make the model hardly look at blue, and blue tell little about people."""
    path = pytester.path / "models" / "face.onnx"
    model = onnx.load(path)
    (first,) = (one for one in model.graph.initializer if one.name == "first.w")
    weights = numpy_helper.to_array(first).copy()
    weights[:, 2] *= 0.2
    first.CopyFrom(numpy_helper.from_array(weights, "first.w"))
    onnx.save(model, path)
    rng = np.random.default_rng(0)
    for name in ("faces", "selection", "calibration"):
        file = pytester.path / f"{name}.npz"
        arrays = dict(np.load(file))
        blue = arrays["images"][..., 2] + rng.normal(0, 60, (len(arrays["images"]), SIZE, SIZE))
        arrays["images"][..., 2] = blue.clip(0, 255)
        np.savez(file, **arrays)


def test_a_wrong_range_is_named_with_its_figures(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project()
    golden = pytester.path / "golden" / "face.json"
    before = golden.read_bytes()
    prepare(pytester, RIGHT, "mean=0.0, scale=1 / 255")
    result = run(*RECORD)
    result.stdout.re_match_lines(
        [
            r".*face\.json: is not recorded, because FP32 is better beyond doubt with "
            r"Preprocess\(mean=127\.5, scale=1 / 127\.5\): FRR 0\.\d\d% at a FAR of 0\.10% and a "
            r"separation \(d'\) of \d\.\d\d, instead of FRR \d+\.\d\d% at a FAR of 0\.10% and a "
            r"separation \(d'\) of \d\.\d\d; prepare images as for training; if production .* add "
            + ACCEPT
        ]
    )
    assert golden.read_bytes() == before


def test_two_mistakes_are_named_together(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    blind_to_blue(pytester)
    prepare(pytester, RIGHT, "mean=0.0, scale=1.0")
    prepare(pytester, '"RGB"', '"BGR"')
    text = run(*RECORD).stdout.str()
    said = {line for line in text.splitlines() if "is better beyond doubt" in line}
    # In the summary, and in the verdict, it stands a second time.
    (problem,) = {one for one in said if not one.startswith(("ERROR ", "kycquant: "))}
    assert "mean=1" in problem or "mean=(1" in problem  # the latter does as well here
    assert 'channels="RGB"' in problem
    prepare(pytester, '"BGR"', '"RGB"')
    prepare(pytester, "mean=0.0, scale=1.0", RIGHT)
    assert "better beyond doubt" not in run(*RECORD, "-k", "test_size").stdout.str()
    assert (pytester.path / "golden" / "face.json").is_file()


def test_it_can_be_accepted(project: Project, run: Run, pytester: pytest.Pytester) -> None:
    project(golden=False)
    prepare(pytester, RIGHT, "mean=0.0, scale=1 / 255")
    prepare(pytester, "FaceLimits(", "FaceLimits(far=.3, frr=.9, ")
    run(*RECORD, ACCEPT, "-k", "test_size")
    recorded = json.loads((pytester.path / "golden" / "face.json").read_text())
    assert recorded["note"] == f"the preprocessing was not compared with others: {ACCEPT}"
    note = "note on fp32: *the preprocessing was not compared with others: --kycquant-accept-*"
    run("-k", "test_size").stdout.fnmatch_lines([note])


def test_without_a_golden_to_record_nothing_is_tried(
    project: Project, run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project()
    monkeypatch.setattr("pytest_kycquant.bench.baseline.refuse_worse", lambda *_: 1 / 0)
    assert "division" not in run("-q", "-k", "test_size").stdout.str()


def test_liveness_is_looked_at_too(
    liveness_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(golden=False)
    prepare(pytester, RIGHT, "mean=0.0, scale=1.0")
    text = run(*RECORD).stdout.str()
    assert "better beyond doubt with Preprocess(mean=" in text
    assert "BPCER 0.00% at an APCER of 5.00% and an AUC of 1.0000, instead of BPCER " in text


def test_a_metric_is_looked_at_too(
    document_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    document_project(golden=False)
    prepare(pytester, RIGHT, "mean=0.0, scale=1 / 255")
    assert "better beyond doubt" in run(*RECORD).stdout.str()


def test_people_with_one_image_each_do_not_hide_it(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    """Genuine pairs come from a few people, whom a look at twelve of all would miss."""
    project(golden=False)
    for name in ("faces", "selection"):
        file = pytester.path / f"{name}.npz"
        arrays = dict(np.load(file))
        kept = np.ones(len(arrays["subjects"]), np.bool_)
        kept[1::2] = np.arange(len(kept) // 2) % 11 == 5
        np.savez(file, **{key: value[kept] for key, value in arrays.items()})
    prepare(pytester, RIGHT, "mean=0.0, scale=1 / 255")
    assert "is better beyond doubt with Preprocess(mean=1" in run(*RECORD).stdout.str()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_what_cannot_be_compared_is_said_where_the_golden_is_recorded(
    project: Project, run: Run, pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    project(golden=False)
    file = pytester.path / "faces.npz"
    arrays = dict(np.load(file))
    few = np.isin(arrays["subjects"], np.unique(arrays["subjects"])[:7])
    np.savez(file, **{key: value[few] for key, value in arrays.items()})
    prepare(pytester, 'selection="selection.npz"', "threshold=0.5")
    result = run(*RECORD, "-k", "test_size", *workers)
    result.stdout.fnmatch_lines(
        [
            "golden: recorded golden/face.json; commit it: git add golden/face.json",
            "golden: the preprocessing could not be compared with others: it takes at least 10 "
            "people with two images or more, and there are 7",
        ]
    )
    # Beside the path of the golden, and beside FP32 in the report.
    assert result.stdout.str().count("could not be compared") == 2
