"""Which class judges which task of a gate file."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import SpecError
from ..spec.custom import CustomTask
from ..spec.model import KycModel
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection, TaskSpec

if TYPE_CHECKING:
    from ..spec.limits import Limits
    from .base import Resolve, Task


class Judged(NamedTuple):
    """What judges a task, as "module:class": modules are loaded on demand.

    Args:
        labelled: for data with labels.
        unlabelled: for data without; None if the task cannot do without labels.
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
"""All tasks: a new one is a module of its own and a line here."""


def task_of(model: KycModel, limits: Limits, resolve: Resolve) -> Task[Any, Any]:
    """What judges a model: the counterpart of the `task` that its gate file names.

    Args:
        model: what the gate file says.
        limits: of the gates.
        resolve: turns a path of the gate file (and the attribute that names it) into a real one.

    Raises:
        SpecError: nothing judges the task.
    """
    spec = model.task
    judged = next((TASKS[kind] for kind in type(spec).__mro__ if kind in TASKS), None)
    if judged is None:
        *others, last = (kind.__name__ for kind in TASKS)
        raise SpecError(
            "KycModel.task",
            f"nothing judges {type(spec).__name__}",
            f"give {', '.join(others)} or {last}",
        )
    name = judged.labelled if spec.labelled else judged.unlabelled
    if name is None:
        raise SpecError(
            f"{type(spec).__name__}.labelled", "cannot be False", "label the images of this task"
        )
    task: Task[Any, Any] = pkgutil.resolve_name(name)(model, limits, resolve)
    return task
