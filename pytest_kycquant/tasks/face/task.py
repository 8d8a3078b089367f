"""Face verification: its data, its embeddings and how they are judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...data.alignment import align_faces
from ...data.faces import (
    FaceSet,
    load_faces,
    selection_mask,
    split_subjects,
)
from ...data.groups import GroupTable
from ...data.images import ImageSet
from ...data.landmarks import Landmarks, load_landmarks
from ...data.leakage import check_calibration_subjects, check_disjoint, check_disjoint_subjects
from ...data.pair_lists import load_pairs
from ...data.pairs import (
    Comparisons,
    all_pairs,
    check_comparable,
    sample_pairs,
)
from ...data.split import SEARCH_SHARE
from ...errors import ModelError
from ...spec.limits import FaceLimits, Limits
from ...spec.model import KycModel
from ...spec.tasks import FaceVerification
from ...statistics import Rate
from ..base import (
    Held,
    Part,
    Resolve,
    Task,
    TaskData,
    only_output,
)
from ..outputs import Outputs, Tensor
from ..prospects import Trials
from ..quality import Quality
from ..rates import chosen_for
from .comparison import FaceComparison
from .embeddings import FaceBaseline
from .measures import Measure, Minkowski, measure_of
from .quality import separation
from .scores import counts_of, select_threshold

_NEARLY_ALL = 0.9  # of the genuine pairs rejected: the model sees something else than faces
_OTHER_SHAPE = 1.25  # how many times wider or taller than its input a face crop may be


class EmbeddingTask(Task[Comparisons, Held]):
    """One-to-one comparison of embeddings, with labels or without."""

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        super().__init__(model, limits, resolve)
        self.spec = cast("FaceVerification", model.task)
        self.limits = cast("FaceLimits", limits)

    @property
    def reading_note(self) -> str:
        """The distance, if embeddings are not compared by their cosine."""
        if self.spec.distance is None:
            return ""
        unit = " after scaling to unit length" if self.spec.normalize else ""
        return f"embeddings are compared by their {self.spec.distance} distance{unit}"

    @cached_property
    def landmarks(self) -> dict[Path, Landmarks]:
        """Landmarks of each photograph; empty if the images are already aligned."""
        if self.spec.landmarks is None:
            return {}
        return load_landmarks(self.resolve(self.spec.landmarks, "FaceVerification.landmarks"))

    def seen(self, images: ImageSet, member: int) -> ImageSet:
        """The aligned faces."""
        if self.spec.landmarks is None:
            return images
        return align_faces(images, self.landmarks, self.preprocess.size)

    @property
    def suspect(self) -> str:
        """The landmarks, if there are any."""
        if self.spec.landmarks is None:
            return ""
        path = self.resolve(self.spec.landmarks, "FaceVerification.landmarks")
        return f"the landmarks in {path}"

    def suspects(self, images: ImageSet, rates: Mapping[str, Rate]) -> str:
        """The landmarks, or that they are missing if the images may be whole photographs."""
        if self.suspect:
            return self.suspect
        rejected = rates["FRR"].value if "FRR" in rates else 0.0
        if (
            rejected >= _NEARLY_ALL
            and isinstance(self.measure, Minkowski)
            and not self.measure.unit
        ):
            return "whether the threshold is one of unit embeddings (normalize=True)"
        height, width = self.preprocess.size
        shapes = [(rows / height) / (columns / width) for rows, columns in images.sizes]
        unlike = float(np.median(np.abs(np.log(shapes)))) > np.log(_OTHER_SHAPE)
        if rejected < _NEARLY_ALL and not unlike:
            return ""
        return (
            "whether the images are aligned faces (whole photographs need "
            "FaceVerification(landmarks=...))"
        )

    def _aligned(self, *parts: ImageSet | None) -> dict[str, Any]:
        """Plain values that change whenever an alignment does.

        Raises:
            DataError: an image has no landmarks, or they cannot be its own.
        """
        if self.spec.landmarks is None:
            return {}
        faces = [
            align_faces(images, self.landmarks, self.preprocess.size)
            for images in parts
            if images is not None
        ]
        for some in faces:
            some.check_places()
        return {"aligned": [some.digest for some in faces]}

    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """The output that holds the embedding."""
        asked = "FaceVerification(output=...)"
        return (only_output(names, self.spec.output, "embedding", asked, where),)

    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """One row: the embedding."""
        return as_embedding(outputs[0])[np.newaxis]

    @property
    def given_threshold(self) -> float | None:
        """The production threshold, a cosine or a distance."""
        return self.spec.threshold

    @property
    def measure(self) -> Measure:
        """How alike two embeddings are."""
        return measure_of(self.spec)

    def reading_of_pairs(self) -> dict[str, Any]:
        """Plain values that determine how two embeddings are compared; none for the cosine."""
        if self.spec.distance is None:
            return {}
        return {"distance": self.spec.distance, "normalize": self.spec.normalize}

    def spread(self, truth: Comparisons) -> NDArray[np.int64]:
        """Identities, or images if a list of pairs does not name the identities."""
        return truth.subjects if truth.has_subjects else np.arange(len(truth.subjects))

    def restricted(self, truth: Comparisons, indices: NDArray[np.int64]) -> Comparisons:
        """The comparisons whose two images both remain, perhaps none."""
        return truth.restrict(indices)[0]

    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """One minus the mean cosine or likeness to FP32."""
        exact, other = map(self.measure.prepared, (fp32.values, variant.values))
        alike = self.measure.likeness(exact, other)
        return 1.0 - float(np.nan_to_num(alike, nan=-1.0).mean())


class FaceTask(EmbeddingTask[FaceComparison]):
    """Face verification by labelled comparisons."""

    _everybody: Part[Comparisons] | None = None  # who are judged, once they are known

    @property
    def selection_far(self) -> float:
        """FAR for which the threshold is chosen; by default with room for quantization."""
        return self.spec.selection_far or self.limits.far / 2

    def load(self) -> TaskData[Comparisons]:
        """Read faces and comparisons."""
        spec = self.spec
        root = self.resolve(spec.data, "FaceVerification.data")
        faces = load_faces(root, self.prepare)
        pairs = None
        if spec.pairs:
            pairs = load_pairs(self.resolve(spec.pairs, "FaceVerification.pairs"), faces)
        selection: FaceSet | None = None
        evaluation, dropped = faces, 0
        if isinstance(spec.selection, float):
            evaluation, selection = split_subjects(faces, spec.selection)
            if pairs is not None:
                pairs, dropped = pairs.restrict(~selection_mask(faces, spec.selection))
        elif spec.selection is not None:
            path = self.resolve(spec.selection, "FaceVerification.selection")
            selection = load_faces(path, self.prepare)
        if pairs is None and spec.max_impostor_pairs is not None:
            pairs = sample_pairs(evaluation, spec.max_impostor_pairs)
        comparisons = pairs or all_pairs(evaluation)
        check_comparable(comparisons, root)

        def searched() -> NDArray[np.bool_]:
            mask = selection_mask(evaluation, SEARCH_SHARE)
            for side in (mask, ~mask):
                check_comparable(comparisons.restrict(side)[0], root)
            return mask

        chosen = all_pairs(selection) if selection is not None else None
        others = [(evaluation.images, "evaluation")]
        if selection is not None and chosen is not None:
            check_comparable(chosen, selection.images.origin)
            check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
            check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
            others.append((selection.images, "selection"))
        table = self.load_groups(evaluation, *([selection] if selection else []))
        calibration = self.load_calibration(*others)
        if calibration is not None:
            check_calibration_subjects(calibration, evaluation=evaluation, selection=selection)
        self._aligned(calibration)  # refuses wrong landmarks before anything is computed
        note = ""
        if dropped:
            note = (
                f"{dropped:,} listed comparisons cross the split of the identities and are left "
                "out; give separate images in FaceVerification(selection=...) to keep them"
            )
        judged = self._everybody = _part(evaluation, comparisons, table)
        others_part = _part(selection, chosen, table) if selection and chosen else None
        choosing = None
        if self.given_threshold is None:
            # A list of pairs says which comparisons count, not which scores strangers reach.
            choosing = others_part or _part(evaluation, all_pairs(evaluation), table)
        return TaskData(
            judged,
            others_part,
            calibration,
            {
                "evaluation": evaluation.digest,
                "pairs": comparisons.digest,
                "selection": selection.digest if selection else None,
                **self._aligned(*(images for images, _ in others)),
            },
            note,
            table.digest if table else None,
            choosing,
            searched if selection is None else None,
        )

    def policy(self) -> dict[str, Any]:
        """The given threshold, or the FAR for which it is chosen, and how pairs are compared."""
        chosen = self.selection_far if self.given_threshold is None else None
        threshold = {"given threshold": self.given_threshold, "selection FAR": chosen}
        return threshold | self.reading_of_pairs()

    def choose_threshold(self, fp32: Outputs, choosing: Part[Comparisons]) -> tuple[float, str]:
        """The laxest threshold whose upper bound of FAR is below `selection_far`."""
        compared = self.measure.prepared(fp32.values)
        source = (
            f"{self.measure.extreme} whose 95 % upper bound of FAR is below "
            f"{self.selection_far:.4%} on {choosing.size}{self.whose}"
        )
        found = select_threshold(compared, choosing.truth, self.selection_far, self.measure)
        return found, source

    def prospects(self, data: TaskData[Comparisons]) -> Iterator[Trials]:
        """The choice of the threshold; FAR and FRR, and their increases."""
        pairs, nothing = data.evaluation.truth, np.empty(0, np.int64)
        if data.choosing is not None:
            yield Trials(
                chosen_for(self.selection_far, "selection_far"),
                "FAR",
                counts_of(data.choosing.truth, nothing, genuine=False),
                "people",
                crossed=True,
                all_pairs=True,
                chooses=True,
            )
        if not pairs.has_subjects:
            return
        for name, genuine in (("FAR", False), ("FRR", True)):
            counts = counts_of(pairs, nothing, genuine=genuine)
            listed = pairs.left is not None
            for limit, what in (
                (name.lower(), name),
                (f"{name.lower()}_degradation", f"the increase of {name}"),
            ):
                yield Trials(
                    self.limits[limit],
                    what,
                    counts,
                    "people",
                    crossed=not genuine,
                    all_pairs=not (genuine or listed),
                    increase=what != name,
                )

    def quality(self, part: Part[Comparisons], outputs: Outputs) -> Quality | None:
        """How far genuine scores lie above those of impostors, over all pairs of images."""
        if not part.truth.has_subjects:
            return None
        people, far, frr = part.truth.subjects, self.limits.far, self.limits.frr
        return separation(outputs, people, far, frr, self.measure)

    def baseline(self, part: Part[Comparisons], fp32: Outputs, threshold: float) -> FaceComparison:
        """FP32 on both sides."""
        names, people = part.images.names, part.people
        all_pairs = part.truth.left is None and self.spec.selection is None
        chosen = self.given_threshold is None and part is self._everybody and all_pairs
        far = self.selection_far if chosen else None
        baseline = FaceBaseline(
            fp32, part.truth, threshold, names, part.groups, people, far, self.measure
        )
        return FaceComparison(baseline, fp32, self.limits)

    def compare(self, baseline: FaceComparison, variant: Outputs) -> FaceComparison:
        """The variant's embeddings next to those of FP32."""
        return replace(baseline, variant=variant)


def as_embedding(value: NDArray[Any]) -> NDArray[np.float32]:
    """Check that an output is one embedding, (1, D) with trailing ones allowed, and flatten it."""
    wide = [size for size in value.shape if size != 1]
    if value.dtype != np.float32 or len(wide) != 1 or value.size == 0:
        raise ModelError(
            "output",
            f"{value.dtype} of shape {value.shape} is not an embedding of one image",
            "a face model returns float32 of shape (1, D); name the right output in "
            "FaceVerification(output=...)",
        )
    return value.reshape(-1)


def _part(faces: FaceSet, comparisons: Comparisons, table: GroupTable | None) -> Part[Comparisons]:
    size = f"{len(faces.subject_names):,} identities"
    groups = table.of(faces) if table else ()
    people = tuple(faces.subject_names[subject] for subject in faces.subjects)
    return Part(faces.images, comparisons, faces.digest, size, groups, people=people)
