"""The base class of gates for a whole pipeline, and the object that its fixture returns."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import DataError, SpecError
from ..spec import coerce
from ..spec.functions import check_call
from ..spec.limits import PipelineLimits
from ..spec.pipeline import (
    LEAST_RUNS,
    STAGES,
    PipelineSpec,
    ProcessSpec,
    StageSpec,
)
from ..spec.settings import Inconclusive
from ..spec.task import StrPath
from .candidate import enforce
from .definitions import refuse_misplaced_limits, refuse_unused
from .gated import MARKER, GateClass
from .gates import Gates, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from ..pipeline.record import PipelineRecord
    from ..pipeline.stages import Detected, Photo, Stages
    from ..results import GateResult

_ATTRIBUTES = (
    "images",
    "applicants",
    *STAGES,
    "face",
    "embedder_scale",
    "align",
    "limits",
    "threads",
    "runs",
    "inconclusive",
)


_METHODS = ("process", "document", "selfie")
_OF_APPLICANTS = ("fta", "frr", "far", "iapar", "degradation")


class PipelineGates(GateClass):
    """Base class of gates for a pipeline: subclass it and set its data and its stages.

    A stage is a gate class. The FP32 pipeline runs the FP32 models; the shipped one runs the
    smallest variant of each that passes its gates or, if these do not hold together, the least
    costly combination that does. With `applicants`, the rates of the whole system are judged: who
    is turned away, and who is let in. With `images`, which need no labels, decisions are compared
    with FP32's. Import the modules of other gate files, not their classes, because pytest would
    collect the classes twice::

        import test_arcface, test_minifasnet, test_yolov8

        class TestPipeline(PipelineGates):
            applicants = "data/applicants.csv"
            detector = test_yolov8.TestYolov8
            face = "face"
            liveness = test_minifasnet.TestMiniFASNet
            embedder = test_arcface.TestArcFace

    Attributes:
        images: folder or ``.npz`` of whole images without labels.
        applicants: CSV file or folder of people with a document, selfies and attacks; see
            `data.applicant_files.load_applicants`. One of the two is given.
        detector: gate class of the detector.
        face: class of the detector that the later stages process.
        liveness: gate class of the liveness model, if there is one.
        embedder: gate class of the face embedder, if there is one.
        embedder_scale: side of the square crop for the embedder relative to the longer side of
            the detected box.
        align: whether faces are aligned by the five landmarks that the detector finds, as
            ``FaceVerification(landmarks=...)`` aligns them, instead of cropped.
        limits: limits of the gates, see `PipelineLimits`.
        threads: number of threads that onnxruntime uses within an operator, as in production.
        runs: number of timed runs of each pipeline; 59 to 100,000.
        inconclusive: what an undecided gate does; None uses the settings.
    """

    images: ClassVar[StrPath | None] = None
    applicants: ClassVar[StrPath | None] = None
    detector: ClassVar[type[Gates]]
    face: ClassVar[str]
    liveness: ClassVar[type[Gates] | None] = None
    embedder: ClassVar[type[Gates] | None] = None
    embedder_scale: ClassVar[float] = 1.0
    align: ClassVar[bool] = False
    limits: ClassVar[PipelineLimits] = PipelineLimits()
    threads: ClassVar[int] = 1
    runs: ClassVar[int] = LEAST_RUNS
    inconclusive: ClassVar[Inconclusive | None] = None

    def __init_subclass__(cls) -> None:
        """Check the definition of the class; see `check_definition`."""
        super().__init_subclass__()
        cls.check_definition()

    @classmethod
    def check_definition(cls) -> None:
        """Refuse definitions that would replace a gate or silently be ignored.

        Raises:
            SpecError: a gate is replaced, an attribute or a method is misspelt, would not be
                called, or the class is a unittest.TestCase.
        """
        refuse_unused(cls, PipelineGates, _ATTRIBUTES, _METHODS)
        for name in _METHODS:
            where, remedy = f"{cls.__name__}.{name}", f"write def {name}(self, stages, photo): ..."
            method = inspect.getattr_static(cls, name)
            if isinstance(method, property) or not callable(getattr(cls, name, None)):
                raise SpecError(where, "is not a method", remedy)
            bound = getattr(method, "__get__", None)
            check_call(where, method if bound is None else bound(object(), cls), 2, remedy)
        called = ("process",) if cls.applicants is None else ("document", "selfie")
        given = cls.images is not None or cls.applicants is not None
        for name in _METHODS:
            if given and name not in called and _overridden(cls, name):
                raise SpecError(
                    f"{cls.__name__}.{name}",
                    f"is never called: {'images' if 'process' in called else 'applicants'} are "
                    f"processed by {' and '.join(called)}",
                    f"override {' and '.join(called)}",
                )

    @classmethod
    def has_test(cls, name: str) -> bool:
        """Whether a test applies: those about applicants need some."""
        gate = name.removeprefix("test_")
        if gate not in _OF_APPLICANTS and gate != "agreement":
            return True
        if cls.applicants is None:
            return gate == "agreement"
        return gate != "agreement" and (gate != "iapar" or cls.liveness is not None)

    def process(self, stages: Stages, photo: Photo) -> None:
        """Process one image; override this method if your pipeline does something else.

        It is timed as a whole. An image counts only if every stage is called. You are free in how
        you use the results of the stages: align in your own way, or open a second image::

            def process(self, stages, photo):
                selfie = photo.pixels()
                document = stages.open(photo.path.with_name("document.jpg"))
                for pixels in (selfie, document):
                    ...

        Args:
            stages: the stages, with `detect`, `liveness`, `embed`, `crop` and `align`; see
                `pipeline.stages.Stages`.
            photo: an image of `images` that has not been read yet, with `pixels()`, `name` and
                `path`.
        """
        pixels = photo.pixels()
        found = self.face_in(stages, pixels)
        if found is None:
            return  # nothing to process: this image does not count in any figure
        if "liveness" in stages:
            stages.liveness(pixels, found.box)
        face = self.face_of(stages, pixels, found) if "embedder" in stages else None
        if face is not None:
            stages.embed(face)

    def document(self, stages: Stages, photo: Photo) -> Any:
        """Process the photograph of an applicant's document; override it as `process`.

        Args:
            stages: the stages, see `process`.
            photo: the photograph, which has not been read yet.

        Returns:
            The embedding, shape (D,), or None if there is no usable face: then the applicant is
            turned away.
        """
        pixels = photo.pixels()
        found = self.face_in(stages, pixels)
        face = None if found is None else self.face_of(stages, pixels, found)
        return None if face is None else stages.embed(face)

    def selfie(self, stages: Stages, photo: Photo) -> Any:
        """Process a selfie, bona fide or an attack; override it as `process`.

        Whether it passes as live is decided by the scores that `stages.liveness` gives here, at
        the frozen threshold; if it is called more than once, by the smallest.

        Args:
            stages: the stages, see `process`.
            photo: the selfie, which has not been read yet.

        Returns:
            The embedding, shape (D,), or None if there is no usable face.
        """
        pixels = photo.pixels()
        found = self.face_in(stages, pixels)
        if found is None:
            return None
        if "liveness" in stages:
            stages.liveness(pixels, found.box)
        face = self.face_of(stages, pixels, found)
        return None if face is None else stages.embed(face)

    def face_in(self, stages: Stages, pixels: Any) -> Detected | None:
        """The best detection of the class `face`, or None.

        Args:
            stages: the stages.
            pixels: the image, RGB, shape (height, width, 3), uint8.
        """
        faces = (found for found in stages.detect(pixels) if found.name == self.face)
        return next(faces, None)

    def face_of(self, stages: Stages, pixels: Any, found: Detected) -> Any:
        """What the embedder sees of a detection: a crop or, with `align`, the upright face.

        Args:
            stages: the stages.
            pixels: the image, RGB, shape (height, width, 3), uint8.
            found: the detection.

        Returns:
            RGB pixels, (height, width, 3), uint8. None if its landmarks cannot be those of a face:
            then the image counts as one without a usable face.
        """
        if not self.align:
            return stages.crop(pixels, found.box, self.embedder_scale)
        try:
            return stages.align(pixels, found.keypoints)
        except DataError:
            return None

    def test_complete(self, kyc_pipeline: KycPipeline) -> None:
        """All outputs are finite; of images, every stage is reached where FP32 reaches it."""
        kyc_pipeline.check("complete")

    def test_agreement(self, kyc_pipeline: KycPipeline) -> None:
        """Without labels, few decisions differ from FP32's: the bounds are below their limits."""
        kyc_pipeline.check("agreement")

    def test_fta(self, kyc_pipeline: KycPipeline) -> None:
        """The upper bound of the failure-to-acquire rate of customers is below its limit."""
        kyc_pipeline.check("fta")

    def test_frr(self, kyc_pipeline: KycPipeline) -> None:
        """The upper bound of the share of customers who are turned away is below its limit."""
        kyc_pipeline.check("frr")

    def test_far(self, kyc_pipeline: KycPipeline) -> None:
        """The upper bound of the share of impostors who are let in is below its limit."""
        kyc_pipeline.check("far")

    def test_iapar(self, kyc_pipeline: KycPipeline) -> None:
        """For each species, the upper bound of the share of attacks let in is below its limit."""
        kyc_pipeline.check("iapar")

    def test_degradation(self, kyc_pipeline: KycPipeline) -> None:
        """None of these rates rises over the FP32 pipeline by more than its budget."""
        kyc_pipeline.check("degradation")

    def test_latency(self, kyc_pipeline: KycPipeline) -> None:
        """The upper bound of the 95th percentile of wall-clock time is below its limit."""
        kyc_pipeline.check("latency")

    def test_memory(self, kyc_pipeline: KycPipeline) -> None:
        """The peak memory of the process is below its limits."""
        kyc_pipeline.check("memory")


