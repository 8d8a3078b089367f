"""Real weights: the authors' sample photographs, and photographs that are not camera captures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant import KycModel, LivenessDetection, LivenessLimits, Preprocess
from pytest_kycquant.runtimes import library
from pytest_kycquant.tasks.liveness.scores import live_scores
from pytest_kycquant.tasks.liveness.task import LivenessTask
from pytest_kycquant.tasks.outputs import run_model

# Face boxes measured by hand, in the upright image (x1, y1, x2, y2).
SAMPLES = {
    "sample_T1.jpg": ("live", "", (115, 100, 310, 350)),
    "sample_F1.jpg": ("attack", "print", (195, 110, 385, 350)),
    "sample_F2.jpg": ("attack", "screen", (140, 170, 355, 480)),
}
BGR = Preprocess(size=(80, 80), channels="BGR")


@pytest.fixture
def samples(real: Path, tmp_path: Path) -> Path:
    """A folder with labels.csv and boxes.csv of the three samples."""
    labels, boxes = ["file,label,species"], ["file,x1,y1,x2,y2"]
    for name, (label, species, box) in SAMPLES.items():
        (tmp_path / name).symlink_to(real / "liveness" / name)
        labels.append(f"{name},{label},{species}")
        boxes.append(",".join([name, *map(str, box)]))
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    (tmp_path / "boxes.csv").write_text("\n".join(boxes))
    return tmp_path


def scores(model: Path, folder: Path, scale: float, preprocess: Preprocess) -> dict[str, float]:
    """FP32's probability of a live face for each sample."""
    spec = LivenessDetection("labels.csv", threshold=0.5, boxes="boxes.csv", crop_scale=scale)
    task = LivenessTask(
        KycModel(model, preprocess, spec), LivenessLimits(), lambda path, _: folder / path
    )
    part = task.load().evaluation
    tensors = task.tensors(part.images)
    outputs = run_model(
        library().open(model), tensors, task.edge_inputs(), ("logits",), task.read, threads=1
    )
    found = task.baseline(part, outputs, 0.5).fp32.scores
    assert np.array_equal(found, live_scores(outputs, 1, probabilities=False))
    return dict(zip(part.images.names, found.tolist(), strict=True))


@pytest.mark.parametrize(
    ("model", "scale", "margin"), [("MiniFASNetV2", 2.7, 0.05), ("MiniFASNetV1SE", 4.0, 0.25)]
)
def test_samples_are_classified_right(
    real: Path, samples: Path, model: str, scale: float, margin: float
) -> None:
    found = scores(real / "models" / f"{model}.onnx", samples, scale, BGR)
    assert found["sample_T1.jpg"] > 1 - margin - 0.05
    assert found["sample_F1.jpg"] < margin
    assert found["sample_F2.jpg"] < margin


def test_the_pair_is_averaged_as_in_the_original_system(real: Path, samples: Path) -> None:
    """Each network sees its own crop; neither alone gives the result of the mean."""
    names, scales = ("MiniFASNetV2", "MiniFASNetV1SE"), (2.7, 4.0)
    files = tuple(real / "models" / f"{name}.onnx" for name in names)
    spec = LivenessDetection("labels.csv", threshold=0.5, boxes="boxes.csv", crop_scale=scales)
    task = LivenessTask(
        KycModel(files, BGR, spec), LivenessLimits(), lambda path, _: samples / path
    )
    part = task.load().evaluation
    outputs = []
    for member, file in enumerate(files):
        given, edges = task.tensors(part.images, member), task.edge_inputs(member)
        opened = library().open(file)
        outputs.append(run_model(opened, given, edges, ("logits",), task.read, threads=1))
    found = task.baseline(part, task.fuse(outputs), 0.5).fp32.scores
    alone = [scores(f, samples, scale, BGR) for f, scale in zip(files, scales, strict=True)]
    by_hand = [np.mean([one[name] for one in alone]) for name in part.images.names]
    assert found == pytest.approx(by_hand, abs=1e-9)
    assert dict(zip(part.images.names, found >= 0.5, strict=True)) == {
        "sample_T1.jpg": True,
        "sample_F1.jpg": False,
        "sample_F2.jpg": False,
    }


def test_usual_mistakes_in_preprocessing_change_the_answer(real: Path, samples: Path) -> None:
    """The sanity floor of FP32 catches this: divided by 255, the live face is rejected."""
    scaled = Preprocess(size=(80, 80), channels="BGR", scale=1 / 255)
    found = scores(real / "models" / "MiniFASNetV2.onnx", samples, 2.7, scaled)
    assert found["sample_T1.jpg"] < 0.5


GATE = """
from pytest_kycquant import KycModel, LivenessDetection, LivenessGates, Preprocess

class TestMiniFASNet(LivenessGates):
    model = KycModel(
        {model!r},
        preprocess=Preprocess(size=(80, 80), channels="BGR"),
        task=LivenessDetection(
            "labels.csv", threshold=0.5, boxes="boxes.csv", crop_scale=2.7
        ),
    )
    precisions = ("fp16",)
"""


def test_press_photographs_are_no_baseline(
    real: Path, pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    """MiniFASNet classifies a third of LFW as attacks; the gate says so instead of comparing."""
    root = pytester.path
    lines = (real / "scenes" / "face_boxes.csv").read_text().splitlines()[1:151]
    labels, boxes = ["file,label,species"], ["file,x1,y1,x2,y2", *lines]
    (root / "images").symlink_to(real / "scenes" / "images")
    labels += [f"{line.split(',')[0]},live," for line in lines]
    for name, (_, species, box) in list(SAMPLES.items())[1:]:
        (root / name).symlink_to(real / "liveness" / name)
        labels.append(f"{name},attack,{species}")
        boxes.append(",".join([name, *map(str, box)]))
    (root / "labels.csv").write_text("\n".join(labels))
    (root / "boxes.csv").write_text("\n".join(boxes))
    gate = GATE.format(model=str(real / "models" / "MiniFASNetV2.onnx"))
    (root / "test_gate.py").write_text(gate)
    result = run("--kycquant-update-golden", "-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(
        ["*MiniFASNetV2.onnx: FP32 itself fails its limits (FAIL BPCER = *; check channel order, *"]
    )
