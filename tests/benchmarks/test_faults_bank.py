"""A small fault bank: damages that harm people unseen by the gates are caught, others pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx
import pytest

from benchmarks.faults import damages
from benchmarks.faults.judging import (
    BEYOND,
    HARMFUL,
    HARMLESS,
    INSIDE,
    Court,
    FaultJudge,
    is_drift,
)
from pytest_kycquant import FaceLimits, FaceVerification, KycModel, Preprocess, Recipe, Verdict
from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.spec.settings import Settings
from tests.worlds.ci import leave_ci
from tests.worlds.population import write_npz, write_project

# One process, since the timing of such a small graph is not reproducible.
RECIPE = Recipe("int8", rewrites=False)
Damage = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass(frozen=True)
class World:
    """A model with its gates, and people that the gates do not see."""

    judge: FaultJudge
    court: Court
    sound: Variant
    folder: Path

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.sound.path)

    def damaged(self, damage: Damage) -> Variant:
        content = damage(self.proto).SerializeToString()
        return self.judge.variants.given(content, self.sound, "damaged", self.folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("faults")
    gate = write_project(root)
    for name, people, seed in (("few.npz", 100, 17), ("many.npz", 700, 17), ("more.npz", 700, 18)):
        write_npz(root / name, people, 2, seed=seed)
    settings = Settings(
        cache=root / "store" / "cache",
        golden=root / "golden",
        update_golden=True,
        strict=True,
        inconclusive="fail",
        report=None,
        export=None,
        threads=1,
    )
    model = KycModel(
        "models/face.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
        calibration="calibration.npz",
        task=FaceVerification("faces.npz", selection="selection.npz"),
    )
    workspace = Workspace(settings, root, "faults", Progress())

    def judge(model: KycModel) -> FaultJudge:
        return FaultJudge(workspace, model, gate, FaceLimits(size_ratio=10.0))

    with pytest.MonkeyPatch.context() as patch:
        leave_ci(patch)
        judged = judge(model)
        threshold = judged.require_golden().threshold
    look, whole, more = (
        judge(replace(model, task=FaceVerification(name, threshold=threshold), calibration=None))
        for name in ("few.npz", "many.npz", "more.npz")
    )
    court = Court(look, whole, lambda _: more, threshold)
    return World(judged, court, judged.variants.variant(RECIPE), root)


CONTROLS = ("", "scale by 1 %", "noise of .1 %", "output by .9")


def bank(proto: onnx.ModelProto) -> dict[str, Damage]:
    weights, tensors = damages.weights(proto), damages.activations(proto)
    return {
        "noise on weights": partial(damages.perturb_weights, share=2.0, seed=1),
        "another layer's weights": partial(
            damages.exchange_weights, one=weights[1], other=weights[3]
        ),
        "NaN at the end": partial(damages.spoil_scale, place=tensors[-1]),
        "always the same picture": partial(damages.scale_input, factor=0.0),
        "wrong mean": partial(damages.shift_input, offsets=(3.0, 3.0, 3.0)),
        "clipped range": partial(damages.clip_range, place=tensors[2], share=0.05),
        "zero point by 100": partial(damages.shift_zero_point, place=tensors[3], by=100),
        "scale by 1 %": partial(damages.scale_activation, place=tensors[1], factor=1.01),
        "noise of .1 %": partial(damages.perturb_weights, share=0.001, seed=2),
        "output by .9": partial(damages.scale_output, factor=0.9),  # cosines stay
    }


def test_harm_is_caught_and_nothing_else(world: World) -> None:
    found = {"": (world.court.truth(world.sound), world.judge.verdicts(world.sound))}
    for name, damage in bank(world.proto).items():
        variant = world.damaged(damage)
        found[name] = world.court.truth(variant), world.judge.verdicts(variant)
    kinds = {name: truth.kind for name, (truth, _) in found.items()}
    outcomes = {name: verdicts.outcome for name, (_, verdicts) in found.items()}
    harmful = [name for name, kind in kinds.items() if kind == HARMFUL]
    harmless = [name for name, kind in kinds.items() if kind == HARMLESS]
    assert len(harmful) >= 5, kinds
    assert set(CONTROLS) <= set(harmless), kinds
    assert {name: outcomes[name] for name in harmful if outcomes[name] == "PASS"} == {}
    # Drift is not an error: its limits may object to a harmless damage.
    alarms = {
        name: [check.describe() for gate, check in found[name][1].objections]
        for name in harmless
        if not all(is_drift(check) for _, check in found[name][1].objections)
    }
    assert alarms == {}
    assert outcomes["clipped range"] == "FAIL"
    assert [outcomes[name] for name in CONTROLS] == ["PASS"] * len(CONTROLS)


def test_stored_nan_is_seen_where_outputs_hide_it(world: World) -> None:
    """Integer kernels turn it into a number: outputs are finite, and one channel is dead."""
    place = damages.weights(world.proto)[0]
    found = world.judge.verdicts(world.damaged(partial(damages.spoil_scale, place=place)))
    outputs, edges, _, stored = found.gates["finite"].checks
    assert (outputs.verdict, edges.verdict) == (Verdict.PASS, Verdict.PASS)
    assert stored.describe() == (
        "FAIL weights and scales with NaN or Inf = 1 must be below 1: damage/first.w_scale"
    )


def test_more_people_decide_by_the_frozen_threshold(world: World) -> None:
    """These people have no golden, so their verdict depends only on the threshold."""
    assert world.court.appeal(world.sound, [700]) == ("PASS", 700)
    broken = world.damaged(bank(world.proto)["another layer's weights"])
    assert world.court.appeal(broken, [700]) == ("FAIL", 700)


def test_more_are_asked_only_while_nothing_is_decided(world: World) -> None:
    """The few people of the first look are not enough to decide."""
    few, many = world.court._judges
    asked = []

    def more(people: int) -> FaultJudge:
        asked.append(people)
        return few if people < 700 else many

    court = Court(few, many, more, world.court._threshold)
    assert court.appeal(world.sound, [100, 700, 1000]) == ("PASS", 700)
    assert asked == [100, 700]
    assert court.appeal(world.sound, [100]) == ("INCONCLUSIVE", 100)


def test_nobody_else_to_ask(world: World) -> None:
    look, whole = world.court._judges
    assert Court(look, whole, None, 0.5).appeal(world.sound, [700]) == ("", 0)


def test_drift_limits_on_many_people(world: World) -> None:
    assert world.court.truth(world.sound).drift == INSIDE
    clipped = world.court.truth(world.damaged(bank(world.proto)["clipped range"]), suspect=False)
    assert clipped.drift == BEYOND


def test_a_broken_file_is_an_error(world: World) -> None:
    variant = world.judge.variants.given(b"no model", world.sound, "broken", world.folder)
    found = world.judge.verdicts(variant)
    assert found.outcome == "ERROR"
    assert "onnxruntime cannot load it" in found.error
    assert world.court.truth(variant).kind == HARMFUL


def test_gates_are_those_of_users(world: World) -> None:
    """All but latency, in their order, with the same figures as the record of the judge."""
    mine = world.judge.verdicts(world.sound).gates
    theirs = world.judge.record(RECIPE).gates
    assert list(mine) == [name for name in theirs if name != "latency"]
    assert all(mine[name] == replace(theirs[name], offenders=()) for name in mine)
    assert "latency" in world.judge.verdicts(world.sound, latency=True).gates
