"""A run judges each variant once, and knows which files belong to which variant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.populations import strangers
from benchmarks.splits import GATES, SimulatedJudge, World
from pytest_kycquant import FaceVerification, KycModel, Preprocess
from pytest_kycquant.bench import run as running
from pytest_kycquant.bench.records import VariantRecord
from pytest_kycquant.bench.run import Run
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.bench.smoke import SmokeJudge
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.errors import (
    DataError,
    QuantizationError,
    SettingsError,
    SpecError,
)
from pytest_kycquant.spec.gates import GateSpec
from pytest_kycquant.spec.recipe import as_recipe
from pytest_kycquant.spec.settings import Settings

GATE_FILE = Path("test_gate.py")
INT8 = as_recipe("int8")


def workspace(folder: Path, **changes: Any) -> Workspace:
    settings = Settings(folder, folder, False, False, "fail", None, None, threads=1)
    return Workspace(replace(settings, **changes), folder, "run", Progress())


def spec(**values: Any) -> GateSpec:
    model = KycModel("m.onnx", preprocess=Preprocess((8, 8)), task=FaceVerification("d"))
    return GateSpec.of({"model": model, **values}, "here")


def test_a_gate_has_one_judge(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path))
    judge = run.judge(spec(), GATE_FILE)
    assert run.judge(spec(), GATE_FILE) is judge
    assert run.judge(spec(), Path("other.py")) is not judge
    assert run.judge(spec(strict=True), GATE_FILE) is not judge


def test_the_profile_chooses_judge_and_limits(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path))
    assert isinstance(run.judge(spec(profile="smoke"), GATE_FILE), SmokeJudge)
    strict = run.judge(spec(profile="nist63a4"), GATE_FILE)
    assert (strict.profile, strict.limits.far) == ("nist63a4", 1e-4)  # type: ignore[attr-defined]


def test_smoke_exports_nothing(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path, export=tmp_path / "out"))
    run.judge(spec(), GATE_FILE)
    with pytest.raises(SettingsError, match="--kycquant-export: the smoke profile clears nothing"):
        run.judge(spec(profile="smoke"), GATE_FILE)


def test_a_shipment_is_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def decide(judge: object, recipe: object, fallback: object, search: object) -> Shipment:
        asked.append((recipe, fallback))
        record = VariantRecord("face", "int8", "", 1, 0.3, {}, {})
        return Shipment("int8", record, (), (record,))

    monkeypatch.setattr(running, "decide", decide)
    run = Run(workspace(tmp_path))
    first = run.shipment(spec(), GATE_FILE, INT8)
    assert run.shipment(spec(), GATE_FILE, INT8) is first
    assert asked == [(INT8, "mixed")]
    run.shipment(spec(strict=True), GATE_FILE, INT8)
    assert asked[1:] == [(INT8, None)]


def test_a_failed_attempt_is_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def decide(judge: object, recipe: object, fallback: object, search: object) -> Shipment:
        asked.append(recipe)
        raise QuantizationError("face", "cannot be quantized", "give up")

    monkeypatch.setattr(running, "decide", decide)
    run = Run(workspace(tmp_path))
    for _ in range(2):
        with pytest.raises(QuantizationError, match="face: cannot be quantized; give up"):
            run.shipment(spec(), GATE_FILE, INT8)
    assert asked == [INT8]


def test_what_is_wrong_with_a_gate_is_tried_once(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path))
    with (
        pytest.raises(DataError, match="faces: are missing; add them"),
        run.tried_once(spec(), GATE_FILE),
    ):
        raise DataError("faces", "are missing", "add them")
    with (
        pytest.raises(DataError, match="faces: are missing; add them"),
        run.tried_once(spec(), GATE_FILE),
    ):
        pytest.fail("is not tried again")
    with run.tried_once(spec(), Path("other.py")):
        pass


def test_a_cause_is_shown_once_in_all_workers(tmp_path: Path) -> None:
    one, other = Run(workspace(tmp_path)), Run(workspace(tmp_path))
    error = DataError("faces", "are missing", "add them")
    assert one.shown_for(error, "test_far") is error
    assert one.shown_for(error, "test_far") is error  # tried again
    for run in (one, other):
        shown = run.shown_for(DataError("faces", "are missing", "add them"), "test_frr")
        assert type(shown) is DataError
        assert str(shown) == "faces: this gate cannot run; see the error of test_far"
    alike = DataError("faces", "are few", "add some")
    assert other.shown_for(alike, "test_frr") is alike


def test_a_cause_is_shown_once_without_a_cache(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path, cache=Path("/dev/null/cache")))
    error = QuantizationError("face", "cannot be quantized", "give up")
    assert run.shown_for(error, "test_far") is error
    shown = str(run.shown_for(error, "test_frr"))
    assert shown == "face: this precision cannot be judged; see the error of test_far"


def test_what_concerns_one_precision_is_no_fault_of_the_gate(tmp_path: Path) -> None:
    run = Run(workspace(tmp_path))
    for _ in range(2):
        with (
            pytest.raises(SpecError, match="here: this; that"),
            run.tried_once(spec(), GATE_FILE),
        ):
            raise SpecError("here", "this", "that")


def test_the_files_of_a_record_are_its_own(tmp_path: Path) -> None:
    """Otherwise FP32's files would be returned for a variant that another judge has judged."""
    world = World(strangers, 0.414, 0.0)
    bench = SimulatedJudge(world, 60, 0, GATES["FAR alone"], workspace(tmp_path))
    record = bench.record(INT8)
    assert bench.variant_of(record).paths == (Path("int8"),)
    assert bench.variant_of(bench.fp32_record).paths == (Path("fp32"),)
    with pytest.raises(LookupError, match="int8 of simulated was not judged here"):
        bench.variant_of(replace(record))
