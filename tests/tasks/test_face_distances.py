"""Distances decide as numpy's do, whatever the arithmetic of all pairs, and no certificate lies."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.errors import BaselineError, SpecError
from pytest_kycquant.tasks.base import Part
from pytest_kycquant.tasks.face import pair_scores
from pytest_kycquant.tasks.face.agreement import UnlabelledFaceTask
from pytest_kycquant.tasks.face.certificate import certified_share
from pytest_kycquant.tasks.face.flips import flips_at, pairs_of
from pytest_kycquant.tasks.face.measures import Measure, measure_of
from pytest_kycquant.tasks.face.near import near_threshold
from pytest_kycquant.tasks.face.scores import errors_at, select_threshold
from pytest_kycquant.tasks.face.task import FaceTask
from pytest_kycquant.tasks.outputs import Outputs

KINDS: list[dict[str, Any]] = [
    {"distance": "euclidean"},
    {"distance": "sqeuclidean"},
    {"distance": "cityblock"},
    {"distance": "cosine"},
    {"distance": "euclidean", "normalize": True},
    {"distance": "sqeuclidean", "normalize": True},
    {"distance": "cityblock", "normalize": True},
]
every_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values()))
)


def of(kind: dict[str, Any]) -> Measure:
    return measure_of(FaceVerification("faces", **kind))


def distance(a: Any, b: Any, kind: dict[str, Any]) -> float:
    """What production computes for two embeddings."""
    a, b = (np.asarray(one, np.float64) for one in (a, b))
    if kind.get("normalize") or kind["distance"] == "cosine":
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    if kind["distance"] == "euclidean":
        return float(np.linalg.norm(a - b))
    if kind["distance"] == "sqeuclidean":
        return float(np.sum((a - b) ** 2))
    if kind["distance"] == "cityblock":
        return float(np.abs(a - b).sum())
    return float(1 - a @ b)


def people(count: int, seed: int = 0, length: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings of two images a person, of different lengths: (2 count, 16), and who."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(count, 16)), 2, axis=0)
    values = (centers + 0.3 * rng.normal(size=centers.shape)) * rng.uniform(
        0.8, 1.2, (2 * count, 1)
    )
    return (length * values).astype(np.float32), np.repeat(np.arange(count), 2)


def all_distances(values: np.ndarray, kind: dict[str, Any]) -> dict[tuple[int, int], float]:
    pairs = combinations(range(len(values)), 2)
    return {(i, j): distance(values[i], values[j], kind) for i, j in pairs}


def middle(found: dict[tuple[int, int], float], share: float) -> float:
    """A threshold that accepts a share of the pairs, and is no pair's own distance."""
    ordered = sorted(found.values())
    place = int(share * len(ordered))
    return (ordered[place] + ordered[place + 1]) / 2


@every_kind
@pytest.mark.parametrize(("listed", "share"), [(False, 0.01), (True, 0.01), (False, 0.05)])
def test_decisions_are_those_of_numpy(
    kind: dict[str, Any], listed: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_scores, "_ROWS", 7)
    values, who = people(30)
    found = all_distances(values, kind)
    threshold = middle(found, share)
    pairs = Comparisons(who)
    if listed:
        left, right = (np.array(side) for side in zip(*found, strict=True))
        pairs = Comparisons(who, left, right, who[left] == who[right])
    measure = of(kind)
    compared = measure.prepared(values)
    errors = errors_at(compared, compared, pairs, threshold, measure)
    wrong = {
        same: {
            p
            for p, d in found.items()
            if bool(who[p[0]] == who[p[1]]) is same and (d <= threshold) != same
        }
        for same in (False, True)
    }
    ids = {False: errors.false_accepts, True: errors.false_rejects}
    for same, expected in wrong.items():
        left, right = pair_scores.pair_images(pairs, ids[same])
        assert set(zip(left.tolist(), right.tolist(), strict=True)) == expected
    assert wrong[share == 0.01]  # some false rejects, then some false accepts


@every_kind
def test_a_distance_at_the_threshold_is_accepted(kind: dict[str, Any]) -> None:
    """Whole numbers, so that nothing is rounded: (3, 4) is 5 from the origin of the first."""
    values = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    threshold = distance(*values, kind)
    measure = of(kind)
    compared = measure.prepared(values)
    for step, accepted in ((1e-6, 1), (0, 1), (-1e-6, 0)):
        errors = errors_at(compared, compared, pairs_of(2), threshold * (1 + step), measure)
        assert len(errors.false_accepts) == accepted


