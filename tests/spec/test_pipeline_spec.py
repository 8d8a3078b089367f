"""What the gate file of a pipeline may contain; anything else is refused at once."""

import pickle
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant import (
    DetectionGates,
    FaceGates,
    FaceVerification,
    KycModel,
    LivenessDetection,
    LivenessGates,
    ObjectDetection,
    PipelineGates,
    PipelineLimits,
    Preprocess,
)
from pytest_kycquant.errors import SpecError
from pytest_kycquant.pipeline.models import Pipeline, Stage
from pytest_kycquant.plugin.pipeline_gates import pipeline_spec_of
from pytest_kycquant.spec.pipeline import PipelineSpec, ProcessSpec

SIZE = Preprocess(size=(8, 8))


class Detector(DetectionGates):
    __test__ = False
    model = KycModel(
        "d.onnx",
        SIZE,
        ObjectDetection("d", "l", classes=("face", "hand", "cup"), judged=("face", "hand")),
    )
    precisions = ("fp16",)


class Without(Detector):
    model = replace(Detector.model, task=replace(Detector.model.task, keypoints=0))


class Poses(Detector):
    model = replace(Detector.model, task=replace(Detector.model.task, keypoints=17))


@pytest.mark.kycquant(strict=True)
class Liveness(LivenessGates):
    __test__ = False
    model = KycModel(("a.onnx", "b.onnx"), SIZE, LivenessDetection("d"))


@pytest.mark.kycquant(precisions=("int8",))
class Nearer(Liveness):
    pass


class Face(FaceGates):
    __test__ = False
    model = KycModel("f.onnx", SIZE, FaceVerification("d"))


GOOD = {"images": "scenes", "detector": Detector, "face": "face", "embedder": Face}


def spec(**changes: Any) -> PipelineSpec:
    values = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return pipeline_spec_of(type("TestIt", (PipelineGates,), {"__module__": __name__, **values}))


def test_stages_in_the_order_of_the_pipeline() -> None:
    found = spec(liveness=Liveness)
    assert [stage.name for stage in found.stages] == ["detector", "liveness", "embedder"]
    assert {stage.gate_file for stage in found.stages} == {Path(__file__)}
    assert found.stages[0].gate.precisions[0].name == "fp16"
    assert (found.runs, found.threads, found.limits.wall_ms) == (59, 1, 8000)
    assert [stage.name for stage in spec(embedder=None, liveness=Liveness).stages] == [
        "detector", "liveness"
    ]  # fmt: skip


def test_what_a_pipeline_asks_for_is_plain_data() -> None:
    """Another process finds the class by its file and names; the class itself cannot be sent."""
    found = spec()
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.process == ProcessSpec(Path(__file__), __name__, "TestIt")


def test_markers_of_a_stage_count() -> None:
    """The class is not collected here, but its markers apply nevertheless."""
    (_, gate, _) = spec(liveness=Nearer).stages
    assert gate.gate.strict is True
    assert [recipe.name for recipe in gate.gate.precisions] == ["int8"]
    (_, gate, _) = spec(liveness=Liveness).stages
    assert len(gate.gate.precisions) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ...}, "TestIt.applicants: is missing; write applicants = "),
        ({"applicants": "a.csv"}, "TestIt.images: is given beside applicants"),
        ({"images": ..., "applicants": 3}, "TestIt.applicants: 3 is not a path"),
        (
            {"images": ..., "applicants": "a.csv", "liveness": Liveness, "embedder": None},
            "TestIt.applicants: needs an embedder",
        ),
        ({"images": 3}, "TestIt.images: 3 is not a path"),
        ({"detector": ...}, "TestIt.detector: is missing; name the gate class of the detector"),
        ({"embedder": ...}, "has a detector but no stage after it; add liveness= or embedder="),
        ({"detector": Face}, "Face judges FaceVerification; name a gate class .* ObjectDetection"),
        ({"embedder": Liveness}, "Liveness judges LivenessDetection; .* FaceVerification"),
        ({"liveness": Detector.model}, "is not a gate class; .* judges LivenessDetection"),
        ({"liveness": int}, "<class 'int'> is not a gate class"),
        ({"embedder": FaceGates}, "FaceGates: has no model; add model="),
        (
            {"face": ...},
            "None is not a class that the detector's gates judge; choose .* face, hand",
        ),
        ({"face": "cup"}, "'cup' is not a class that the detector's gates judge"),
        ({"limits": 8000}, "are not PipelineLimits; give PipelineLimits"),
        ({"runs": 58}, "TestIt.runs: 58 is too small; give a whole number from 59 to 100,000"),
        ({"threads": 0}, "TestIt.threads: 0 is too small"),
        ({"threads": 1.5}, "1.5 is not a whole number"),
        ({"embedder_scale": 0}, "0.0 is not a scale"),
        ({"embedder_scale": "2"}, "'2' is not a number"),
        ({"align": lambda self, pixels: pixels}, "TestIt.align: .* is not a boolean"),
        (
            {"align": True, "embedder_scale": 1.0},
            "TestIt.embedder_scale: has no effect, because faces are aligned; leave it out",
        ),
        (
            {"align": True, "liveness": Liveness, "embedder": None},
            "TestIt.align: has no effect, because nothing is embedded",
        ),
        (
            {"align": True, "detector": Without},
            "TestIt.align: needs the five landmarks of a face, but .* read no keypoints; gate a "
            "detector with landmarks",
        ),
        ({"align": True, "detector": Poses}, "TestIt.align: needs .* gates read 17 keypoints"),
        ({"inconclusive": "ignore"}, "'ignore' is unknown"),
        (
            {"image": "others", "images": ...},
            "TestIt.image: is not an attribute of gates; did you mean 'images'",
        ),
        ({"limit": PipelineLimits()}, "did you mean 'limits'"),
        ({"embeder": Face, "embedder": ...}, "did you mean 'embedder'"),
        ({"proces": lambda self, stages, photo: None}, "did you mean 'process'"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**changes)


def test_other_attributes_and_methods_are_left_alone() -> None:
    spec(landmarks=5, upright=lambda self, pixels: pixels, runs=100)


def test_alignment_may_be_inherited() -> None:
    class Aligned(PipelineGates):
        align = True

    values = {name: value for name, value in GOOD.items() if name != "align"}
    found = pipeline_spec_of(type("TestIt", (Aligned,), {"__module__": __name__, **values}))
    assert (found.align, spec().align) == (True, False)


def test_a_unittest_is_refused() -> None:
    with pytest.raises(SpecError, match="is a unittest"):
        type("TestIt", (PipelineGates, unittest.TestCase), dict(GOOD))


@pytest.mark.parametrize("name", ["wall_ms", "memory_ratio", "memory_mb"])
def test_limits_that_can_never_be_met(name: str) -> None:
    with pytest.raises(SpecError, match=f"PipelineLimits.{name}: 0 can never be met"):
        PipelineLimits(**{name: 0})
    with pytest.raises(SpecError, match="is not finite"):
        PipelineLimits(**{name: float("inf")})


def test_limits_are_not_switched_off() -> None:
    for name in ("wall_ms", "memory_ratio"):
        with pytest.raises(SpecError, match="cannot be switched off"):
            PipelineLimits(**{name: None})
    assert PipelineLimits(memory_mb=None).memory_mb is None


def test_a_pipeline_is_plain_data() -> None:
    stages = {"liveness": Stage(Liveness.model, "int8", (Path("a.onnx"), Path("b.onnx")), 0.5, 10)}
    pipeline = Pipeline("shipped", stages, threads=2)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline
