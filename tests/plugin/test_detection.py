"""A gate file for a detector: every gate passes and fails, and errors are reported once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_kycquant.quantize import static_types
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, without_repair
from tests.worlds.scenery import detector, write_project

GOOD = 'Recipe("int8", op_types=("Conv",))'
ACCEPT = "--kycquant-accept-preprocessing"
# With unsigned weights, a whole-graph INT8 model of this detector cannot be rescued.
FRAGILE = without_repair('"int8"', '("Conv",)').replace(', weight_type="uint8"', "")
Write = Callable[..., None]


@pytest.fixture
def scenery(pytester: pytest.Pytester) -> Write:
    """Write a project with a gate file."""
    return lambda **options: write_project(pytester.path, **options)


@pytest.fixture
def record(run: Run) -> Run:
    """Run pytest in the folder of the test, which also records the golden."""
    return lambda *arguments: run("--kycquant-update-golden", *arguments)


def test_every_gate_passes(scenery: Write, record: Run, pytester: pytest.Pytester) -> None:
    scenery(precisions=f'"fp16", {GOOD}', fallback=None)
    result = record("-v")
    result.assert_outcomes(passed=12)
    gates = ("finite", "recall", "map", "degradation", "latency", "size")
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]{precision}[]] PASSED*"
        for gate in gates
        for precision in ("fp16", "int8")
    )
    result.stdout.fnmatch_lines(
        [
            "variant * size * latency * recall * mAP50 * mAP50-95 * agreement * verdict",
            "fp32 * 9?.*% [[]*, *] * 9?.*% [[]*, *] * - * - * PASS",
            "int8 * 9?.*% [[]*, *] * 9?.*% [[]*, *] * 0.9* 1.000 / 1.000 * PASS",
        ]
    )
    golden = json.loads((pytester.path / "golden" / "detector.json").read_text())
    assert set(golden["rates"]) == {"miss rate of face", "miss rate of card"}
    assert golden["rates"]["miss rate of face"]["trials"] == 400
    assert set(golden["figures"]) == {"mAP50", "mAP50-95"}
    assert 0.2 < golden["threshold"] < 0.9
    assert golden["threshold_source"].startswith("highest at which the 95 % upper bound")


def test_two_workers(scenery: Write, record: Run) -> None:
    scenery(precisions=f'"fp16", {GOOD}', fallback=None)
    record("-n", "2").assert_outcomes(passed=12)


def test_scores_that_share_a_scale_with_boxes_fail_and_stay_in_fp32(
    scenery: Write, record: Run
) -> None:
    scenery()
    result = record("-v")
    assert result.parseoutcomes()["fallback"] == 6
    # Older versions of onnxruntime do not quantize a Flatten.
    behind = [
        name
        for name in ("flatten", "reshape", "sigmoid", "concat")
        if name.capitalize() in static_types()
    ]
    assert len(behind) >= 3
    result.stdout.fnmatch_lines(
        [
            "int8 * FAIL finite*",
            "int8>mixed * PASS",
            "int8: FAIL distinct scores, relative to FP32 = *",
            f"int8>mixed keeps {len(behind)} operators, which have no weights, in FP32: "
            f"{', '.join(behind)}; "
            "100 % of the weights are quantized; 1 candidate in * s, minimal",
        ]
    )


def test_accuracy_gates_fail(scenery: Write, record: Run) -> None:
    """Layers whose scales INT8 cannot hold: objects are missed."""
    scenery(model=detector(fragile=True), precisions=FRAGILE, fallback=None)
    result = record("-k", "recall or map or degradation")
    result.assert_outcomes(failed=3, deselected=3)
    result.stdout.fnmatch_lines_random(
        [
            "detector: int8 FAIL recall",
            "FAIL recall, card = * must be at least 95 %",
            "  * objects in 400 images missed at *",
            "PASS recall, face = *",
            "detector: int8 FAIL map",
            "FAIL mAP50 = * must be at least 90 %",
            "  400 images, mAP50-95 *",
            "detector: int8 FAIL degradation",
            "FAIL increase of misses of card over FP32 = *",
            "FAIL drop of mAP50 from FP32 = *",
            "FAIL drop of mAP50-95 from FP32 = *",
            "FAIL detections of FP32 that the variant has = *",
        ]
    )


def test_mixed_precision_rescues(scenery: Write, record: Run) -> None:
    scenery(model=detector(fragile=True), precisions=FRAGILE)
    result = record("-v")
    assert result.parseoutcomes()["fallback"] == 6
    result.stdout.fnmatch_lines(["int8>mixed * PASS", "int8>mixed keeps * in FP32: *second*"])


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("latency", ("latency_ratio=1000.0", "latency_ratio=0.01")),
        ("size", ("size_ratio=10.0", "size_ratio=0.1")),
    ],
)
def test_common_gates_fail(
    scenery: Write, record: Run, pytester: pytest.Pytester, gate: str, change: tuple[str, str]
) -> None:
    scenery(precisions=GOOD, fallback=None)
    file = pytester.path / "test_gate.py"
    file.write_text(file.read_text().replace(*change))
    result = record("-k", gate)
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines([f"detector: int8 FAIL {gate}"])


def test_given_confidence_and_no_selection(
    scenery: Write, record: Run, pytester: pytest.Pytester
) -> None:
    scenery(precisions=GOOD, fallback=None, task="confidence=0.25")
    file = pytester.path / "test_gate.py"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "selection" not in line))
    record().assert_outcomes(passed=6)
    golden = json.loads((pytester.path / "golden" / "detector.json").read_text())
    assert golden["threshold"] == 0.25
    assert golden["inputs"]["selection"] is None


def test_one_class_of_several(scenery: Write, record: Run, pytester: pytest.Pytester) -> None:
    """The other class is not labelled, and its detections are not false positives."""
    scenery(precisions='"fp16"', fallback=None, task='judged=("face",)')
    for name in ("scenes.csv", "selection.csv"):
        labels = pytester.path / name
        lines = labels.read_text().splitlines(keepends=True)
        labels.write_text("".join(line for line in lines if ",card," not in line))
    record().assert_outcomes(passed=6)
    golden = json.loads((pytester.path / "golden" / "detector.json").read_text())
    assert list(golden["rates"]) == ["miss rate of face"]
    assert golden["figures"]["mAP50"] > 0.98


def test_raw_scores(scenery: Write, record: Run) -> None:
    scenery(model=detector(logits=True), task='scores="logits"', precisions=GOOD, fallback=None)
    record().assert_outcomes(passed=6)


def broken(result: pytest.RunResult) -> None:
    """All six tests are errors; one explains, five are counted."""
    stopped(result, 6)


def test_wrong_channel_order_is_no_basis_for_comparison(scenery: Write, record: Run) -> None:
    scenery(precisions=GOOD, channels="BGR", task="confidence=0.25", count=60)
    result = record()
    broken(result)
    better = (
        'FP32 is better beyond doubt with Preprocess(channels="RGB"): mAP 0.99*, instead of mAP'
    )
    result.stdout.fnmatch_lines([f"*is not recorded, because {better} 0.0*"])
    result = record(ACCEPT)
    broken(result)
    result.stdout.fnmatch_lines(
        [
            "*models/detector.onnx: FP32 itself fails its limits (FAIL *; "
            "check channel order, mean and scale*"
        ]
    )


def test_no_confidence_can_be_chosen(scenery: Write, record: Run) -> None:
    scenery(precisions=GOOD, channels="BGR", count=60)
    result = record(ACCEPT)
    broken(result)
    result.stdout.fnmatch_lines(["*confidence selection: even at the lowest confidence * missed*"])


def test_a_detector_that_finds_nothing(scenery: Write, record: Run) -> None:
    scenery(precisions=GOOD, model=detector(blind=True), task="confidence=0.25", count=60)
    result = record()
    broken(result)
    result.stdout.fnmatch_lines(["*FP32 itself fails its limits (FAIL distinct scores*"])


def test_infinite_scores_of_a_white_input(scenery: Write, record: Run) -> None:
    scenery(precisions=GOOD, model=detector(poisoned=True), count=60, task="confidence=0.25")
    result = record()
    broken(result)
    result.stdout.fnmatch_lines(["*FP32 itself fails its limits (FAIL edge inputs with NaN*white*"])


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (
            {},
            ('("face", "card")', '("face", "card", "hand")'),
            "*has no boxes of the classes hand*",
        ),
        ({"task": "keypoints=5"}, None, "*output shapes (1, 6, 49) match no supported layout*"),
        ({"task": 'outputs=("boxes",)'}, None, "*has no output 'boxes'; its outputs are output0"),
        ({"model": "logits"}, None, '*has detections with a score of *scores="logits"*'),
        ({"task": 'scores="logits"'}, None, '*between .5 and .731*scores="probabilities"*'),
        (
            {},
            ('"scenes.csv"', '"gone.csv"'),
            "*ObjectDetection.labels: *gone.csv does not exist; *",
        ),
        ({}, ('"selection.csv"', '"scenes.csv"'), "*labels images that *selection.npz does not*"),
    ],
)
def test_bad_input(
    scenery: Write,
    record: Run,
    pytester: pytest.Pytester,
    options: dict[str, object],
    change: tuple[str, str] | None,
    message: str,
) -> None:
    if options.get("model") == "logits":
        options = {"model": detector(logits=True)}
    scenery(precisions=GOOD, **options, count=60)
    if change:
        file = pytester.path / "test_gate.py"
        file.write_text(file.read_text().replace(*change))
    result = record()
    broken(result)
    result.stdout.fnmatch_lines([message])


def test_the_same_scenes_for_two_purposes(
    scenery: Write, record: Run, pytester: pytest.Pytester
) -> None:
    scenery(precisions=GOOD, count=60)
    file = pytester.path / "test_gate.py"
    file.write_text(file.read_text().replace('"calibration.npz"', '"scenes.npz"'))
    result = record()
    broken(result)
    result.stdout.fnmatch_lines(["*of its images for calibration are also used for evaluation*"])


def test_changed_labels_make_the_golden_stale(
    scenery: Write, record: Run, run: Run, pytester: pytest.Pytester
) -> None:
    scenery(precisions=GOOD, count=60, task="confidence=0.25")
    record("-k", "size")
    labels = pytester.path / "scenes.csv"
    header, first, *rest = labels.read_text().splitlines(keepends=True)
    labels.write_text(header + first.replace("face", "card") + "".join(rest))
    result = run()
    broken(result)
    result.stdout.fnmatch_lines(["*is stale: evaluation changed since it was recorded*"])


def test_limits_of_another_task(scenery: Write, record: Run, pytester: pytest.Pytester) -> None:
    scenery(precisions=GOOD, count=60)
    file = pytester.path / "test_gate.py"
    text = file.read_text().replace("DetectionLimits", "FaceLimits")
    file.write_text(text)
    record().stdout.fnmatch_lines(["*::TestDetector.limits: are FaceLimits, not DetectionLimits*"])