@every_kind
def test_the_largest_threshold_that_holds_is_chosen(kind: dict[str, Any]) -> None:
    values, who = people(150, seed=1)
    measure, pairs, limit = of(kind), Comparisons(who), 0.01
    compared = measure.prepared(values)
    threshold = select_threshold(compared, pairs, limit, measure)
    found = all_distances(values, kind)
    impostors = np.sort([d for (i, j), d in found.items() if who[i] != who[j]])
    accepted = int(np.searchsorted(impostors, threshold))
    assert 0 < accepted / len(impostors) < limit
    # It lies just below the distance of a pair that would be one too many.
    assert impostors[accepted] == pytest.approx(threshold, rel=1e-5)
    errors = errors_at(compared, compared, pairs, threshold, measure)
    assert len(errors.false_accepts) == accepted
    assert measure.limit(threshold) == measure.limit(measure.threshold(measure.limit(threshold)))


@every_kind
def test_the_nearest_right_decisions(kind: dict[str, Any]) -> None:
    values, who = people(20, seed=2)
    found = all_distances(values, kind)
    threshold = middle(found, 0.02)
    measure = of(kind)
    near = near_threshold(measure.prepared(values), Comparisons(who), threshold, measure)
    right = {
        same: sorted(
            (abs(d - threshold), p)
            for p, d in found.items()
            if bool(who[p[0]] == who[p[1]]) is same and (d <= threshold) is same
        )
        for same in (True, False)
    }
    for same, ids in ((True, near.genuine_ids), (False, near.impostor_ids)):
        images = [divmod(int(one), len(values)) for one in ids]
        assert images == [p for _, p in right[same]]


@every_kind
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    drift=st.sampled_from([0.0, 1e-7, 1e-5, 1e-3, 0.03, 0.3]),
    length=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    share=st.floats(0, 0.95),
)
def test_a_certified_pair_never_flips(
    kind: dict[str, Any], seed: int, drift: float, length: float, share: float
) -> None:
    values, _ = people(6, seed, length)
    rng = np.random.default_rng(seed + 1)
    noise = rng.normal(size=values.shape) * rng.random((len(values), 1))
    other = (values + length * drift * noise).astype(np.float32)
    measure, found = of(kind), all_distances(values, kind)
    threshold = sorted(found.values())[int(share * len(found))]  # the hardest: one of them
    exact, variant = measure.prepared(values), measure.prepared(other)
    total = len(found)
    certified = round(certified_share(exact, variant, measure, threshold) * total)
    flipped: set[int] = set()
    for gallery in (variant, exact):  # the second is a stored template
        flips = flips_at(exact, gallery, variant, pairs_of(len(values)), threshold, measure)
        flipped |= {*flips.accepts.tolist(), *flips.rejects.tolist()}
    assert certified <= total - len(flipped)
    if drift == 0.3:
        return
    # By the triangle inequality, written anew with a little room for rounding.
    moved = [
        np.sqrt(distance(*two, kind)) if kind["distance"] == "sqeuclidean" else distance(*two, kind)
        for two in zip(values, other, strict=True)
    ]
    if kind["distance"] != "cosine":
        root = np.sqrt if kind["distance"] == "sqeuclidean" else float
        safe = sum(
            abs(root(d) - root(threshold)) > 1.02 * (moved[i] + moved[j]) + 2e-3 * root(threshold)
            for (i, j), d in found.items()
        )
        assert certified >= safe


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1]], ids=["euclidean", "squared"])
def test_the_worst_direction_is_where_the_certificate_ends(kind: dict[str, Any]) -> None:
    """Two embeddings move towards each other: the bound is attained, so it is the best possible."""
    fp32 = np.array([[0, 1], [6, 1]], np.float32)
    threshold = 5.0 if kind["distance"] == "euclidean" else 25.0
    measure = of(kind)
    for step, safe in ((0.499, 1.0), (0.501, 0.0)):
        variant = fp32 + np.array([[step, 0], [-step, 0]], np.float32)
        assert certified_share(fp32, variant, measure, threshold) == safe
        flips = flips_at(fp32, variant, variant, pairs_of(2), threshold, measure)
        assert len(flips.accepts) == (0 if safe else 1)


