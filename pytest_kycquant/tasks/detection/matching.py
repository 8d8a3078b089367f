"""From detections to figures of merit: matches, misses and average precision.

The definitions are those of COCO (Lin et al., arXiv 1405.0312, and its detection evaluation):
matching by descending score, average precision interpolated at 101 recalls, at most 100 detections
of a class in an image, objects of every area. The tests compare the figures with pycocotools.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...statistics import (
    RULE_OF_30,
    Rate,
)
from ..rates import last_that_holds, rate_of
from .decode import FLOOR, overlaps
from .keypoints import Scale, errors_of
from .ranking import IOUS, Ranking, over_classes

if TYPE_CHECKING:
    from ...data.detections import DetectionSet

_PER_CLASS = 100
_GROUPS = 200  # groups of images that a jackknife leaves out; more would only take longer
_NEVER = -1.0  # the score of an object that no detection matches


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects in N images.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels of the image; shape (B, 4), float64.
        classes: index of the class; shape (B,), int64.
        image_index: image of each object, ascending; shape (B,), int64.
        crowd: whether it is a region where detections are neither right nor wrong; (B,), bool.
        images: number of images, N.
        kinds: number of classes.
        keypoints: x and y in pixels of the image, NaN for what is not labelled; shape (B, K, 2),
            float64. None if none is.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    image_index: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    images: int
    kinds: int
    keypoints: NDArray[np.float64] | None = None

    @classmethod
    def labelled(cls, scenes: DetectionSet) -> Objects:
        """The labelled objects."""
        return cls(
            scenes.boxes,
            scenes.classes,
            scenes.image_index,
            scenes.crowd,
            len(scenes.images),
            len(scenes.class_names),
            scenes.keypoints,
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """The detections of a model in N images.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels of the image; shape (D, 4), float64.
        scores: confidence; shape (D,), float64.
        classes: index of the class; shape (D,), int64.
        image_index: image of each detection, ascending, best first within it; shape (D,), int64.
        keypoints: x and y in pixels of the image; shape (D, K, 2), float64. None if there are none.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    image_index: NDArray[np.int64]
    keypoints: NDArray[np.float64] | None = None

    def above(self, confidence: float) -> Predictions:
        """The detections whose score is at least `confidence`."""
        return self.only(self.scores >= confidence)

    def only(self, kept: NDArray[np.bool_]) -> Predictions:
        """Some of the detections, in their order."""
        points = None if self.keypoints is None else self.keypoints[kept]
        return Predictions(
            self.boxes[kept], self.scores[kept], self.classes[kept], self.image_index[kept], points
        )

    def as_objects(self, images: int, kinds: int) -> Objects:
        """The detections as the truth for another model."""
        nothing = np.zeros(len(self.boxes), np.bool_)
        return Objects(self.boxes, self.classes, self.image_index, nothing, images, kinds)


