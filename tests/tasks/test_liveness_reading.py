"""What a gate file says about a liveness model's output: classes by name, attack scores, maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_kycquant import KycModel, LivenessDetection, LivenessLimits, Preprocess
from pytest_kycquant.errors import BaselineError, ModelError
from pytest_kycquant.tasks.base import Part
from pytest_kycquant.tasks.liveness.task import LivenessTask
from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.scores import captures, logits

ALL = captures(150)
LIVE = logits(ALL)[:, 1:2]  # a logit that is high for live captures


def task(files: int = 1, **options: Any) -> LivenessTask:
    paths = tuple(f"m{i}.onnx" for i in range(files))
    spec = LivenessDetection("captures", **options)
    model = KycModel(paths, Preprocess(size=(8, 8)), spec)
    return LivenessTask(model, LivenessLimits(), lambda path, _: Path(str(path)))


def outputs(values: Any) -> Outputs:
    rows = np.asarray(values, np.float32)
    return Outputs(rows, np.isfinite(rows).all(axis=1))


def read(of: LivenessTask, maps: Any) -> Outputs:
    """What the task reads from the output of each image."""
    rows = np.concatenate([of.read([one]) for one in np.asarray(maps, np.float32)])
    return outputs(rows)


def sigmoid(values: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def part() -> Part[Any]:
    return Part(ALL.images, ALL, "digest", "360 captures")


@pytest.mark.parametrize(
    ("options", "live"),
    [
        ({}, 1),
        ({"live_class": 2}, 2),
        ({"classes": ("print", "live", "screen")}, 1),
        ({"classes": ("a", "b", "Bona-Fide")}, 2),
        ({"classes": ("a", "b", "c"), "live_class": "c"}, 2),
        ({"classes": ("real", "b", "live"), "live_class": "live"}, 2),
        ({"classes": ("live", "b", "c"), "live_class": 2}, 2),
    ],
)
def test_the_live_class_by_name_or_index(options: dict[str, Any], live: int) -> None:
    of = task(**options)
    assert of.spec.live_class == live
    rows = np.log([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]])
    assert of.scores(outputs(rows)) == pytest.approx(np.exp(rows)[:, live])
    policy = {"scores": "logits", "live class": live}
    assert of.policy() == {"given threshold": None, "selection APCER": 0.025, **policy}
    assert of.reading() == {}


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_a_single_value_is_of_a_live_face_or_of_an_attack(scores: Any) -> None:
    values = np.array([[-2.0], [0.5], [3.0]])
    given = values if scores == "logits" else sigmoid(values)
    live, attack = (task(scores=scores, classes=(name,)) for name in ("live", "spoof"))
    assert live.scores(outputs(given)) == pytest.approx(sigmoid(values)[:, 0], abs=1e-7)
    assert attack.scores(outputs(given)) == pytest.approx(1 - sigmoid(values)[:, 0], abs=1e-7)
    assert live.policy() == task(scores=scores, live_class=0).policy()
    assert attack.policy()["single value"] == "attack"
    assert np.isnan(attack.scores(outputs([[np.nan]]))).all()


def test_the_classes_must_be_those_of_the_output() -> None:
    with pytest.raises(ModelError, match=r"has 3 values, but .*classes=\.\.\.\) names 2"):
        task(classes=("spoof", "live")).scores(outputs([[0.1, 0.2, 0.7]]))
    with pytest.raises(ModelError, match=r'no class 1; .*classes=\("live",\) or classes=\("attac'):
        task().scores(outputs([[0.1]]))


@pytest.mark.parametrize("shape", [(1, 1, 5, 4), (1, 5, 4), (1, 5, 4, 1), (5, 4)])
@pytest.mark.parametrize("scores", ["logits", "probabilities"])
@pytest.mark.parametrize("name", ["live", "attack"])
def test_the_score_of_a_map_is_its_mean(shape: tuple[int, ...], scores: Any, name: str) -> None:
    """DeePixBiS: 1 x 1 x 14 x 14 probabilities, whose mean is the score."""
    maps = np.random.default_rng(0).normal(0, 2, (3, *shape))
    of = task(pool="mean", scores=scores, classes=(name,))
    found = of.scores(read(of, maps if scores == "logits" else sigmoid(maps)))
    wanted = sigmoid(maps).reshape(3, -1).mean(axis=1)
    assert found == pytest.approx(wanted if name == "live" else 1 - wanted, abs=1e-6)
    assert of.policy()["pool"] == "mean"
    assert of.reading() == {"pool": "mean", "scores": scores, "classes": 1}


@pytest.mark.parametrize("last", [False, True])
def test_a_map_of_several_classes(last: bool) -> None:
    maps = np.random.default_rng(0).normal(0, 2, (3, 1, 2, 6, 5))
    share = np.exp(maps[:, 0, 1]) / np.exp(maps[:, 0]).sum(axis=1)
    of = task(pool="mean", classes=("spoof", "live"))
    found = of.scores(read(of, np.moveaxis(maps, 2, 4) if last else maps))
    assert found == pytest.approx(share.reshape(3, -1).mean(axis=1), abs=1e-6)


def test_the_mean_of_a_depth_map_may_lie_a_little_outside() -> None:
    """CDCN is trained to give 0 for attacks, and gives a little less or more."""
    of = task(pool="mean", scores="probabilities", classes=("live",), threshold=0.2)
    depth = np.where(ALL.live, 0.6, -0.02)[:, None, None, None] * np.ones((1, 4, 4))
    fp32 = read(of, depth)
    assert of.scores(fp32) == pytest.approx(np.where(ALL.live, 0.6, 0.0))
    assert of.baseline(part(), fp32, 0.2).rates()["BPCER"].errors == 0
    with pytest.raises(ModelError, match="are not probabilities"):
        of.baseline(part(), read(of, depth * 255), 0.2)


@pytest.mark.parametrize("shape", [(1, 2, 5, 4), (1, 5), (1, 1, 2, 5, 4), (2, 1, 5, 4), (1, 1, 0)])
def test_what_is_not_a_map(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"is not a map of 1 classes|is an empty map"):
        read(task(pool="mean", classes=("live",)), np.zeros((1, *shape)))


def test_a_map_without_pool_says_what_to_write() -> None:
    with pytest.raises(ModelError, match=r'is not a row of classes .* or give pool="mean"'):
        read(task(), np.zeros((1, 1, 1, 14, 14)))


def area(live_scores: np.ndarray, attack_scores: np.ndarray) -> float:
    return float((live_scores[:, None] > attack_scores[None]).mean())


@pytest.mark.parametrize(
    ("options", "values", "words"),
    [
        ({"classes": ("live",)}, -LIVE, r'classes=\("attack",\)'),
        ({"live_class": 0}, -LIVE, r'classes=\("attack",\)'),
        ({"classes": ("attack",)}, LIVE, r'classes=\("live",\)'),
        ({"live_class": 0}, logits(ALL), "live_class=1"),
        ({"classes": ("live", "spoof", "c")}, logits(ALL), r"classes=\('spoof', 'live', 'c'\)"),
    ],
)
@pytest.mark.parametrize("threshold", [0.5, None])
def test_the_score_of_an_attack_is_noticed(
    options: dict[str, Any], values: np.ndarray, words: str, threshold: float | None
) -> None:
    of, fp32 = task(**options, threshold=threshold), outputs(values)
    scores = of.scores(fp32)
    before = area(scores[ALL.live], scores[~ALL.live])
    wanted = rf"higher than live faces \(AUC {before:.3f}\).*; set LivenessDetection\({words}\)"
    judge = of.choose_threshold if threshold is None else of.baseline
    arguments = (fp32, part()) if threshold is None else (part(), fp32, threshold)
    with pytest.raises(BaselineError, match=wanted + r", with which its AUC is \d"):
        judge(*arguments)
    with pytest.raises(BaselineError):  # before other preprocessings are compared with it
        of.quality(part(), fp32)


def test_the_score_of_a_live_face_is_not_refused() -> None:
    for options, values in (
        ({"classes": ("live",)}, LIVE),
        ({"classes": ("attack",)}, -LIVE),
        ({}, logits(ALL)),
    ):
        of, fp32 = task(**options), outputs(values)
        assert of.quality(part(), fp32) is not None
        of.choose_threshold(fp32, part())


def test_two_files_are_averaged() -> None:
    of = task(2, classes=("attack",))
    values = np.hstack([-LIVE, -LIVE - 1])
    wanted = (sigmoid(LIVE) + sigmoid(LIVE + 1))[:, 0] / 2
    assert of.scores(outputs(values)) == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(BaselineError, match=r'classes=\("live",\)'):
        of.baseline(part(), outputs(-values), 0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "logits of the classes, of which number 1 is live"),
        (
            {"classes": ("live", "print", "screen"), "scores": "probabilities"},
            "probabilities of the classes, of which number 0 (live) is live",
        ),
        ({"classes": ("attack",)}, "the logit of an attack"),
        (
            {"classes": ("live",), "scores": "probabilities", "pool": "mean"},
            "the probability of a live face, averaged over the map",
        ),
    ],
)
def test_the_report_says_what_outputs_are_taken_for(options: dict[str, Any], said: str) -> None:
    assert task(**options).reading_note == f"outputs are read as {said}"