@dataclass(frozen=True)
class KycPipeline:
    """The shipped pipeline compared with FP32, as returned by the fixture `kyc_pipeline`.

    Args:
        record: everything that was measured.
        inconclusive: what an undecided gate does.
    """

    record: PipelineRecord
    inconclusive: Inconclusive

    @property
    def gates(self) -> Mapping[str, GateResult]:
        """Results by gate, such as "complete", "frr" or "latency"."""
        return self.record.gates

    @property
    def variants(self) -> Mapping[str, str]:
        """Label of the variant that ships, by stage."""
        return self.record.shipped.variants

    def check(self, gate: str) -> None:
        """Assert a gate: fail with a small report, or do as the policy says if undecided."""
        __tracebackhide__ = True
        coerce.choice("kyc_pipeline.check", gate, tuple(self.gates))
        enforce(self.gates[gate], f"shipped pipeline of {self.record.gate}", self.inconclusive)


def pipeline_spec_of(cls: type[PipelineGates], *, marked: bool = False) -> PipelineSpec:
    """Return the specification of a pipeline's gate class.

    Args:
        cls: the gate class.
        marked: whether it carries the plugin's marker, which is not allowed.

    Raises:
        SpecError: a value is missing or impossible.
    """
    where = cls.__name__
    if marked:
        raise SpecError(
            where,
            f"is a pipeline, which ignores the marker {MARKER}",
            "set attributes of the class: markers belong to the gates of its stages",
        )
    values = {name: getattr(cls, name) for name in _ATTRIBUTES if hasattr(cls, name)}
    if values["align"] is True and _sets(cls, "embedder_scale"):
        raise SpecError(
            f"{where}.embedder_scale",
            "has no effect, because faces are aligned",
            "leave it out, or do without align = True",
        )
    stages = tuple(_stage(cls, name) for name in STAGES if values.get(name) is not None)
    process = ProcessSpec(Path(inspect.getfile(cls)), cls.__module__, cls.__qualname__)
    spec = PipelineSpec.of(values, stages, process, where)
    refuse_misplaced_limits(cls, spec.limits)
    return spec


