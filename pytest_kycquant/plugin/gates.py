"""The base classes of gates: one for each task, and one for images without labels."""

from __future__ import annotations

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
from ..spec.prequantized import Asked
from ..spec.profiles import Profile
from ..spec.recipe import Fallback
from ..spec.settings import Inconclusive, ShipBy
from ..spec.task import TaskSpec
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
from .definitions import refuse_misplaced, refuse_unused
from .gated import GateClass

if TYPE_CHECKING:
    import pytest

    from .candidate import Candidate


class Gates(GateClass):
    """Common base of the gate classes; subclass the one for your task, not this.

    Each gate is one test item for each precision. Limits are set in `limits`. Your own tests in the
    class may use the fixtures `candidate`, `golden` and `quantize`.

    Attributes:
        model: the FP32 model, with its preprocessing, its data and its task.
        precisions: what is judged: names of precisions, `Recipe` and `Prequantized`.
        limits: limits of the gates; None takes the defaults of the task, if it has any.
        fallback: first precision that may take the place of one that does not pass; None: nothing
            may, and the gate fails.
        strict: whether a gate fails instead of falling back; None uses the settings.
        inconclusive: what an undecided gate does; None uses the settings.
        profile: which limits and gates apply; None uses the settings.
        ship_by: what decides among variants that pass; None uses the settings.
    """

    model: ClassVar[KycModel]
    precisions: ClassVar[Sequence[str | Asked]] = DEFAULT_PRECISIONS
    limits: ClassVar[Limits | None] = None
    fallback: ClassVar[Fallback | None] = "mixed"
    strict: ClassVar[bool | None] = None
    inconclusive: ClassVar[Inconclusive | None] = None
    profile: ClassVar[Profile | None] = None
    ship_by: ClassVar[ShipBy | None] = None
    _task: ClassVar[type[TaskSpec]] = TaskSpec
    _labelled: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Check the definition of the class; see `check_definition`."""
        super().__init_subclass__()
        cls.check_definition()

    @classmethod
    def check_definition(cls) -> None:
        """Refuse definitions that would replace a gate or silently be ignored.

        Raises:
            SpecError: a gate is replaced, an attribute is misspelt, or the class is a
                unittest.TestCase, which cannot use fixtures.
        """
        refuse_unused(cls, Gates, tuple(GateSpec.__dataclass_fields__))

    @classmethod
    def values(cls) -> dict[str, Any]:
        """Return the attributes that specify the gate.

        Raises:
            SpecError: another base class judges the task of the model.
        """
        cls.check_task(getattr(cls, "model", None))
        names = GateSpec.__dataclass_fields__
        return {name: getattr(cls, name) for name in names if hasattr(cls, name)}

    @classmethod
    def check_task(cls, model: Any) -> None:
        """Make sure that these gates judge the task of a model.

        Raises:
            SpecError: another base class judges it.
        """
        if not isinstance(model, KycModel):
            return
        task, labelled = type(model.task).__name__, model.task.labelled
        if not isinstance(model.task, cls._task):
            problem = f"judges {cls._task.__name__}, but the task of its model is {task}"
            remedy = f"subclass {_gates_of(model.task)}"
        elif cls._labelled and not labelled:
            problem = f"judges errors, but {task}(labelled=False) has no labels"
            remedy = "subclass AgreementGates, or label the images"
        elif labelled and not cls._labelled:
            problem = f"judges agreement without labels, but the images of {task} are labelled"
            remedy = f"subclass {_gates_of(model.task)}, which is stricter, or set labelled=False"
        else:
            return
        raise SpecError(cls.__name__, problem, remedy)

    def test_finite(self, candidate: Candidate) -> None:
        """No output has NaN or Inf, on evaluation data and on edge inputs."""
        candidate.check("finite")

    def test_latency(self, candidate: Candidate) -> None:
        """The paired latency ratio to FP32 is inside its limit."""
        candidate.check("latency")

    def test_size(self, candidate: Candidate) -> None:
        """The file size is inside its limit, and the quantizer changed what it was asked to."""
        candidate.check("size")


class LabelledGates(Gates):
    """Common base of the gates of tasks with labels; subclass the one for your task."""

    def test_degradation(self, candidate: Candidate) -> None:
        """The paired increase of errors over FP32 and the drift of outputs are inside budgets."""
        candidate.check("degradation")


class AgreementGates(Gates):
    """Base class of gates for images without labels, for any task that has ``labelled``.

    A variant must decide as FP32 does. That does not show whether FP32 decides well.

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
        """Decisions agree with those of FP32, and the drift of outputs is inside its budgets."""
        candidate.check("agreement")