@every_kind
def test_a_broken_embedding_certifies_nothing(kind: dict[str, Any]) -> None:
    values, _ = people(5)
    broken = values.copy()
    broken[0, 3] = np.inf
    measure = of(kind)
    exact, variant = measure.prepared(values), measure.prepared(broken)
    threshold = middle(all_distances(values, kind), 0.5)
    assert np.isnan(variant[0]).all()
    flips = flips_at(exact, variant, variant, pairs_of(10), threshold, measure)
    assert len(flips.accepts) + len(flips.rejects) == 9
    whole = certified_share(exact, exact, measure, threshold)
    assert whole == 1.0
    assert certified_share(exact, variant, measure, threshold) == pytest.approx(36 / 45)


@pytest.mark.parametrize("kind", KINDS[:3], ids=["euclidean", "squared", "cityblock"])
def test_the_length_of_raw_embeddings_counts_as_drift(kind: dict[str, Any]) -> None:
    values, _ = people(5)
    measure = of(kind)
    assert measure.likeness(values, values) == pytest.approx(1.0)
    assert measure.likeness(values, values / 2) == pytest.approx(1 - 0.25 / 2)
    turned = np.roll(values, 1, axis=1) * np.float32(1)
    cosine = np.einsum("ij,ij->i", values, turned) / np.linalg.norm(values, axis=1) ** 2
    assert measure.likeness(values, turned) == pytest.approx(cosine, abs=1e-5)
    assert of(KINDS[4]).likeness(
        *map(of(KINDS[4]).prepared, (values, values / 2))
    ) == pytest.approx(1)


def test_huge_embeddings_are_pairs_and_not_missing_ones() -> None:
    values = np.array([[3e38, 3e38], [-3e38, -3e38], [3e38, 3e38]], np.float32)
    measure = of(KINDS[0])
    errors = errors_at(values, values, pairs_of(3), 1.0, measure)
    assert errors.false_accepts.tolist() == [2]  # images 0 and 2
    near = near_threshold(values, pairs_of(3), 1.0, measure)
    assert len(near.impostor_ids) == 2


def task(cls: Any, **options: Any) -> Any:
    model = KycModel("m.onnx", Preprocess(size=(8, 8)), FaceVerification("faces", **options))
    return cls(model, FaceLimits(), lambda path, _: Path(str(path)))


def outputs(values: np.ndarray) -> Outputs:
    return Outputs(values, np.isfinite(values).all(axis=1))


def part(who: np.ndarray) -> Part[Any]:
    images = ImageSet.from_array(np.zeros((len(who), 1, 1, 3), np.uint8), Path("faces.npz"))
    return Part(images, Comparisons(who), "digest", f"{len(who)} images")


def test_what_is_printed_is_the_distance() -> None:
    values, who = people(150, seed=3)
    options = KINDS[0]
    faces = task(FaceTask, **options)
    chosen, source = faces.choose_threshold(outputs(values), part(who))
    assert source.startswith("largest whose 95 % upper bound of FAR is below 0.0500%")
    wanted = select_threshold(values, Comparisons(who), 0.0005, of(options))
    assert chosen == wanted
    baseline = faces.baseline(part(who), outputs(values), chosen)
    variant = faces.compare(baseline, outputs(values * np.float32(1.3)))
    _, frr = variant.accuracy()
    (worst, *_) = variant.offenders(frr)
    left, right = (int(name[len("faces.npz[") : -1]) for name in worst.images)
    assert worst.score == pytest.approx(1.3 * distance(values[left], values[right], options), 1e-5)
    assert worst.fp32_score == pytest.approx(distance(values[left], values[right], options), 1e-5)
    assert worst.threshold == chosen
    genuine = [distance(values[2 * i], values[2 * i + 1], options) for i in range(150)]
    assert worst.score == pytest.approx(1.3 * max(genuine), 1e-5)
    rejected = sum(1.3 * one > chosen for one in genuine)
    assert frr.checks[0].value == pytest.approx(rejected / 150)
    assert [check.name for check in variant.drift()][:1] == ["mean likeness to FP32"]
    assert variant.figures()["likeness_mean"] == pytest.approx(1 - 0.3**2 / 2, abs=1e-5)
    assert faces.harm(outputs(values), outputs(values * np.float32(1.3))) == pytest.approx(
        0.045, 1e-3
    )


@every_kind
def test_a_broken_embedding_has_no_distance(kind: dict[str, Any]) -> None:
    values, who = people(150, seed=3)
    faces = task(FaceTask, **kind, threshold=middle(all_distances(values[:40], kind), 0.05))
    baseline = faces.baseline(part(who), outputs(values), faces.spec.threshold)
    broken = values.copy()
    broken[0] = np.nan
    far, frr = (gate := faces.compare(baseline, outputs(broken))).accuracy()
    for result in (far, frr):
        worst = gate.offenders(result)[0]
        assert "faces.npz[0]" in worst.images
        assert worst.score is None
        assert worst.fp32_score > 0


