"""The bank of a pipeline's faults on a small world: what a fault does, and what is counted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.seams.altered import SEAM, SOUND, SUM, Broken, Late, clipped
from benchmarks.seams.bank import scaled, seams, shifted, sound, sums
from benchmarks.seams.drift import BIAS, NOISE, Drift, Sized, sized
from benchmarks.seams.judging import Judged, Subject
from benchmarks.seams.table import Row, by_sum, cases, findings, summary
from pytest_kycquant import Box
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.spec.pipeline import STAGES
from pytest_kycquant.spec.settings import Settings
from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.ci import leave_ci
from tests.worlds.pipelines import write_pipeline

PEOPLE = 180  # FAR of fewer is undecided, even for FP32 itself
PACKAGES = ("detector", "face", "liveness")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    root = tmp_path_factory.mktemp("seams")
    gate = write_pipeline(root, people=PEOPLE)
    gate = gate.rename(root / "gate_of_seams.py")  # the name of another module is taken
    settings = Settings(
        cache=root / "cache",
        golden=root / "golden",
        update_golden=True,
        strict=True,
        inconclusive="fail",
        report=None,
        export=None,
        threads=1,
    )
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        leave_ci(patch)
        patch.syspath_prepend(root)
        cls = importlib.import_module(gate.stem).TestPipeline
        found = Subject(cls, Workspace(settings, root, "seams", Progress()), root / "models")
        list(found.thresholds)
        yield found
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in (*PACKAGES, gate.stem):
            del sys.modules[name]


@pytest.fixture(scope="module")
def found(subject: Subject) -> dict[str, Judged]:
    """Every fault of the seam, judged."""
    return {fault.title: subject.judged(fault) for fault in seams(subject)}


# The boxes of this detector are whole pixels, and crops are cut at whole pixels; its scores, and
# those of this liveness model, are so clear that no other threshold matters.
WITHOUT_EFFECT = (
    "box 2 % smaller",
    "box 5 % smaller",
    "threshold of the liveness for the detector",
    "threshold of the embedder for the detector",
)


def test_every_fault_is_applied(found: dict[str, Judged]) -> None:
    without = {title for title, each in found.items() if not (each.changed or any(each.newly))}
    assert without == set(WITHOUT_EFFECT)


def test_what_harms_is_caught(found: dict[str, Judged]) -> None:
    """Whatever is beyond a limit on these people does not pass."""
    rows = [Row.of(title, SEAM, each) for title, each in found.items()]
    assert {row.title for row in rows if row.outcome == "PASS" and not row.within} == set()
    outcomes = {row.title: row.outcome for row in rows}
    for title in (
        "box shifted by 4 px",
        "box 10 % larger",
        "embedder's crops at the scale of liveness, 2.7",
        "liveness asked about the document",
        "BGR for the embedder",
        "threshold of the detector for the embedder",
        "detector answers for the image before",
    ):
        assert outcomes[title] == "FAIL", title


@pytest.mark.parametrize("stage", STAGES)
def test_one_nan_fails_both_kinds_of_gates(found: dict[str, Judged], stage: str) -> None:
    judged = found[f"NaN of the {stage} on one image"]
    for verdicts in (judged.applicants, judged.images):
        complete = verdicts.gates["complete"].checks[-1]
        assert (complete.verdict.value, complete.value) == ("FAIL", 1)


def test_a_threshold_of_another_model_changes_no_answer(found: dict[str, Judged]) -> None:
    """FP32 is decided by it, too, so only absolute rates can tell."""
    judged = found["threshold of the detector for the embedder"]
    assert judged.newly[1] > 0
    assert judged.images.outcome == "PASS"
    assert judged.applicants.gates["far"].verdict.value == "FAIL"


def test_sound_changes_pass(subject: Subject) -> None:
    judged = {fault.title: subject.judged(fault) for fault in sound(("fp16",), {})}
    assert len(judged) == 4
    for title, each in judged.items():
        assert (each.applicants.outcome, each.images.outcome) == ("PASS", "PASS"), title
        assert each.newly == (0, 0, 0)
    assert judged["FP32 itself"].changed == judged["FP32 with 2 threads"].changed == 0
    assert judged["fp16 everywhere"].changed > 0


def test_drift_is_as_large_as_the_budget_allows(subject: Subject) -> None:
    """Noise of this size on embeddings has the cosine of .8 of the budget."""
    found = sized(subject.judges["embedder"], Drift("embedder", BIAS, 0))
    assert 0.7 < found.used <= 0.8
    assert "mean cosine to FP32" in found.most
    assert 1 / np.sqrt(1 + found.drift.size**2) == pytest.approx(1 - 0.8 * 0.01, abs=1e-3)


def test_drift_of_several_stages_acts_on_each(subject: Subject) -> None:
    drifts = {"detector": 0.03, "liveness": 2.0, "embedder": 0.2}
    sizes = {
        (stage, kind, 0): Sized(Drift(stage, kind, 0, size, live=1), "", 0.8, "PASS")
        for stage, size in drifts.items()
        for kind in (NOISE, BIAS)
    }
    bank = list(sums(sizes, 1, {}))
    assert len(bank) == len({fault.title for fault in bank}) == 2 * 7
    changed = {fault.title: subject.judged(fault).changed for fault in bank[:7]}
    together = changed.pop("noise at .8 of the budget: detector + liveness + embedder")
    assert 0 < min(changed.values()) <= max(changed.values()) <= together


# -- its parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NOISE, BIAS])
@pytest.mark.parametrize(("stage", "width"), [("detector", 6), ("liveness", 2), ("embedder", 8)])
def test_drift_depends_on_the_answer_alone(stage: str, width: int, kind: str) -> None:
    values = np.random.default_rng(0).uniform(1, 9, (5, width)).astype(np.float32)
    values[:, 2:4] += 10  # a box
    drift = Drift(stage, kind, seed=1, size=0.1)
    whole = drift(Outputs(values, np.ones(5, np.bool_))).values
    alone = [drift(Outputs(row[None], np.ones(1, np.bool_))).values[0] for row in values]
    assert np.array_equal(whole, alone)
    assert (whole != values).any(axis=1).all()
    assert not np.array_equal(drift(Outputs(whole, np.ones(5, np.bool_))).values, whole)
    if stage == "detector":
        assert np.array_equal(whole[:, 4:], values[:, 4:])
    none = Outputs(values[:0], np.ones(1, np.bool_), rows=np.zeros(1, np.int64))
    assert drift(none) is none


def test_noise_of_another_seed_is_another() -> None:
    given = Outputs(np.ones((1, 4), np.float32), np.ones(1, np.bool_))
    one, other = (Drift("embedder", NOISE, seed, 0.1)(given).values for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_an_answer_that_is_late_is_that_of_the_call_before() -> None:
    late = Late()
    given = [Outputs(np.full((1, 1), x, np.float32), np.ones(1, np.bool_)) for x in range(3)]
    assert [late(each) for each in given] == [given[0], given[0], given[1]]


def test_only_the_first_answer_is_broken() -> None:
    given = Outputs(np.ones((1, 6), np.float32), np.ones(1, np.bool_))
    broken, lost = Broken(), Broken(finds=True)
    first = broken(given)
    assert np.isnan(first.values).all()
    assert not first.finite.any()
    assert broken(given) is given
    assert len(lost(given).values) == 0
    assert lost(given) is given


def test_boxes() -> None:
    box = Box(10, 20, 30, 60)
    assert shifted(box, 2) == (12, 22, 32, 62)
    assert scaled(box, 1.1) == pytest.approx((9, 18, 31, 62))
    assert clipped(Box(-5, 20, 30, 99), 25, 60) == (0, 20, 25, 60)


def row(
    kind: str, outcome: str, *, images: str = "PASS", within: bool = False, title: str = "f"
) -> Row:
    gates = () if outcome == "PASS" else ("frr",)
    return Row(title, kind, 5, (1, 2, 3), outcome, gates, "FRR 9 %", images, "", within)


ROWS = [
    row(SEAM, "FAIL"),
    row(SEAM, "INCONCLUSIVE"),
    row(SEAM, "PASS", title="missed"),
    row(SEAM, "PASS", within=True, images="FAIL", title="seen without labels"),
    row(SUM, "FAIL", title="noise"),
    row(SUM, "PASS", within=True, title="noise"),
    row(SOUND, "PASS", within=True),
    row(SOUND, "INCONCLUSIVE", within=True, title="undecided"),
    row(SOUND, "FAIL", within=True, title="alarm"),
]


def test_counts_follow_from_the_verdicts() -> None:
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in summary(ROWS).splitlines()
    ]
    first, second, third = lines[2:]
    assert first[:5] == ["Faults of the seam", "4", "1", "1", "2"]
    assert first[5].startswith("66.7 % (2 of 3)")
    assert first[6:] == ["1", "0", "3", "1"]
    assert second[:5] == ["Faults of the sum", "2", "1", "0", "1"]
    assert third[:5] == ["Sound changes", "3", "1", "1", "1"]


def test_sums_are_counted_over_seeds() -> None:
    text = by_sum(ROWS)
    assert "1 FAIL, 1 PASS" in text
    assert "1 frr" in text


def test_each_case_has_a_line() -> None:
    text = cases(ROWS, SEAM)
    assert len(text.splitlines()) == 2 + 4
    assert "1 / 2 / 3" in text


def test_findings_name_what_was_missed_and_false_alarms() -> None:
    sections = "\n".join(findings(ROWS)).split("\n**")[1:]
    assert [section.partition("**")[2].partition(")")[0] for section in sections] == [
        " (2",
        " (1",
        " (1",
    ]
    assert "- missed" in sections[0]
    assert "- alarm" in sections[1]
    assert "- undecided" in sections[2]
