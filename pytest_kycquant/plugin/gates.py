"""The base classes of gate files: one for each task, and one for images without labels."""

from __future__ import annotations

import difflib
import inspect
import unittest
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import SpecError
from ..spec.custom import CustomTask
from ..spec.gates import DEFAULT_PRECISIONS, GateSpec
from ..spec.limits import (
    DetectionLimits,
    FaceLimits,
    Limits,
    LivenessLimits,
)
from ..spec.model import KycModel
from ..spec.profiles import Profile
from ..spec.recipe import Fallback, Recipe
from ..spec.settings import Inconclusive
from ..spec.tasks import (
    FaceVerification,
    LivenessDetection,
    ObjectDetection,
    TaskSpec,
)
from .gated import GateClass

if TYPE_CHECKING:
    import pytest

    from .candidate import Candidate


def refuse_unused(
    cls: type, base: type, attributes: tuple[str, ...], methods: tuple[str, ...] = ()
) -> None:
    """Refuse in a class of a gate file what would silently not be used.

    Args:
        cls: the class.
        base: what it derives from.
        attributes: that mean something there.
        methods: that it may override.

    Raises:
        SpecError: an attribute or method is misspelt, or the class is a unittest.
    """
    if issubclass(cls, unittest.TestCase):
        raise SpecError(
            cls.__name__,
            "is a unittest.TestCase, which cannot use fixtures",
            "drop unittest.TestCase",
        )
    for name, value in vars(cls).items():
        known = methods if inspect.isfunction(value) else attributes
        if name.startswith(("_", "test")) or name in known or hasattr(base, name):
            continue
        if close := difflib.get_close_matches(name, known, cutoff=0.8):
            raise SpecError(
                f"{cls.__name__}.{name}",
                "is not an attribute of gates",
                f"did you mean {close[0]!r}?",
            )


