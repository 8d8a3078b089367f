"""Tasks without labels: their images, and the claims that they cannot make.

Each shares a base class with the task with labels, which holds all that needs no labels: reading
outputs, their drift and the harm of operators. There is no absolute gate, and the only gate
relative to FP32 is "agreement".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.leakage import check_disjoint
from ..data.split import SEARCH_SHARE
from ..data.unlabelled import check_copies, selected_images
from ..errors import BaselineError, DataError
from ..spec.model import KycModel
from ..spec.task import StrPath
from ..statistics import MIN_SUBJECTS
from .base import Part, Task, TaskData

if TYPE_CHECKING:
    from pathlib import Path

    from ..data.images import ImageSet

Truth = TypeVar("Truth")


def load_unlabelled(
    task: Task[Truth, Any],
    data: StrPath,
    selection: float | StrPath | None,
    blank: Callable[[ImageSet], Truth],
    note: str,
) -> TaskData[Truth]:
    """Read images without labels, split them and check that the parts are disjoint.

    Args:
        task: the task that needs the images.
        data: the evaluation images, a folder or an ``.npz`` file.
        selection: a fraction of them, other images, or None.
        blank: a function that makes placeholder labels for images.
        note: a sentence for the report about what is not claimed.

    Raises:
        DataError: images cannot be used, or there is only one.
        LeakageError: calibration, selection and evaluation overlap.
    """
    evaluation, chosen = _load(task, data, "data"), None
    if isinstance(selection, float):
        mask = selected_images(evaluation, selection)
        evaluation, chosen = evaluation.subset(~mask), evaluation.subset(mask)
    elif selection is not None:
        chosen = _load(task, selection, "selection")
    others = [(evaluation, "evaluation")]
    if chosen is not None:
        check_disjoint(evaluation, "evaluation", chosen, "selection")
        others.append((chosen, "selection"))
    for images, role in others:
        if len(images) < 2:
            raise DataError(
                images.origin,
                f"has a single image for {role}",
                f"add images: a claim needs at least {MIN_SUBJECTS}",
            )

    def part(images: ImageSet) -> Part[Truth]:
        return Part(images, blank(images), images.digest, f"{len(images):,} images")

    judged, other = part(evaluation), part(chosen) if chosen is not None else None
    return TaskData(
        judged,
        other,
        task.load_calibration(*others),
        {
            "evaluation": judged.digest,
            "selection": other.digest if other is not None else None,
            "labelled": False,
        },
        note,
        searched=(lambda: selected_images(evaluation, SEARCH_SHARE)) if other is None else None,
    )


def unsound(model: KycModel, problem: str, images: str, suspects: str = "") -> BaselineError:
    """The error to raise if the outputs of FP32 are useless as a reference.

    Args:
        model: the model of the gate file.
        problem: what FP32 does, as a predicate.
        images: a remedy that names suitable images.
        suspects: what else to check (`Task.suspects`).
    """
    others = f", {suspects}" if suspects else ""
    return BaselineError(
        ", ".join(map(str, model.paths)),
        f"FP32 itself {problem}, so agreement with it means nothing",
        f"check channel order, mean and scale of the preprocessing{others}, and the threshold; "
        f"{images}",
    )


def _load(task: Task[Any, Any], path: StrPath, attribute: str) -> ImageSet:
    found: Path = task.resolve(path, f"{task.name}.{attribute}")
    images = task.images_at(found)
    task.prepare(images)
    check_copies(images)
    return images
