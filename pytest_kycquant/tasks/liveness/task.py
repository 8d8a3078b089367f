"""Liveness detection: its data, its scores and how they are judged."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ...data.crops import crop_faces, load_boxes
from ...data.groups import GroupTable
from ...data.images import ImageSet
from ...data.leakage import check_calibration_subjects, check_disjoint, check_disjoint_subjects
from ...data.liveness import (
    LIVE,
    LivenessSet,
    check_same_species,
    check_several_species,
    selected_captures,
    split_captures,
)
from ...data.liveness_files import load_liveness
from ...data.split import SEARCH_SHARE
from ...errors import ModelError
from ...spec.box import Box
from ...spec.limits import Limits, LivenessLimits
from ...spec.model import KycModel
from ...spec.tasks import LivenessDetection
from ..base import (
    Part,
    Resolve,
    Task,
    TaskData,
    only_output,
)
from ..outputs import Outputs, Tensor, relative_distance
from ..prospects import Trials
from ..quality import Quality
from ..rates import chosen_for, counts_of
from .comparison import LivenessComparison
from .orientation import refuse_attack_scores
from .quality import ranking
from .reading import said_of
from .scores import (
    Decisions,
    Scores,
    check_scale,
    live_scores,
    pooled,
    select_threshold,
)
from .scores_comparison import ScoreComparison

Held = TypeVar("Held", bound=ScoreComparison)
_OVERSHOOT = 0.1  # of the mean of a map: depth maps are regressions, whose attacks may be below 0


class ScoreTask(Task[LivenessSet, Held]):
    """Presentation attack detection by the probability of a live face, with labels or without."""

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        super().__init__(model, limits, resolve)
        self.spec = cast("LivenessDetection", model.task)
        self.limits = cast("LivenessLimits", limits)

    @cached_property
    def boxes(self) -> dict[Path, Box]:
        """Face box of each photograph; empty if the images are already crops."""
        if self.spec.boxes is None:
            return {}
        return load_boxes(self.resolve(self.spec.boxes, "LivenessDetection.boxes"))

    def seen(self, images: ImageSet, member: int) -> ImageSet:
        """The crop around each face, at the scale that this file of the model expects."""
        scales = self.spec.crop_scales(len(self.model.paths))
        return crop_faces(images, self.boxes, scales[member]) if scales else images

    def _crops(self, parts: list[ImageSet]) -> dict[str, Any]:
        """Plain values that change whenever a crop does."""
        if self.spec.boxes is None:
            return {}
        files = range(len(self.model.paths))
        return {"crops": [self.seen(images, file).digest for images in parts for file in files]}

    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """The output that holds the scores."""
        output, attribute = self.spec.output, "LivenessDetection(output=...)"
        asked = output[member] if isinstance(output, tuple) else output
        return (only_output(names, asked, "scores", attribute, where),)

    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """One row: a value for each class; of a map, the mean probability of each."""
        if self.spec.pool is None:
            return as_row(outputs[0])[np.newaxis]
        classes, declared = len(self.spec.classes or ("live",)), self.spec.scores
        return pooled(outputs[0], classes, probabilities=declared == "probabilities")[np.newaxis]

    def reading(self) -> dict[str, Any]:
        """What the mean of a map depends on."""
        if self.spec.pool is None:
            return {}
        classes = len(self.spec.classes or ("live",))
        return {"pool": self.spec.pool, "scores": self.spec.scores, "classes": classes}

    def fuse(self, outputs: Sequence[Outputs]) -> Outputs:
        """The class values of all files, side by side; probabilities are averaged later."""
        widths = [each.values.shape[1] for each in outputs]
        if len(set(widths)) != 1:
            raise ModelError(
                ", ".join(map(str, self.model.paths)),
                f"give {', '.join(map(str, widths))} values, so their classes differ",
                "fuse models with the same classes",
            )
        if len(outputs) == 1:
            return outputs[0]
        return Outputs(
            np.hstack([each.values for each in outputs]),
            np.logical_and.reduce([each.finite for each in outputs]),
            tuple(dict.fromkeys(name for each in outputs for name in each.broken_edges)),
        )

    @property
    def reading_note(self) -> str:
        """What the values are taken for, and which of them is the score of a live face."""
        return said_of(self.spec)

    @property
    def given_threshold(self) -> float | None:
        """The production threshold, a probability."""
        return self.spec.threshold

    def reading_of_scores(self) -> dict[str, Any]:
        """Plain values that determine how outputs become scores."""
        # The names of the classes do not matter, except that a single one may be the attack.
        attack = self.spec.classes is not None and len(self.spec.classes) <= self.live_class
        return {
            "scores": self.spec.scores,
            "live class": self.live_class,
            **({"pool": self.spec.pool} if self.spec.pool is not None else {}),
            **({"single value": "attack"} if attack else {}),
        }

    @property
    def live_class(self) -> int:
        """The index of the live class."""
        return cast("int", self.spec.live_class)

    def held(
        self, kind: type[Held], part: Part[LivenessSet], fp32: Outputs, threshold: float
    ) -> Held:
        """FP32 on both sides, as a comparison of class `kind`."""
        self._check_scale(fp32)
        decisions = Decisions(self.scores(fp32), part.truth, threshold)
        return kind(decisions, decisions, self.limits, fp32.finite, fp32.broken_edges, part.groups)

    def compare(self, baseline: Held, variant: Outputs) -> Held:
        """The variant's scores next to those of FP32."""
        return replace(
            baseline,
            variant=replace(baseline.fp32, scores=self.scores(variant)),
            finite_outputs=variant.finite,
            broken_edges=variant.broken_edges,
        )

    def spread(self, truth: LivenessSet) -> NDArray[np.int64]:
        """The pairs of a person and a species, where live counts as a species."""
        kinds = np.stack([truth.species, truth.subjects], axis=1)
        return np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def people(self, truth: LivenessSet) -> NDArray[np.int64]:
        """The people."""
        return truth.subjects

    def restricted(self, truth: LivenessSet, indices: NDArray[np.int64]) -> LivenessSet:
        """Labels of some captures."""
        return truth.subset(indices)

    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """Mean relative distance of the values, not of probabilities, which saturate."""
        return relative_distance(fp32.values, variant.values)

    def scores(self, outputs: Outputs) -> Scores:
        """Probability of a live face, the mean over the files of the model."""
        return self._scores_by(outputs, self.spec)

    def _scores_by(self, outputs: Outputs, spec: LivenessDetection) -> Scores:
        """The scores, read as a description says."""
        live, classes = cast("int", spec.live_class), spec.classes
        count = None if classes is None else len(classes)
        scores = [
            live_scores(one, live, probabilities=self._probabilities, classes=count)
            for one in self._each(outputs)
        ]
        mean: Scores = np.mean(scores, axis=0)
        return mean if spec.pool is None else mean.clip(0.0, 1.0)

    @property
    def _probabilities(self) -> bool:
        """Whether the values that were read are probabilities, which those of maps always are."""
        return self.spec.scores == "probabilities" or self.spec.pool is not None

    def _check_scale(self, fp32: Outputs) -> None:
        overshoot = 0.0 if self.spec.pool is None else _OVERSHOOT
        for outputs in self._each(fp32):
            check_scale(outputs, probabilities=self._probabilities, overshoot=overshoot)

    def _each(self, outputs: Outputs) -> Iterator[Outputs]:
        """Split the outputs that `fuse` put side by side."""
        for values in np.split(outputs.values, len(self.model.paths), axis=1):
            yield replace(outputs, values=values)


