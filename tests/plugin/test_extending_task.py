"""A task is a module of its own and a line in a table: a gate judges it like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from pytest_kycquant.tasks.registry import TASKS
from tests.worlds.population import Run, embedder, write_npz

# What somebody adds who wants a model judged by its largest output.
MODULE = """
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pytest_kycquant.data.unlabelled import load_images
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.limits import Limits, limit
from pytest_kycquant.spec.task import TaskSpec
from pytest_kycquant.tasks.base import Part, Task, TaskData, only_output
from pytest_kycquant.tasks.checks import Counted, finite_gate, rate_check, variety
from pytest_kycquant.tasks.comparison import Comparison
from pytest_kycquant.tasks.outputs import Outputs, relative_distance
from pytest_kycquant.tasks.rates import rate_of
from pytest_kycquant.tasks.registry import TASKS, Judged
from pytest_kycquant.verdicts import Direction, Kind, Unit


@dataclass(frozen=True, kw_only=True)
class TopLimits(Limits):
    changed: float = limit(0.1, Direction.BELOW, Unit.RATE, Kind.DRIFT)


@dataclass(frozen=True)
class TopOutput(TaskSpec):
    limits: ClassVar = TopLimits
    accuracy: ClassVar = ()
    data: str = ""


@dataclass(frozen=True, eq=False)
class TopComparison(Comparison):
    fp32: Outputs
    variant: Outputs
    limits: TopLimits

    def finite(self):
        kept = self.variant.values.std() / self.fp32.values.std()
        names = [str(i) for i, ok in enumerate(self.variant.finite) if not ok]
        edges = self.variant.broken_edges
        words = {"what": "spread of outputs", "detail": "", "collapsed": "they are all alike"}
        return finite_gate(names, edges, float(kept), variety(0.5), **words)

    def against_fp32(self, *, float_variant=False):
        tops = [side.values.argmax(axis=1) for side in (self.fp32, self.variant)]
        found = rate_of(tops[0] != tops[1], np.arange(len(tops[0])))
        detail = f"{found.errors} of {found.trials} images"
        words = Counted("images", "images", "a claim needs images")
        check = rate_check(self.limits["changed"], "largest output", found, detail, words)
        return GateResult("degradation", (check,), "Quantize less.")

    def rates(self):
        return {}


class TopTask(Task):
    has_threshold = False

    def __init__(self, model, limits, resolve):
        super().__init__(model, limits, resolve)
        self.limits = limits

    def load(self):
        images = load_images(self.resolve(self.model.task.data, "TopOutput.data"))
        part = Part(images, None, images.digest, f"{len(images)} images")
        calibration = self.load_calibration((images, "evaluation"))
        return TaskData(part, None, calibration, {"evaluation": part.digest})

    def spread(self, truth):
        return np.arange(0)

    def restricted(self, truth, indices):
        return None

    def choose_outputs(self, names, where, member=0):
        return (only_output(names, None, "output", "TopOutput", where),)

    def read(self, outputs):
        return outputs[0].reshape(1, -1)

    def baseline(self, part, fp32, threshold):
        return TopComparison(fp32, fp32, self.limits)

    def compare(self, baseline, variant):
        return replace(baseline, variant=variant)

    def harm(self, fp32, variant):
        return relative_distance(fp32.values, variant.values)


TASKS[TopOutput] = Judged("top_output:TopTask")
"""
GATE = """
import pytest
from pytest_kycquant import KycModel, Preprocess
from top_output import TopLimits, TopOutput

model = KycModel(
    "face.onnx",
    preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5),
    calibration="calibration.npz",
    task=TopOutput(data="faces.npz"),
)

@pytest.mark.kycquant(
    model=model,
    precisions=("fp16", "int8-weights"),
    limits=TopLimits(latency_ratio=1000.0, size_ratio=10.0, changed={changed}),
    strict=True,
)
def test_top(candidate):
    candidate.check("finite")
    candidate.check("degradation")
"""


@pytest.fixture
def toy(pytester: pytest.Pytester, run: Run) -> Iterator[Callable[[float], pytest.RunResult]]:
    """Write the module and a gate file with some limit, record the golden, and judge."""
    known = dict(TASKS)
    root: Path = pytester.path
    onnx.save(embedder(), root / "face.onnx")
    write_npz(root / "calibration.npz", 30, seed=1)
    write_npz(root / "faces.npz", 100, seed=2)
    (root / "top_output.py").write_text(MODULE)
    pytester.syspathinsert()

    def judge(changed: float) -> pytest.RunResult:
        (root / "test_gate.py").write_text(GATE.format(changed=changed))
        run("--kycquant-update-golden", "-q")
        return run("-v")

    yield judge
    TASKS.clear()
    TASKS.update(known)


def test_a_new_task_is_judged(toy: Callable[[float], pytest.RunResult]) -> None:
    result = toy(0.5)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["ship: int8-weights *"])


def test_its_limit_fails(toy: Callable[[float], pytest.RunResult]) -> None:
    """Nothing changes, and 200 images cannot show so little."""
    result = toy(1e-6)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["INCONCLUSIVE largest output = 0 % *"])
