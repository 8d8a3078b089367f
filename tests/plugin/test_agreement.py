"""Gates for images without labels, in whole runs: every task passes, fails and falls back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_kycquant.context.cache import digest_of
from tests.worlds.population import Run
from tests.worlds.unlabelled import WORLDS, write_unlabelled

Write = Callable[..., None]
every_world = pytest.mark.parametrize("world", WORLDS)
COLUMNS = {
    "faces": "flips * certified * cosine",
    "liveness": "flips * score drift",
    "detection": "agreement * precision * IoU p5 * score drift",
}
NOT_CLAIMED = {"faces": "FAR or FRR", "liveness": "APCER or BPCER", "detection": "recall or mAP"}
FIGURES = {
    "faces": {"certified", "newly_accepted", "newly_rejected_fp32_gallery", "accepted_fp32"},
    "liveness": {"flipped", "score_drift_mean", "accepted", "accepted_fp32"},
    "detection": {"confidence_drift", "overlap_p5", "detections_per_image_fp32"},
}


@pytest.fixture
def unlabelled(pytester: pytest.Pytester) -> Write:
    """Write a project with a gate file."""
    return lambda world, **options: write_unlabelled(pytester.path, world, **options)


@pytest.fixture
def record(run: Run) -> Run:
    """Run pytest in the folder of the test, which also records the golden."""
    return lambda *arguments: run("--kycquant-update-golden", *arguments)


@every_world
def test_every_gate_passes(
    unlabelled: Write, record: Run, run: Run, pytester: pytest.Pytester, world: str
) -> None:
    unlabelled(world, precisions='"fp16"', fallback=None)
    result = record("-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines_random(
        f"*::test_{gate}[[]fp16[]] PASSED*" for gate in ("finite", "agreement", "latency", "size")
    )
    result.stdout.fnmatch_lines(
        [
            f"variant * size * latency * {COLUMNS[world]} * verdict",
            "fp32 * - * PASS",
            "fp16 *% [[]*, *] * PASS",
            f"note on fp32: without labels nothing is claimed about {NOT_CLAIMED[world]}: *",
        ]
    )
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    row = next(row for row in gate["variants"] if row["variant"] == "fp16")
    assert list(row["gates"]) == ["finite", "agreement", "latency", "size"]
    assert FIGURES[world] <= set(row["figures"])
    golden = json.loads((pytester.path / "golden" / "model.json").read_text())
    assert golden["threshold"] == {"faces": 0.7, "liveness": 0.5, "detection": 0.15}[world]
    assert golden["threshold_source"] == "given in the gate file"
    assert golden["inputs"]["labelled"] is False
    for rate in golden["rates"].values():
        assert 0 < rate["errors"] < rate["trials"] or world == "detection"
    assert bool(golden["figures"]) == (world == "detection")
    run().assert_outcomes(passed=4)  # the golden is reproduced


@every_world
def test_int8_of_a_fragile_model_fails(unlabelled: Write, record: Run, world: str) -> None:
    unlabelled(world, fragile=True, fallback=None)
    result = record("-k", "test_agreement")
    result.assert_outcomes(failed=1, deselected=3)
    first = {
        "faces": ["FAIL mean cosine to FP32 = *", "  400 images"],
        "liveness": ["FAIL mean score difference to FP32 = *", "  400 images"],
        "detection": ["FAIL detections of FP32 that the variant has, card = * must be at least *"],
    }
    result.stdout.fnmatch_lines(["model: int8 FAIL agreement"])
    result.stdout.fnmatch_lines(first[world])


@every_world
def test_mixed_precision_rescues(unlabelled: Write, record: Run, world: str) -> None:
    """Searched on other images of the same kind."""
    unlabelled(world, fragile=True, options='selection="selection.npz"')
    rescued(record)


def test_mixed_precision_is_searched_on_a_share_of_the_images(
    unlabelled: Write, record: Run
) -> None:
    unlabelled("liveness", fragile=True, options="selection=0.5", count=800)
    rescued(record)


def rescued(record: Run) -> None:
    result = record("-v")
    assert result.parseoutcomes()["fallback"] == 4, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "int8>mixed * PASS",
            "fallback of int8: int8>mixed*",
            "int8>mixed keeps * in FP32*",
        ]
    )


def test_without_selection_other_images_confirm_a_search(unlabelled: Write, record: Run) -> None:
    unlabelled("faces", fragile=True)
    result = record("-v")
    assert result.parseoutcomes()["fallback"] == 4
    result.stdout.fnmatch_lines(
        [
            "fallback of int8: int8>mixed*",
            "remark on int8>mixed: judged on 240 images for the confirmation, of 400 images; *",
        ]
    )


@every_world
def test_few_images_are_undecided(unlabelled: Write, record: Run, world: str) -> None:
    unlabelled(world, count=19, precisions='"fp16"')
    result = record("-k", "test_agreement")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["model: fp16 INCONCLUSIVE agreement", "*needs at least 20 *"])
    result.stdout.fnmatch_lines(["fp16: no fallback was tried, because this data cannot decide*"])


def test_undecided_says_how_many_pairs_would_decide(unlabelled: Write, record: Run) -> None:
    unlabelled("faces", count=60, precisions='"fp16"')
    record("-k", "test_agreement").stdout.fnmatch_lines(
        ["INCONCLUSIVE decisions other than FP32's = 0 % *", "  about * images would decide*"]
    )


def test_a_limit_on_the_certified_share(
    unlabelled: Write, record: Run, pytester: pytest.Pytester
) -> None:
    """INT8 changes no decision here, but turns embeddings further than FP16."""
    unlabelled("faces", precisions='"fp16", "int8"', fallback=None, limits="certified=0.99")
    file = pytester.path / "test_gate.py"
    file.write_text(file.read_text().replace("threshold=0.7", "threshold=0.2"))
    result = record("-k", "test_agreement")
    result.assert_outcomes(passed=1, failed=1, deselected=6)
    result.stdout.fnmatch_lines(
        [
            "FAIL decisions that cannot have flipped = * must be at least 99 %",
            "  certified share of *",
        ]
    )


def test_two_workers(unlabelled: Write, record: Run) -> None:
    unlabelled("faces", precisions='"fp16"', fallback=None)
    record("-n", "2").assert_outcomes(passed=4)


def test_a_changed_fp32_decision_is_noticed(
    unlabelled: Write, record: Run, run: Run, pytester: pytest.Pytester
) -> None:
    """The golden holds how many pairs FP32 accepts."""
    unlabelled("faces", precisions='"fp16"')
    record("-k", "finite")
    path = pytester.path / "golden" / "model.json"
    golden = json.loads(path.read_text())
    golden["rates"]["accepted pairs"]["errors"] += 1
    golden.pop("checksum")
    path.write_text(json.dumps({**golden, "checksum": digest_of(golden)}))
    run("-k", "finite").stdout.fnmatch_lines(
        ["*FP32 accepted pairs is 200 of 79800 here, but the golden records 201 of 79800*"]
    )