def test_the_golden_depends_on_the_distance() -> None:
    usual = {"given threshold": None, "selection FAR": 0.0005}
    assert task(FaceTask).policy() == usual
    for kind in KINDS:
        expected = {"distance": kind["distance"], "normalize": kind.get("normalize", False)}
        assert task(FaceTask, **kind).policy() == usual | expected
        without = task(UnlabelledFaceTask, labelled=False, threshold=1.0, **kind)
        assert without.policy() == {"given threshold": 1.0, **expected}
    without = task(UnlabelledFaceTask, labelled=False, threshold=0.3)
    assert without.policy() == {"given threshold": 0.3}


def test_a_threshold_of_unit_embeddings_is_suspected() -> None:
    values, who = people(40)
    for kind, suspected in ((KINDS[0], True), (KINDS[4], False), ({}, False)):
        faces = task(FaceTask, threshold=1.1 if kind else 0.3, **kind)
        baseline = faces.baseline(part(who), outputs(values), faces.spec.threshold)
        text = faces.suspects(part(who).images, baseline.rates())
        assert ("normalize=True" in text) is suspected


def test_without_labels_a_threshold_of_another_scale_is_refused() -> None:
    values, who = people(40)
    several = part(np.arange(len(who)))

    def judged(threshold: float, **kind: Any) -> Any:
        faces = task(UnlabelledFaceTask, labelled=False, threshold=threshold, **kind)
        return faces.baseline(several, outputs(values), threshold)

    nearest = min(all_distances(values, KINDS[0]).values())
    with pytest.raises(BaselineError, match=r"far beyond the threshold of 1\.1, .*normalize=True"):
        judged(1.1, distance="euclidean")
    for scale in (2.01, 1.99):
        for kind, threshold in ((KINDS[0], nearest / scale), (KINDS[1], (nearest / scale) ** 2)):
            if scale > 2:
                with pytest.raises(BaselineError):
                    judged(threshold, **kind)
            else:
                assert judged(threshold, **kind).certified == 1.0
    assert judged(0.5, distance="euclidean", normalize=True)
    with pytest.raises(BaselineError, match=r"accepts 100\.0% of all pairs .* threshold of 1\.9"):
        judged(1.9, distance="euclidean", normalize=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.1}, r'1\.1 is not a cosine; .*such as distance="euclidean"'),
        ({"threshold": 2.1, "distance": "cosine"}, r"2\.1 is not such .*between 0 and 2"),
        ({"threshold": 2.1, "distance": "euclidean", "normalize": True}, "between 0 and 2"),
        ({"threshold": 4.1, "distance": "sqeuclidean", "normalize": True}, "between 0 and 4"),
        ({"threshold": -0.5, "distance": "euclidean"}, r"-0\.5 is not such a distance; .*above 0"),
        ({"threshold": 0, "distance": "cityblock"}, r"0\.0 is not such a distance"),
        ({"threshold": np.inf, "distance": "cityblock"}, "not finite"),
        ({"distance": "l2"}, r"distance: 'l2' is unknown; choose from 'euclidean', 'sq"),
        ({"normalize": True}, "normalize: has no effect"),
        ({"normalize": True, "distance": "cosine"}, "normalize: has no effect"),
        ({"normalize": 1, "distance": "euclidean"}, "1 is not a boolean"),
    ],
)
def test_impossible_distances(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        FaceVerification("faces", **options)


def test_possible_distances() -> None:
    for threshold, kind in ((1.24, KINDS[5]), (0.6, KINDS[0]), (28.0, KINDS[0]), (2.0, KINDS[4])):
        assert FaceVerification("faces", threshold=threshold, **kind).threshold == threshold


def test_the_report_names_the_distance() -> None:
    def note(**options: Any) -> str:
        spec = FaceVerification("faces", threshold=0.5, **options)
        model = KycModel("m.onnx", Preprocess(size=(8, 8)), spec)
        return FaceTask(model, FaceLimits(), lambda path, _: Path(str(path))).reading_note

    assert note() == ""
    assert note(distance="cityblock") == "embeddings are compared by their cityblock distance"
    assert note(distance="euclidean", normalize=True).endswith("after scaling to unit length")
