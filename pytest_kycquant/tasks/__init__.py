"""Tasks: from model outputs to scores, error rates and gate results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..custom_spec import CustomTask
from ..errors import SpecError
from ..spec import KycModel
from ..task_spec import FaceVerification, LivenessDetection, ObjectDetection

if TYPE_CHECKING:
    from ..limits import Limits
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
        from .face import FaceTask
        from .face_unlabelled import UnlabelledFaceTask

        return (FaceTask if labelled else UnlabelledFaceTask)(model, limits, resolve)
    if isinstance(model.task, ObjectDetection):
        from .detection import DetectionTask
        from .detection_unlabelled import UnlabelledDetectionTask

        return (DetectionTask if labelled else UnlabelledDetectionTask)(model, limits, resolve)
    if isinstance(model.task, LivenessDetection):
        from .liveness import LivenessTask
        from .liveness_unlabelled import UnlabelledLivenessTask

        return (LivenessTask if labelled else UnlabelledLivenessTask)(model, limits, resolve)
    if isinstance(model.task, CustomTask):
        from .custom import CustomMetricTask
        from .custom_unlabelled import UnlabelledCustomTask

        return (CustomMetricTask if labelled else UnlabelledCustomTask)(model, limits, resolve)
    raise SpecError(
        "KycModel.task",
        f"nothing judges {type(model.task).__name__}",
        "give FaceVerification, LivenessDetection, ObjectDetection or CustomTask",
    )
