"""Tasks: from model outputs to scores, error rates and gate results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..spec.custom import CustomTask
from ..spec.model import KycModel
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection

if TYPE_CHECKING:
    from ..spec.limits import Limits
    from .base import Resolve, Task


def task_of(model: KycModel, limits: Limits, resolve: Resolve) -> Task[Any, Any]:
    """What judges a model: the counterpart of the `task` that its gate file names.

    Args:
        model: what the gate file says.
        limits: of the gates.
        resolve: turns a path of the gate file (and the attribute that names it) into a real one.

    Raises:
        SpecError: the task is of a class of the user's own.
    """
    labelled = model.task.labelled
    if isinstance(model.task, FaceVerification):
        from .face.agreement import UnlabelledFaceTask
        from .face.task import FaceTask

        return (FaceTask if labelled else UnlabelledFaceTask)(model, limits, resolve)
    if isinstance(model.task, ObjectDetection):
        from .detection.agreement import UnlabelledDetectionTask
        from .detection.task import DetectionTask

        return (DetectionTask if labelled else UnlabelledDetectionTask)(model, limits, resolve)
    if isinstance(model.task, LivenessDetection):
        from .liveness.agreement import UnlabelledLivenessTask
        from .liveness.task import LivenessTask

        return (LivenessTask if labelled else UnlabelledLivenessTask)(model, limits, resolve)
    if isinstance(model.task, CustomTask):
        from .custom.agreement import UnlabelledCustomTask
        from .custom.task import CustomMetricTask

        return (CustomMetricTask if labelled else UnlabelledCustomTask)(model, limits, resolve)
    raise SpecError(
        "KycModel.task",
        f"nothing judges {type(model.task).__name__}",
        "give FaceVerification, LivenessDetection, ObjectDetection or CustomTask",
    )
