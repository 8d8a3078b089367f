"""What plots show is what the gates judge: the same trials, thresholds and rates."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.curves import Curves, ScoreCounts
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.tasks.face import curves as face_curves
from pytest_kycquant.tasks.face.measures import Cosine, Measure, Minkowski
from pytest_kycquant.tasks.face.pair_scores import blocks
from pytest_kycquant.tasks.score_plots import BINS, binned, edges_over, thresholds_among
from tests.worlds import detections, embeddings, scores


def total(counts: ScoreCounts) -> int:
    return sum(number for _, _, number in counts.cells)


def beyond(curves: Curves, kind: int, side: str, *, upper: bool) -> tuple[int, int]:
    """The least and the largest number of trials that may lie on one side of the threshold."""
    plot = curves.scores
    assert plot is not None
    assert plot.threshold is not None
    number = getattr(plot.kinds[kind], side)(BINS)
    place = int(np.searchsorted(plot.edges, plot.threshold)) - 1
    sure = sum(number[place + 1 : BINS]) if upper else sum(number[:place])
    return sure + number[BINS], sure + number[place] + number[BINS]


def damaged(share: float = 0.3, seed: int = 1) -> NDArray[np.float32]:
    """Embeddings that look more alike than those of FP32, and some that are broken."""
    found = embeddings.embeddings() + np.float32(share)
    found[:3] = np.nan
    return found


def test_faces_count_every_pair_once() -> None:
    found = embeddings.comparison(damaged())
    plot = found.curves().scores
    assert plot is not None
    pairs = found.baseline.comparisons
    assert [kind.kind for kind in plot.kinds] == ["impostor", "genuine"]
    assert [total(kind) for kind in plot.kinds] == [pairs.n_impostor, pairs.n_genuine]
    assert sum(plot.kinds[0].of_fp32(BINS)) == pairs.n_impostor
    assert plot.kinds[0].of_fp32(BINS)[BINS] == 0
    # Each of three broken images is compared with all 659 others, three pairs count twice.
    broken = [kind.of_variant(BINS)[BINS] for kind in plot.kinds]
    assert sum(broken) == 3 * 659 - 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75])
def test_faces_agree_with_the_gates(share: float) -> None:
    found = embeddings.comparison(damaged(share))
    curves, far, frr = found.curves(), *found.accuracy()
    (curve,) = curves.trade_offs
    assert curve.frozen is not None
    point = curve.variant[curve.frozen]
    assert point.threshold == pytest.approx(embeddings.THRESHOLD)
    for check, shown in (
        (far.checks[0], (point.x, point.x_lower, point.x_upper)),
        (frr.checks[0], (point.y, point.y_lower, point.y_upper)),
    ):
        assert (check.value, check.lower, check.upper) == shown
    accepted = len(found.cell.errors.false_accepts)
    least, most = beyond(curves, 0, "of_variant", upper=True)
    assert least <= accepted <= most


def test_bounds_hold_the_rates_and_rates_move_with_the_threshold() -> None:
    (curve,) = embeddings.comparison(damaged()).curves().trade_offs
    for side in (curve.fp32, curve.variant):
        assert len(side) >= 10
        for one in side:
            assert one.x_lower is not None
            assert one.x_upper is not None
            assert one.x_lower <= one.x <= one.x_upper
            assert one.y_lower <= one.y <= one.y_upper
        thresholds = [one.threshold for one in side]
        assert thresholds == sorted(thresholds)
        assert [one.x for one in side] == sorted((one.x for one in side), reverse=True)
        assert [one.y for one in side] == sorted(one.y for one in side)
    assert [one.threshold for one in curve.fp32] == [one.threshold for one in curve.variant]


@pytest.mark.parametrize(
    ("measure", "threshold"),
    [
        (Cosine(lambda d: 1 - d**2 / 2, lambda c: float(np.sqrt(max(0.0, 2 - 2 * c)))), 1.0),
        (Cosine(lambda d: 1 - d, lambda c: 1 - c), 0.5),
        (Minkowski(2), 6.0),
        (Minkowski(1, unit=True), 6.0),
    ],
)
def test_distances_are_shown_in_the_users_unit(measure: Measure, threshold: float) -> None:
    plain = embeddings.comparison(damaged())
    baseline = replace(plain.baseline, measure=measure, threshold=threshold)
    found = replace(plain, baseline=baseline)
    curves = found.curves()
    assert curves.scores is not None
    assert curves.scores.score == "distance"
    assert list(curves.scores.edges) == sorted(curves.scores.edges)
    assert curves.scores.edges[0] >= 0
    accepted = len(found.cell.errors.false_accepts)
    least, most = beyond(curves, 0, "of_variant", upper=False)
    assert least <= accepted <= most
    (curve,) = curves.trade_offs
    assert curve.frozen is not None
    assert curve.variant[curve.frozen].x == accepted / found.baseline.comparisons.n_impostor


def test_listed_pairs() -> None:
    subjects = np.repeat(np.arange(embeddings.PEOPLE), 2)
    left, right = np.arange(0, 600), np.arange(2, 602)
    some = Comparisons(subjects, np.r_[left, 0, 2], np.r_[right, 1, 3])
    plot = embeddings.comparison(damaged(), comparisons=some).curves().scores
    assert plot is not None
    assert [total(kind) for kind in plot.kinds] == [600, 2]


def test_counts_depend_neither_on_blocks_nor_on_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    found = embeddings.comparison(damaged())
    expected = found.curves()
    monkeypatch.setattr("pytest_kycquant.tasks.face.pair_scores._ROWS", 7)
    assert embeddings.comparison(damaged()).curves() == expected

    def noisy(*given: object) -> object:
        rng = np.random.default_rng(7)
        for kinds in blocks(*given):  # type: ignore[arg-type]
            for one in kinds:
                off = one.slack * rng.uniform(-0.9, 0.9, one.values.shape).astype(np.float32)
                one.values[...] += np.where(np.isfinite(one.values), off, 0)
            yield kinds

    monkeypatch.setattr(face_curves, "blocks", noisy)
    assert embeddings.comparison(damaged()).curves() == expected


def test_a_curve_ends_where_errors_are_no_longer_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the pairs that are decided wrongly first, only so many are kept."""
    whole = embeddings.comparison(damaged()).curves().trade_offs[0]
    known = {one.threshold: one for one in whole.variant}
    monkeypatch.setattr(face_curves, "_MOST", 3000)
    cut = embeddings.comparison(damaged()).curves().trade_offs[0]
    assert 2 < len(cut.variant) < len(whole.variant)
    for one in cut.variant:
        if one.threshold in known:
            assert one == known[one.threshold]
    monkeypatch.setattr(face_curves, "_MOST", 10)
    lax = embeddings.comparison(damaged(0.75), threshold=0.01).curves().trade_offs[0]
    assert lax.frozen is None