def _overridden(cls: type, name: str) -> bool:
    return getattr(cls, name) is not getattr(PipelineGates, name)


def _sets(cls: type, name: str) -> bool:
    """Whether a class or one of its bases below `PipelineGates` gives an attribute a value."""
    return any(name in vars(base) for base in cls.__mro__ if not issubclass(PipelineGates, base))


def _stage(gates: type[PipelineGates], name: str) -> StageSpec:
    where = f"{gates.__name__}.{name}"
    task = STAGES[name]
    cls: Any = getattr(gates, name)
    if not (isinstance(cls, type) and issubclass(cls, Gates)):
        raise SpecError(
            where,
            f"{coerce.shown(cls)} is not a gate class",
            f"name a gate class that judges {task.__name__}",
        )
    spec = spec_of(cls, _markers(cls), cls.__name__)
    assert spec is not None  # gate classes always have one
    if not isinstance(spec.model.task, task):
        raise SpecError(
            where,
            f"{cls.__name__} judges {type(spec.model.task).__name__}",
            f"name a gate class that judges {task.__name__}",
        )
    return StageSpec(name, spec, Path(inspect.getfile(cls)), cls.__qualname__.replace(".", "::"))


def _markers(cls: type) -> list[pytest.Mark]:
    """Return the plugin's markers of a class that pytest may not have collected, closest first."""
    owners = [*(vars(base) for base in cls.__mro__), vars(sys.modules[cls.__module__])]
    found: list[pytest.Mark] = []
    for owner in owners:
        given = owner.get("pytestmark", [])
        marks = [getattr(m, "mark", m) for m in (given if isinstance(given, list) else [given])]
        found += [mark for mark in reversed(marks) if mark.name == MARKER]
    return found
