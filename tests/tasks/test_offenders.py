"""Each gate names the cases that weigh most in its verdict, the worst first."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pytest_kycquant import FaceLimits, Verdict
from pytest_kycquant.data.groups import Group
from pytest_kycquant.data.liveness import LIVE
from pytest_kycquant.plain import from_plain, plain
from pytest_kycquant.results import GateResult, Offender
from pytest_kycquant.tasks.checks import named_first
from tests.worlds import embeddings as faces
from tests.worlds import scores as liveness
from tests.worlds.detections import comparison as detections
from tests.worlds.detections import found, objects, without

PEOPLE = tuple(f"person {i // 2}" for i in range(660))
LOOSE = FaceLimits(mean_cosine=-0.9, p1_cosine=-0.99)


def named(comparison):
    """A comparison of faces whose people are known."""
    return replace(comparison, baseline=replace(comparison.baseline, people=PEOPLE))


def worst(comparison, gate: str) -> list[Offender]:
    results = [comparison.finite(), *comparison.accuracy(), comparison.against_fp32()]
    return comparison.offenders(next(one for one in results if one.gate == gate))


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_the_ten_impostors_with_the_highest_scores() -> None:
    variant = faces.embeddings() + np.float32(0.75)
    offenders = worst(named(faces.comparison(variant)), "far")
    scores = unit(variant) @ unit(variant).T
    people = np.repeat(np.arange(330), 2)
    scores[(people[:, None] == people) | np.tri(660, dtype=bool)] = -2
    # The deciding cell may be one of those with an FP32 gallery, whose scores differ.
    offenders = [one.score for one in offenders]
    assert len(offenders) == 10
    assert offenders == sorted(offenders, reverse=True)
    assert offenders[0] == pytest.approx(scores.max(), abs=0.2)


def test_a_false_accept_names_images_people_scores_and_threshold() -> None:
    variant = faces.embeddings()
    variant[4], variant[5] = variant[100], variant[101]
    (first, *_) = worst(named(faces.comparison(variant)), "far")
    assert first.images == ("4.jpg", "100.jpg")
    assert first.who == "person 2 and person 50"
    assert first.score == pytest.approx(1.0, abs=1e-5)
    exact = unit(faces.embeddings())
    assert first.fp32_score == pytest.approx(float(exact[4] @ exact[100]), abs=1e-5)
    assert (first.threshold, first.finding) == (0.5, "newly accepted")


def test_the_genuine_pairs_with_the_lowest_scores() -> None:
    variant = faces.embeddings()
    variant[7] = -variant[7]
    (first, *_) = worst(named(faces.comparison(variant)), "frr")
    assert first.images == ("6.jpg", "7.jpg")
    assert (first.who, first.finding) == ("person 3", "newly rejected")


def test_a_broken_embedding_has_no_score() -> None:
    variant = faces.embeddings()
    variant[7] = np.nan
    (first, *_) = worst(named(faces.comparison(variant)), "frr")
    assert (first.images, first.score, first.finding) == (
        ("6.jpg", "7.jpg"),
        None,
        "newly rejected",
    )
    assert "no score" in first.describe()
    (broken,) = worst(faces.comparison(variant), "finite")
    assert broken.images == ("7.jpg",)


def test_an_increase_names_only_what_went_newly_wrong() -> None:
    variant = faces.embeddings()
    for image in (7, 21, 35, 49, 63, 77, 91, 105, 119, 133, 147, 161):
        variant[image] = -variant[image] * (1 + image)
    offenders = worst(named(faces.comparison(variant, LOOSE)), "degradation")
    assert len(offenders) == 10
    assert {one.finding for one in offenders} == {"newly rejected"}
    assert all(int(one.images[1].removesuffix(".jpg")) % 14 == 7 for one in offenders)


def test_drift_names_the_images_that_drift_most() -> None:
    rng = np.random.default_rng(1)
    variant = faces.embeddings() + rng.normal(0, 0.25, (660, 64)).astype(np.float32)
    comparison = named(faces.comparison(variant))
    result = comparison.against_fp32()
    assert "cosine" in result.worst_check().name
    offenders = comparison.offenders(result)
    newly = [one for one in offenders if one.finding.startswith("newly ")]
    assert offenders[: len(newly)] == newly
    assert 0 < len(newly) <= 5
    images = [one.score for one in offenders[len(newly) :]]
    assert images == pytest.approx(np.sort(comparison.likeness)[: 10 - len(newly)])


def test_the_order_does_not_depend_on_luck() -> None:
    variant = np.ones_like(faces.embeddings())
    comparison = named(faces.comparison(variant))
    assert worst(comparison, "far") == worst(comparison, "far")
    assert worst(comparison, "far")[0].images == ("0.jpg", "2.jpg")


def test_attacks_and_live_captures() -> None:
    of = liveness.captures()
    variant = liveness.swapped(
        liveness.logits(of),
        np.r_[liveness.of_kind(of, 1, 30), liveness.of_kind(of, LIVE, 40)],
    )
    comparison = liveness.comparison(variant, of)
    attacks, live = worst(comparison, "apcer"), worst(comparison, "bpcer")
    assert {one.finding for one in attacks} == {"newly taken for live"}
    assert all(one.who.startswith("screen, ") for one in attacks)
    assert {one.finding for one in live} == {"newly rejected"}
    assert all(one.who.startswith("live, ") for one in live)
    assert [one.score for one in live] == sorted(one.score for one in live)
    assert worst(comparison, "degradation")


def test_missed_objects() -> None:
    truth = objects()
    comparison = detections(
        without(found(truth), np.arange(len(found(truth).scores)) % 10 == 0), truth
    )
    offenders = worst(comparison, "recall")
    assert offenders[0].finding == "newly missed"
    assert offenders[0].score is None
    assert offenders[0].fp32_score is not None
    assert offenders[0].who.startswith("kind0 at ")
    assert worst(comparison, "degradation")


def test_a_failure_shows_them_and_a_pass_does_not() -> None:
    check = faces.comparison(faces.embeddings()).accuracy()[0].checks[0]
    offender = Offender(("a.jpg", "b.jpg"), "ann and bob", 0.61, 0.42, 0.5, "newly accepted")
    line = "a.jpg and b.jpg (ann and bob) newly accepted: 0.6100, FP32 0.4200, threshold 0.5000"
    assert offender.describe() == line
    passing = GateResult("far", (check,), "", (offender,))
    assert line not in passing.describe()
    failing = replace(passing, checks=(replace(check, verdict=Verdict.FAIL),))
    # A threshold of all of them is said once.
    short = line.removesuffix(", threshold 0.5000")
    told = f"The cases that weigh most, with a threshold of 0.5000:\n  {short}"
    assert failing.describe().endswith(told)
    other = replace(offender, threshold=0.6)
    several = replace(failing, offenders=(offender, other)).describe()
    assert f"The cases that weigh most:\n  {line}\n  {other.describe()}" in several


def test_long_and_hostile_names_stay_on_one_line() -> None:
    name = "x" * 200 + "\x1b[2J\n.jpg"
    line = Offender((name, name), name).describe()
    assert line.isprintable()
    assert len(line) < 250


def test_records_survive_json() -> None:
    offender = Offender(("a.jpg",), "ann", None, 0.42, None, "rejected")
    assert from_plain(Offender, json.loads(json.dumps(plain(offender)))) == offender


def test_gates_without_cases_have_none() -> None:
    comparison = faces.comparison(faces.embeddings())
    assert comparison.offenders(comparison.finite()) == []


def test_a_failing_group_names_its_own_people() -> None:
    members = np.repeat(np.arange(330) < 100, 2)
    variant = faces.embeddings()
    for image in (*range(1, 60, 2), 301, 303):  # thirty people of the group, two of the others
        variant[image] = -variant[image]
    found = named(faces.comparison(variant, LOOSE))
    groups = (Group("tone dark", members), Group("tone light", ~members))
    found = replace(found, baseline=replace(found.baseline, groups=groups))
    result = found.against_fp32()
    only = [check for check in result.checks if check.name.endswith("worst of 2 groups")]
    frr = next(check for check in only if "FRR" in check.name)
    assert frr.detail.startswith("tone dark: ")
    offenders = found.offenders(replace(result, checks=(frr,)))
    assert len(offenders) == 10
    assert all(int(one.images[1].removesuffix(".jpg")) < 60 for one in offenders)
    assert all(one.who.startswith("person ") for one in offenders)


def test_a_species_whose_name_begins_with_that_of_another() -> None:
    of = liveness.captures(species=("print", "print: a4"))
    variant = liveness.swapped(liveness.logits(of), liveness.of_kind(of, 1, 100))
    offenders = worst(liveness.comparison(variant, of), "apcer")
    assert all(one.who.startswith("print: a4, ") for one in offenders)
    assert {one.finding for one in offenders} == {"newly taken for live"}


def test_a_name_must_be_there() -> None:
    assert named_first("card back: 3 errors", ["card", "card back"]) == "card back"
    with pytest.raises(LookupError, match="names none of card"):
        named_first("cards: 3 errors", ["card"])


def test_a_collapsed_model_takes_little_memory() -> None:
    """All pairs are wrong, and only the embeddings of some are copied at the same time."""
    variant = np.ones_like(faces.embeddings())
    comparison = faces.comparison(variant, LOOSE)
    result = comparison.against_fp32()
    assert len(comparison.cell.errors.false_accepts) > 200_000
    tracemalloc.start()
    comparison.offenders(result)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6  # bytes; all pairs at once would take 220 million


def test_what_has_no_score_shows_none() -> None:
    broken = Offender(("a.jpg",), finding="NaN or Inf in an output")
    assert broken.describe() == "a.jpg NaN or Inf in an output"
    moved = Offender(("a.jpg",), "2 detections of FP32 are missing and 0 are new")
    assert moved.describe() == "a.jpg (2 detections of FP32 are missing and 0 are new)"