def test_too_many_pairs_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_curves, "_MOST_PAIRS", 660 * 659 // 2 - 1)
    assert embeddings.comparison(damaged()).curves() == Curves()
    monkeypatch.setattr(face_curves, "_MOST_PAIRS", 660 * 659 // 2)
    assert embeddings.comparison(damaged()).curves() != Curves()


def test_live_captures_and_species() -> None:
    of = scores.captures()
    values = scores.swapped(scores.logits(of), scores.of_kind(of, 0, 12))
    values = scores.swapped(values, scores.of_kind(of, -1, 7))
    values[scores.of_kind(of, 1, 5)] = np.nan
    found = scores.comparison(values, of)
    curves = found.curves()
    plot = curves.scores
    assert plot is not None
    assert [kind.kind for kind in plot.kinds] == ["live", "print", "screen"]
    assert [total(kind) for kind in plot.kinds] == [scores.PEOPLE] * 3
    assert [kind.of_variant(BINS)[BINS] for kind in plot.kinds] == [0, 0, 5]
    assert (plot.edges[0], plot.edges[-1]) == (0.0, 1.0)
    checks = {check.name: check for gate in found.accuracy() for check in gate.checks}
    for curve in curves.trade_offs:
        assert curve.frozen is not None
        point = curve.variant[curve.frozen]
        apcer, bpcer = checks[f"APCER {curve.kind}"], checks["BPCER"]
        assert (point.x, point.x_lower, point.x_upper) == (apcer.value, apcer.lower, apcer.upper)
        assert (point.y, point.y_lower, point.y_upper) == (bpcer.value, bpcer.lower, bpcer.upper)


def test_objects_by_class() -> None:
    truth = detections.objects(kinds=2)
    dropped = np.zeros(len(truth.boxes), np.bool_)
    dropped[::50] = True
    variant = detections.without(detections.found(truth), dropped)
    found = detections.comparison(variant, truth)
    curves = found.curves()
    plot = curves.scores
    assert plot is not None
    assert [total(kind) for kind in plot.kinds] == [400, 400]
    missed = sum(kind.of_variant(BINS)[BINS] for kind in plot.kinds)
    assert missed == dropped.sum()
    assert sum(kind.of_fp32(BINS)[BINS] for kind in plot.kinds) == 0
    recalls = {check.name: check for check in found.accuracy()[0].checks}
    for curve in curves.trade_offs:
        assert curve.frozen is not None
        point = curve.variant[curve.frozen]
        check = recalls[f"recall, {curve.kind}"]
        assert check.value == pytest.approx(1 - point.y)
        assert point.x == found.variant.false_positives
        assert point.x_lower is None


def test_bins() -> None:
    edges = edges_over([np.asarray([0.1234, np.nan]), np.asarray([0.9876])], (0.0, 1.0))
    assert len(edges) == BINS + 1
    assert 0.11 <= edges[0] <= 0.1234
    assert 0.9876 <= edges[-1] <= 1.0
    places = binned(np.asarray([edges[0], edges[-1], np.nan, -5.0, 5.0]), edges)
    assert places.tolist() == [0, BINS - 1, BINS, 0, BINS - 1]


@pytest.mark.parametrize("values", [[], [np.nan], [0.5, 0.5], [1e-30, 1e-30], [1e30, -1e30]])
def test_bins_of_strange_scores(values: list[float]) -> None:
    edges = edges_over([np.asarray(values, float)])
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


def test_thresholds_hold_the_frozen_one_and_both_tails() -> None:
    found, frozen = thresholds_among([np.linspace(0, 1, 1001), np.asarray([np.nan])], 0.3)
    assert found[frozen] == 0.3
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0.0, 1.0)