class FaceGates(LabelledGates):
    """Base class of gates for face verification: subclass it and set `model`.

    Example::

        class TestArcFace(FaceGates):
            model = KycModel("models/arcface_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = FaceLimits()
    _task = FaceVerification

    def test_far(self, candidate: Candidate) -> None:
        """The upper bound of the false accept rate at the frozen threshold is below its limit."""
        candidate.check("far")

    def test_frr(self, candidate: Candidate) -> None:
        """The upper bound of the false reject rate at the frozen threshold is below its limit."""
        candidate.check("frr")


class CustomGates(LabelledGates):
    """Base class of gates for your own metric: subclass it and set `model` and `limits`.

    Example::

        class TestDocumentType(CustomGates):
            model = KycModel("models/document_type.onnx", preprocess=..., task=CustomTask(...), ...)
            limits = CustomLimits(metric=0.02, degradation=0.005)
    """

    _task = CustomTask

    def test_metric(self, candidate: Candidate) -> None:
        """The bound of the metric is inside its limit."""
        candidate.check("metric")


class DetectionGates(LabelledGates):
    """Base class of gates for detection: subclass it and set `model`.

    Example::

        class TestYolo(DetectionGates):
            model = KycModel("models/yolov8n_face.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = DetectionLimits()
    _task = ObjectDetection

    def test_recall(self, candidate: Candidate) -> None:
        """The lower bound of recall at the frozen confidence reaches its limit in every class."""
        candidate.check("recall")

    def test_map(self, candidate: Candidate) -> None:
        """The lower bound of mAP50 reaches its limit."""
        candidate.check("map")


class LivenessGates(LabelledGates):
    """Base class of gates for liveness: subclass it and set `model`.

    Example::

        class TestMiniFASNet(LivenessGates):
            model = KycModel("models/minifasnet_fp32.onnx", preprocess=..., task=..., ...)
            precisions = ("fp16", "int8")
    """

    limits: ClassVar[Limits | None] = LivenessLimits()
    _task = LivenessDetection

    def test_apcer(self, candidate: Candidate) -> None:
        """The upper bound of APCER at the frozen threshold is below its limit for every species."""
        candidate.check("apcer")

    def test_bpcer(self, candidate: Candidate) -> None:
        """The upper bound of BPCER at the frozen threshold is below its limit."""
        candidate.check("bpcer")


def _gates_of(task: TaskSpec) -> str:
    """Name the gate class that judges a task."""
    for base in (FaceGates, LivenessGates, DetectionGates, CustomGates):
        if isinstance(task, base._task):
            return base.__name__
    return "the gates of that task"


def spec_of(cls: type | None, markers: Sequence[pytest.Mark], where: str) -> GateSpec | None:
    """Return the gate specification of a test; None if it has none.

    Args:
        cls: class of the test; its attributes are used if it is a gate class.
        markers: markers of this plugin, the closest first. A closer one overrides single arguments
            of the others.
        where: the node id of the test, for messages.
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
        cls.check_task(values.get("model"))  # a marker may have replaced the model
    spec = GateSpec.of(values, where)
    if cls is not None and issubclass(cls, Gates):
        refuse_misplaced(cls, spec.model, spec.limits)
    return spec
