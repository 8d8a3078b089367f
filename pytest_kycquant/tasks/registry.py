"""Which class judges which task of a gate file."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import SpecError
from ..spec.custom import CustomTask
from ..spec.model import KycModel
from ..spec.task import TaskSpec
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection

if TYPE_CHECKING:
    from ..spec.limits import Limits
    from .base import Resolve, Task


class Judged(NamedTuple):
    """The classes that judge a task, as "module:class": modules are loaded on demand.

    Args:
        labelled: the class for data with labels.
        unlabelled: the class for data without labels; None if the task needs labels.
    """

    labelled: str
    unlabelled: str | None = None


_HERE = __package__
TASKS: dict[type[TaskSpec], Judged] = {
    FaceVerification: Judged(
        f"{_HERE}.face.task:FaceTask", f"{_HERE}.face.agreement:UnlabelledFaceTask"
    ),
    LivenessDetection: Judged(
        f"{_HERE}.liveness.task:LivenessTask",
        f"{_HERE}.liveness.agreement:UnlabelledLivenessTask",
    ),
    ObjectDetection: Judged(
        f"{_HERE}.detection.task:DetectionTask",
        f"{_HERE}.detection.agreement:UnlabelledDetectionTask",
    ),
    CustomTask: Judged(
        f"{_HERE}.custom.task:CustomMetricTask",
        f"{_HERE}.custom.agreement:UnlabelledCustomTask",
    ),
}
"""All tasks: a new one needs a sub-package of its own and an entry here."""


def task_of(model: KycModel, limits: Limits, resolve: Resolve) -> Task[Any, Any]:
    """Make the task that judges a model, according to the `task` of its gate file.

    Args:
        model: the model of the gate file.
        limits: the limits of the gates.
        resolve: a function that turns a path of the gate file, and the attribute that names it,
            into an existing path.

    Raises:
        SpecError: the task is not supported.
    """
    spec = model.task
    judged = next((TASKS[kind] for kind in type(spec).__mro__ if kind in TASKS), None)
    if judged is None:
        *others, last = (kind.__name__ for kind in TASKS)
        raise SpecError(
            "KycModel.task",
            f"{type(spec).__name__} is not a supported task",
            f"use {', '.join(others)} or {last}",
        )
    name = judged.labelled if spec.labelled else judged.unlabelled
    if name is None:
        raise SpecError(
            f"{type(spec).__name__}.labelled", "cannot be False", "label the images of this task"
        )
    task: Task[Any, Any] = pkgutil.resolve_name(name)(model, limits, resolve)
    return task
