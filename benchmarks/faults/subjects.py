"""The models whose damages are judged, each with its gate file and its images."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from models.rendering.sets import ensure
from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.plugin.gates import GateSpec, spec_of
from pytest_kycquant.spec.model import KycModel
from pytest_kycquant.spec.recipe import Recipe
from pytest_kycquant.spec.settings import Settings
from pytest_kycquant.spec.task import TaskSpec
from pytest_kycquant.spec.tasks import FaceVerification, LivenessDetection, ObjectDetection

from . import real
from .images import MORE, ROOT, SEEDS, held_out
from .judging import Court, FaultJudge

_LOOK = 6  # the first look uses a sixth of the people


@dataclass(frozen=True)
class Subject:
    """A model.

    Args:
        name: name of the model.
        gate_file: path, below tests, of the file whose gates judge it.
        gate_class: name of the class in that file.
        recipe: label of the precision that passes and that is damaged.
        kind: kind of images, as in `images.held_out`, or `REAL_FACES`.
    """

    name: str
    gate_file: str
    gate_class: str
    recipe: str
    kind: str


REAL_FACES = "real faces"
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("arcface", "gates/test_arcface.py", "TestArcFace", "int8", "faces"),
        Subject("minifasnet", "gates/test_minifasnet.py", "TestMiniFASNet", "int8", "liveness"),
        Subject("yolov8", "gates/test_yolov8.py", "TestYolov8", "int8-conv", "documents"),
        Subject("mobilefacenet", "real/gate_mobilefacenet.py", "TestRecipes", "int8", REAL_FACES),
    )
}


class Laboratory:
    """Everything that is needed to judge one model.

    Args:
        subject: the model.
        people: number of people of the large set.
        threads: number of images in flight at the same time.
        say: a function that receives a message before long work.
    """

    def __init__(
        self, subject: Subject, people: int, threads: int, say: Callable[[str], None]
    ) -> None:
        ensure(ROOT / "data", say=say)
        self.subject = subject
        self.people = people
        self._say = say
        self.folder = ROOT / "data" / "faults"
        self.folder.mkdir(parents=True, exist_ok=True)
        foreign = subject.kind == REAL_FACES  # its golden is recorded here, not in the repository
        self._root = real.linked(self.folder / "real") if foreign else ROOT
        settings = Settings(
            cache=self.folder / "cache",
            golden=self._root / "golden",
            update_golden=foreign,
            strict=True,
            inconclusive="fail",
            report=None,
            export=None,
            threads=threads,
        )
        self._run_id = f"faults-{uuid.uuid4().hex}"
        self.workspace = Workspace(settings, self._root, self._run_id, Progress(say))
        self._gate_file = ROOT / "tests" / subject.gate_file
        self.spec = _spec(self._gate_file, subject.gate_class)
        if foreign:  # nothing is searched, so the selection people may decide the truth
            model = self.spec.model
            task = replace(model.task, selection=None)
            self.spec = replace(self.spec, model=replace(model, task=task))

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the variant that is damaged."""
        return next(r for r in self.spec.precisions if r.name == self.subject.recipe)

    @cached_property
    def judge(self) -> FaultJudge:
        """The judge that users' gates use."""
        return self.judge_of(self.spec.model)

    def judge_of(self, model: KycModel) -> FaultJudge:
        """The same judge for another model or other calibration images."""
        return self._judge(self.workspace, model)

    def _judge(self, workspace: Workspace, model: KycModel) -> FaultJudge:
        return FaultJudge(workspace, model, self._gate_file, self.spec.limits)

    def built_anew(self) -> Variant:
        """The undamaged variant, made again without the cache."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            settings = replace(self.workspace.settings, cache=Path(folder))
            workspace = Workspace(settings, self._root, self._run_id, Progress(self._say))
            judge = self._judge(workspace, self.spec.model)
            made = judge.variants.variant(self.recipe)
            content = made.path.read_bytes()
        return self.judge.variants.given(content, made, "built anew", self.folder)

    @cached_property
    def court(self) -> Court:
        """The court that decides whether a damage is harmful."""
        threshold = self.judge.require_golden().threshold
        assert threshold is not None
        few = max(self.people // _LOOK, 1)
        look, whole = (
            self.judge_of(self._elsewhere(count, threshold)) for count in (few, self.people)
        )

        @functools.cache
        def more(people: int) -> FaultJudge:
            return self.judge_of(self._elsewhere(people, threshold, seeds=MORE))

        # There are no more real people.
        return Court(look, whole, None if self.subject.kind == REAL_FACES else more, threshold)

    def _elsewhere(self, people: int, threshold: float, *, seeds: range = SEEDS) -> KycModel:
        """The model with images that no gate sees, and with the frozen threshold."""
        model, kind = self.spec.model, self.subject.kind
        if kind == REAL_FACES:
            folder = self._root / real.OTHERS
        else:
            folder = held_out(kind, people, self._say, seeds=seeds)
        task: TaskSpec
        if isinstance(model.task, ObjectDetection):
            changes = {"data": folder / "images", "labels": folder / "labels.json"}
            task = replace(model.task, selection=None, selection_labels=None, **changes)
        else:
            assert isinstance(model.task, FaceVerification | LivenessDetection)
            groups = None if model.task.groups is None else folder / "groups.csv"
            changes = {"data": folder, "groups": groups, "threshold": threshold}
            task = replace(model.task, selection=None, **changes)
        return replace(model, task=task, calibration=None)


def present(subject: Subject) -> bool:
    """Whether model and images exist; those of this repository do, or are rendered."""
    return subject.kind != REAL_FACES or real.present()


def _spec(file: Path, name: str) -> GateSpec:
    """The spec of a gate class of this repository."""
    module = importlib.util.spec_from_file_location(f"faults_{file.stem}", file)
    assert module is not None
    assert module.loader is not None
    loaded = importlib.util.module_from_spec(module)
    module.loader.exec_module(loaded)
    found = spec_of(getattr(loaded, name), [], str(file))
    assert found is not None
    return found