class LivenessTask(ScoreTask[LivenessComparison]):
    """Presentation attack detection on labelled captures."""

    @property
    def selection_apcer(self) -> float:
        """APCER for which the threshold is chosen; by default with room for quantization."""
        return self.spec.selection_apcer or self.limits.apcer / 2

    def load(self) -> TaskData[LivenessSet]:
        """Read captures, split them, and crop them if there are boxes."""
        spec = self.spec
        captures = load_liveness(self.resolve(spec.data, "LivenessDetection.data"), self.prepare)
        if not spec.single_species:
            check_several_species(captures)
        selection: LivenessSet | None = None
        evaluation = captures
        if isinstance(spec.selection, float):
            evaluation, selection = split_captures(captures, spec.selection)
        elif spec.selection is not None:
            path = self.resolve(spec.selection, "LivenessDetection.selection")
            selection = load_liveness(path, self.prepare)
        others = [(evaluation.images, "evaluation")]
        if selection is not None:
            check_same_species(evaluation, selection)
            check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
            check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
            others.append((selection.images, "selection"))
        table = self.load_groups(evaluation, *([selection] if selection else []))
        calibration = self.load_calibration(*others)
        if calibration is not None:
            check_calibration_subjects(calibration, evaluation=evaluation, selection=selection)
        for images in (calibration, *(images for images, _ in others)):
            if images is not None:
                self.seen(images, 0)  # refuses missing boxes before anything is computed
        note = ""
        if not evaluation.knows_subjects:
            note = (
                "the data does not say who is captured, so each capture counts as a different "
                "person: the intervals are too narrow if a person has several captures"
            )
        judged = _part(evaluation, table)
        other = _part(selection, table) if selection is not None else None
        return TaskData(
            judged,
            other,
            calibration,
            {
                "evaluation": evaluation.digest,
                "selection": selection.digest if selection is not None else None,
                **self._crops([images for images, _ in others]),
            },
            note,
            table.digest if table else None,
            (other or judged) if self.given_threshold is None else None,
            (lambda: selected_captures(evaluation, SEARCH_SHARE)) if other is None else None,
        )

    def policy(self) -> dict[str, Any]:
        """How scores are read, and the given threshold or the APCER for which it is chosen."""
        chosen = self.selection_apcer if self.given_threshold is None else None
        threshold = {"given threshold": self.given_threshold, "selection APCER": chosen}
        return threshold | self.reading_of_scores()

    def choose_threshold(self, fp32: Outputs, choosing: Part[LivenessSet]) -> tuple[float, str]:
        """The smallest threshold, at least 1/2, whose APCER bounds are below `selection_apcer`."""
        self._check_scale(fp32)
        self._check_orientation(fp32, choosing)
        source = (
            f"smallest from 1/2 on whose 95 % upper bound of APCER is below "
            f"{self.selection_apcer:.4%} for every species, on {choosing.size}{self.whose}"
        )
        scores = self.scores(fp32)
        return select_threshold(scores, choosing.truth, self.selection_apcer), source

    def prospects(self, data: TaskData[LivenessSet]) -> Iterator[Trials]:
        """The choice of the threshold; APCER of every species and BPCER, and their increases."""
        if data.choosing is not None:
            chosen = data.choosing.truth
            for species, name in enumerate(chosen.species_names):
                mine = chosen.subjects[chosen.species == species]
                counts = counts_of(np.zeros(len(mine), np.bool_), mine)
                chosen_by = chosen_for(self.selection_apcer, "selection_apcer")
                yield Trials(chosen_by, f"APCER {name}", counts, "people", chooses=True)
        captures = data.evaluation.truth
        kinds = [(f"APCER {name}", "apcer", i) for i, name in enumerate(captures.species_names)]
        for name, limit, kind in (*kinds, ("BPCER", "bpcer", LIVE)):
            mine = captures.subjects[captures.species == kind]
            counts = counts_of(np.zeros(len(mine), np.bool_), mine)
            yield Trials(self.limits[limit], name, counts, "people")
            rise = self.limits[f"{limit}_degradation"]
            yield Trials(rise, f"the increase of {name}", counts, "people", increase=True)

    def quality(self, part: Part[LivenessSet], outputs: Outputs) -> Quality | None:
        """The area under the ROC curve.

        Raises:
            BaselineError: the score is that of an attack, so nothing else explains it.
        """
        self._check_orientation(outputs, part)
        return ranking(self.scores(outputs), part.truth, self.limits.apcer, self.limits.bpcer)

    def baseline(
        self, part: Part[LivenessSet], fp32: Outputs, threshold: float
    ) -> LivenessComparison:
        """FP32 on both sides.

        Raises:
            BaselineError: the score is that of an attack.
        """
        held = self.held(LivenessComparison, part, fp32, threshold)
        self._check_orientation(fp32, part)
        return held

    def _check_orientation(self, fp32: Outputs, part: Part[LivenessSet]) -> None:
        values = fp32.values.shape[1] // len(self.model.paths)
        scores_of = functools.partial(self._scores_by, fp32)
        refuse_attack_scores(self.model, self.spec, part.truth, values, scores_of)


def as_row(value: NDArray[Any]) -> NDArray[np.float32]:
    """Check that an output is one row of classes, (1, C) with trailing ones allowed; flatten it."""
    wide = [size for size in value.shape if size != 1]
    if value.dtype != np.float32 or len(wide) > 1 or value.size == 0:
        raise ModelError(
            "output",
            f"{value.dtype} of shape {value.shape} is not a row of classes for one image",
            "a liveness model returns float32 of shape (1, C); name the right output in "
            'LivenessDetection(output=...), or give pool="mean" if it is a map',
        )
    return value.reshape(-1)


def _part(captures: LivenessSet, table: GroupTable | None) -> Part[LivenessSet]:
    count, species = len(captures.images), len(captures.species_names)
    people = f" of {len(captures.subject_names):,} people" if captures.knows_subjects else ""
    size = f"{count:,} captures{people} with {species} attack species"
    groups = table.of(captures) if table else ()
    return Part(captures.images, captures, captures.digest, size, groups)