@dataclass(frozen=True, eq=False)
class Matching:
    """Detections matched with the objects in the images.

    Args:
        predictions: the D detections.
        truth: the B objects.
    """

    predictions: Predictions
    truth: Objects

    @cached_property
    def matched(self) -> NDArray[np.int64]:
        """Object that each detection matches at each of `IOUS`; -1 if none; shape (10, D), int64.

        By descending score, each detection takes an object of its class in its image: the one with
        the largest overlap among those still free. If there is none, it takes a crowd, which any
        number of detections may share.
        """
        found, truth = self.predictions, self.truth
        matched = np.full((len(IOUS), len(found.scores)), -1, np.int64)
        classes = truth.kinds
        of_truth = truth.image_index * classes + truth.classes
        order = np.argsort(of_truth, kind="stable")
        keys = of_truth[order]
        for members in self._groups:
            first = int(members[0])
            key = found.image_index[first] * classes + found.classes[first]
            low, high = np.searchsorted(keys, [key, key + 1])
            objects = order[low:high]
            if len(objects):
                crowd = truth.crowd[objects]
                shares = overlaps(found.boxes[members], truth.boxes[objects], crowd)
                local = _match(shares, crowd)
                matched[:, members] = np.where(local >= 0, objects[local], -1)
        return matched

    @cached_property
    def ignored(self) -> NDArray[np.bool_]:
        """Whether a detection is neither right nor wrong, at each of `IOUS`; shape (10, D), bool.

        A detection is ignored if it matches a crowd, or if there are 100 better ones of its class
        in its image.
        """
        surplus = np.ones(len(self.predictions.scores), np.bool_)
        for members in self._groups:
            surplus[members] = False
        crowd: NDArray[np.bool_] = np.append(self.truth.crowd, False)  # for -1, no object
        return crowd[self.matched] | surplus

    @cached_property
    def acquired(self) -> NDArray[np.float64]:
        """Score with which each object is found at IoU .5, -1 if it never is; shape (B,), float64.

        The objects found at any confidence are those with at least that score: matching goes by
        descending score, so detections below the confidence cannot change matches above it.
        """
        scores = np.full(len(self.truth.boxes), _NEVER)
        hit = self.matched[0] >= 0
        scores[self.matched[0][hit]] = self.predictions.scores[hit]
        return scores

    def keypoint_errors(self, confidence: float, scale: Scale) -> NDArray[np.float64]:
        """Normalised mean error of the keypoints of each object from its labels, (B,), float64.

        NaN for an object that is not found at this confidence, or has no labelled keypoints.
        """
        found, truth = self.predictions, self.truth
        errors = np.full(len(truth.boxes), np.nan)
        if found.keypoints is None or truth.keypoints is None:
            return errors
        hits = np.flatnonzero((self.matched[0] >= 0) & (found.scores >= confidence))
        objects = self.matched[0][hits]
        points, labels = found.keypoints[hits], truth.keypoints[objects]
        errors[objects] = errors_of(points, labels, truth.boxes[objects], scale)
        errors[truth.crowd] = np.nan
        return errors

    def missed(self, confidence: float, which: int | None = None) -> NDArray[np.bool_]:
        """Whether each object of class `which`, crowds excluded, is missed; shape (B,), bool."""
        return (self.acquired < confidence) & self._counted(which)

    def miss_rate(
        self,
        confidence: float,
        which: int | None = None,
        *,
        only: NDArray[np.bool_] | None = None,
        among: NDArray[np.bool_] | None = None,
    ) -> Rate:
        """Share of the objects of a class that are missed, or of only some of these misses.

        The objects of an image share its light, pose and camera, so the image is the subject of
        the design effect.

        Args:
            confidence: the confidence at which a detection counts.
            which: the class; None for all classes.
            only: the misses to count, shape (B,), bool; None for all.
            among: the images to count, shape (N,), bool; None for all.
        """
        counted = self._counted(which)
        if among is not None:
            counted &= among[self.truth.image_index]
        hardest = np.argsort(np.where(counted, self.acquired, np.inf), kind="stable")
        reference = np.zeros(len(counted), np.bool_)
        reference[hardest[: min(RULE_OF_30, int(counted.sum()))]] = True
        wrong = self.missed(confidence, which) if only is None else only
        images = self.truth.image_index[counted]
        return rate_of(wrong[counted], images, reference[counted])

    def false_positives(self, confidence: float) -> int:
        """Number of detections at `confidence` that match no object at IoU .5."""
        wrong = (self.matched[0] < 0) & ~self.ignored[0]
        return int((wrong & (self.predictions.scores >= confidence)).sum())

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """COCO's mAP at each of `IOUS`, a mean over 101 recalls; shape (10,), float64."""
        return over_classes(ranking.interpolated() for ranking in self._rankings)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Mean area under the same curves at each of `IOUS`; shape (10,), float64.

        This is mAP before it is rounded to whole percents of recall. With the rounding, a single
        object can change mAP by nothing or by one point. The area is smooth, which a jackknife and
        a difference require: `benchmarks/map_coverage.py` compares its bounds with those of mAP.
        """
        return over_classes(ranking.area() for ranking in self._rankings)

    @cached_property
    def leave_out(self) -> NDArray[np.float64]:
        """`areas` without each group of images; shape (G, 10), float64.

        Up to 200 images are a group each. Beyond that, neighbours by name form a group, because
        they often come from the same day or camera.
        """
        rankings = self._rankings
        return np.stack(
            [
                over_classes(ranking.without(group).area() for ranking in rankings)
                for group in range(int(self._group_of.max()) + 1)
            ]
        )

    @cached_property
    def _group_of(self) -> NDArray[np.int64]:
        """Group of each image for the jackknife, shape (N,)."""
        count = self.truth.images
        return np.arange(count) * min(count, _GROUPS) // count

    @cached_property
    def _groups(self) -> list[NDArray[np.int64]]:
        """Indices of the best 100 detections of each class in each image, best first."""
        found = self.predictions
        order = np.lexsort((-found.scores, found.classes, found.image_index))
        keys = np.stack([found.image_index[order], found.classes[order]])
        starts = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
        return [part[:_PER_CLASS] for part in np.split(order, starts) if len(part)]

    @cached_property
    def _rankings(self) -> list[Ranking]:
        """The detections of each class by descending score."""
        found, truth = self.predictions, self.truth
        order = np.argsort(-found.scores, kind="stable")
        rankings = []
        for which in range(truth.kinds):
            mine = order[found.classes[order] == which]
            hits = (self.matched[:, mine] >= 0) & ~self.ignored[:, mine]
            wrong = (self.matched[:, mine] < 0) & ~self.ignored[:, mine]
            # After the last hit, recall no longer rises.
            end = int(np.flatnonzero(hits.any(axis=0)).max(initial=-1)) + 1
            objects = truth.image_index[self._counted(which)]
            rankings.append(
                Ranking(
                    hits[:, :end],
                    wrong[:, :end],
                    self._group_of[found.image_index[mine[:end]]],
                    self._group_of[objects],
                )
            )
        return rankings

    def _counted(self, which: int | None) -> NDArray[np.bool_]:
        """Objects that must be found, of one class or of all."""
        counted = ~self.truth.crowd
        return counted if which is None else counted & (self.truth.classes == which)


def select_confidence(matching: Matching, miss_rate: float) -> float:
    """Choose the highest confidence at which no class is missed too often on these images.

    The highest is best, because a lower one lets more false positives in.

    Args:
        matching: the detections of FP32 on the selection split.
        miss_rate: the limit of the upper bound for each class.

    Raises:
        DataError: there is no such confidence.
    """
    classes = range(matching.truth.kinds)

    def worst(confidence: float) -> Rate:
        rates = [matching.miss_rate(confidence, which) for which in classes]
        return max(rates, key=lambda found: found.upper if found.supported else 1.0)

    def holds(confidence: float) -> bool:
        found = worst(confidence)
        return found.supported and found.upper < miss_rate

    scores = np.unique(matching.acquired[matching.acquired >= FLOOR])
    if not len(scores) or not holds(float(scores[0])):
        found = worst(float(scores[0]) if len(scores) else FLOOR)
        raise DataError(
            "confidence selection",
            f"even at the lowest confidence {found.errors:,} of {found.trials:,} objects in "
            f"{found.subjects} images are missed, which only shows a miss rate below "
            f"{found.upper:.2%}, not {miss_rate:.2%}",
            "give `selection` more images, raise `selection_miss_rate`, or set `confidence`",
        )
    last = last_that_holds(len(scores), lambda index: holds(float(scores[index])))
    return float(scores[last])


def _match(shares: NDArray[np.float64], crowd: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Match the detections of one class in one image.

    Args:
        shares: (D, B) overlap of each detection, best first, with each object.
        crowd: (B,) whether each object is a crowd.

    Returns:
        The object of each detection at each of `IOUS`, -1 if none; shape (10, D), int64.
    """
    # Rounding must not make an overlap of 1 fail an IoU of 1; the margin is COCO's own.
    least = np.minimum(IOUS, 1 - 1e-10)[:, None]
    count = len(crowd)
    matched = np.full((len(IOUS), len(shares)), -1, np.int64)
    taken = np.zeros((len(IOUS), count), np.bool_)
    rows = np.arange(len(IOUS))
    for index in np.flatnonzero(shares.max(axis=1) >= least[0]):
        fits = shares[index] >= least
        for allowed in (fits & ~crowd & ~taken, fits & crowd):
            # Among equal overlaps the last object wins, as in COCO's evaluation.
            best = count - 1 - np.argmax(np.where(allowed, shares[index], -1.0)[:, ::-1], axis=1)
            new = (matched[:, index] < 0) & allowed[rows, best]
            matched[new, index] = best[new]
            taken[rows[new], best[new]] = True
    return matched