class Gates(GateClass):
    """What the base classes of gate files have in common; subclass one of those.

    Each gate is a test item for each precision. Limits are in `limits`, and tests of your own may
    use the fixtures `candidate`, `golden` and `quantize`.
    """

    model: ClassVar[KycModel]
    precisions: ClassVar[Sequence[str | Recipe]] = DEFAULT_PRECISIONS
    limits: ClassVar[Limits | None] = None
    fallback: ClassVar[Fallback | None] = "mixed"
    strict: ClassVar[bool | None] = None
    inconclusive: ClassVar[Inconclusive | None] = None
    profile: ClassVar[Profile | None] = None
    _task: ClassVar[type[TaskSpec]] = TaskSpec
    _labelled: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Refuse what would silently not be a gate.

        Raises:
            SpecError: an attribute is misspelt, or the class is a unittest, which has no fixtures.
        """
        super().__init_subclass__()
        refuse_unused(cls, Gates, tuple(GateSpec.__dataclass_fields__))

    @classmethod
    def values(cls) -> dict[str, Any]:
        """The attributes that describe the gate.

        Raises:
            SpecError: the model's task is judged by another base class.
        """
        cls.check_task(getattr(cls, "model", None))
        names = GateSpec.__dataclass_fields__
        return {name: getattr(cls, name) for name in names if hasattr(cls, name)}

    @classmethod
    def check_task(cls, model: Any) -> None:
        """Make sure that these gates judge the task of a model.

        Raises:
            SpecError: another base class does.
        """
        if not isinstance(model, KycModel):
            return
        task, labelled = type(model.task).__name__, model.task.labelled
        if not isinstance(model.task, cls._task):
            problem = f"judges {cls._task.__name__}, but the task of its model is {task}"
            remedy = "subclass the gates of that task"
        elif cls._labelled and not labelled:
            problem = f"judges errors, but {task}(labelled=False) has no labels"
            remedy = "subclass AgreementGates, or label the images"
        elif labelled and not cls._labelled:
            problem = f"judges agreement without labels, but the images of {task} are labelled"
            remedy = "subclass the gates of that task, which are stricter, or set labelled=False"
        else:
            return
        raise SpecError(cls.__name__, problem, remedy)

    def test_finite(self, candidate: Candidate) -> None:
        """No NaN or Inf in any output, on evaluation data and on edge inputs."""
        candidate.check("finite")

    def test_latency(self, candidate: Candidate) -> None:
        """Paired latency ratio to FP32 inside its limit."""
        candidate.check("latency")

    def test_size(self, candidate: Candidate) -> None:
        """File size inside its limit, and the quantizer changed what it was asked to."""
        candidate.check("size")


class LabelledGates(Gates):
    """What the gates of tasks with labels have in common; subclass those of a task."""

    def test_degradation(self, candidate: Candidate) -> None:
        """Paired increase of errors over FP32 and drift of outputs inside their budgets."""
        candidate.check("degradation")


class AgreementGates(Gates):
    """Base class of a gate file for images without labels, of any task that has ``labelled``.

    A variant must decide as FP32 does. That says nothing about whether FP32 decides well.

    Example::

        class TestArcFaceAgreement(AgreementGates):
            model = KycModel(
                "models/arcface_fp32.onnx",
                preprocess=...,
                task=FaceVerification("data/selfies", labelled=False, threshold=0.35),
                ...,
            )
            precisions = ("fp16", "int8")
    """

    _labelled = False

    def test_agreement(self, candidate: Candidate) -> None:
        """Decisions are those of FP32, and drift of outputs is inside its budgets."""
        candidate.check("agreement")


class FaceGates(LabelledGates):
    """Base class of a gate file for face verification: subclass it and set `model`.

    Example::

        class TestArcFace(FaceGates):
            model = KycModel("models/arcface_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = FaceLimits()
    _task = FaceVerification

    def test_far(self, candidate: Candidate) -> None:
        """Upper bound of the false accept rate at the frozen threshold below its limit."""
        candidate.check("far")

    def test_frr(self, candidate: Candidate) -> None:
        """Upper bound of the false reject rate at the frozen threshold below its limit."""
        candidate.check("frr")


class CustomGates(LabelledGates):
    """Base class of a gate file for a metric of your own: subclass it, set `model` and `limits`.

    Example::

        class TestDocumentType(CustomGates):
            model = KycModel("models/document_type.onnx", preprocess=..., task=CustomTask(...), ...)
            limits = CustomLimits(metric=0.02, degradation=0.005)
    """

    _task = CustomTask

    def test_metric(self, candidate: Candidate) -> None:
        """Bound of the metric inside its limit."""
        candidate.check("metric")


class DetectionGates(LabelledGates):
    """Base class of a gate file for detection: subclass it and set `model`.

    Example::

        class TestYolo(DetectionGates):
            model = KycModel("models/yolov8n_face.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = DetectionLimits()
    _task = ObjectDetection

    def test_recall(self, candidate: Candidate) -> None:
        """Lower bound of recall at the frozen confidence reaches its limit, for every class."""
        candidate.check("recall")

    def test_map(self, candidate: Candidate) -> None:
        """Lower bound of mAP50 reaches its limit."""
        candidate.check("map")


class LivenessGates(LabelledGates):
    """Base class of a gate file for liveness: subclass it and set `model`.

    Example::

        class TestMiniFASNet(LivenessGates):
            model = KycModel("models/minifasnet_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = LivenessLimits()
    _task = LivenessDetection

    def test_apcer(self, candidate: Candidate) -> None:
        """Upper bound of APCER at the frozen threshold below its limit, for every species."""
        candidate.check("apcer")

    def test_bpcer(self, candidate: Candidate) -> None:
        """Upper bound of BPCER at the frozen threshold below its limit."""
        candidate.check("bpcer")


def spec_of(cls: type | None, markers: Sequence[pytest.Mark], where: str) -> GateSpec | None:
    """The gate specification of a test; None if it has none.

    Args:
        cls: class of the test; attributes count if it is a gate class.
        markers: of this plugin, the closest first; a closer one overrides argument by argument.
        where: node id, for messages.
    """
    values: dict[str, Any] = {}
    if cls is not None and issubclass(cls, Gates):
        values = cls.values()
    elif not markers:
        return None
    for marker in reversed(markers):
        if marker.args:
            raise SpecError(
                where, "the marker takes keyword arguments only", "write kycquant(model=...)"
            )
        values |= marker.kwargs
    if cls is not None and issubclass(cls, Gates):
        cls.check_task(values.get("model"))  # a marker may have brought another one
    return GateSpec.of(values, where)
