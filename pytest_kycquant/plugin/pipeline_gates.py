"""The base class of gates for a whole pipeline, and the object that its fixture returns."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import SpecError
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
    from ..pipeline.stages import Photo, Stages
    from ..results import GateResult

_ATTRIBUTES = (
    "images",
    *STAGES,
    "face",
    "embedder_scale",
    "limits",
    "threads",
    "runs",
    "inconclusive",
)


class PipelineGates(GateClass):
    """Base class of gates for a pipeline: subclass it and set its images and its stages.

    A stage is a gate class. The FP32 pipeline runs the FP32 models; the shipped one runs the
    smallest variant of each that passes its gates. Import the modules of other gate files, not
    their classes, because pytest would collect the classes twice::

        import test_arcface, test_minifasnet, test_yolov8

        class TestPipeline(PipelineGates):
            images = "data/scenes"
            detector = test_yolov8.TestYolov8
            face = "face"
            liveness = test_minifasnet.TestMiniFASNet
            embedder = test_arcface.TestArcFace

    Attributes:
        images: folder or ``.npz`` of whole images.
        detector: gate class of the detector.
        face: class of the detector that the later stages process.
        liveness: gate class of the liveness model, if there is one.
        embedder: gate class of the face embedder, if there is one.
        embedder_scale: side of the square crop for the embedder relative to the longer side of
            the detected box.
        limits: limits of the gates, see `PipelineLimits`.
        threads: number of threads that onnxruntime uses within an operator, as in production.
        runs: number of timed runs of each pipeline; 59 to 100,000.
        inconclusive: what an undecided gate does; None uses the settings.
    """

    images: ClassVar[StrPath]
    detector: ClassVar[type[Gates]]
    face: ClassVar[str]
    liveness: ClassVar[type[Gates] | None] = None
    embedder: ClassVar[type[Gates] | None] = None
    embedder_scale: ClassVar[float] = 1.0
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
            SpecError: a gate is replaced, an attribute or `process` is misspelt, or the class is a
                unittest.TestCase.
        """
        refuse_unused(cls, PipelineGates, _ATTRIBUTES, ("process",))
        where, remedy = f"{cls.__name__}.process", "write def process(self, stages, photo): ..."
        process = inspect.getattr_static(cls, "process")
        if isinstance(process, property) or not callable(getattr(cls, "process", None)):
            raise SpecError(where, "is not a method", remedy)
        bound = getattr(process, "__get__", None)
        check_call(where, process if bound is None else bound(object(), cls), 2, remedy)

    def process(self, stages: Stages, photo: Photo) -> None:
        """Process one image; override this method if your pipeline does something else.

        It is timed as a whole. An image counts only if every stage is called. You are free in how
        you use the results of the stages: align by landmarks, or open a second image::

            def process(self, stages, photo):
                selfie = photo.pixels()
                document = stages.open(photo.path.with_name("document.jpg"))
                for pixels in (selfie, document):
                    ...

        Args:
            stages: the stages, with `detect`, `liveness`, `embed` and `crop`; see
                `pipeline.stages.Stages`.
            photo: an image of `images` that has not been read yet, with `pixels()`, `name` and
                `path`.
        """
        pixels = photo.pixels()
        box = next((found.box for found in stages.detect(pixels) if found.name == self.face), None)
        if box is None:
            return  # nothing to process: this image does not count in any figure
        if "liveness" in stages:
            stages.liveness(pixels, box)
        if "embedder" in stages:
            stages.embed(stages.crop(pixels, box, self.embedder_scale))

    def test_complete(self, kyc_pipeline: KycPipeline) -> None:
        """The shipped pipeline reaches every stage where FP32 does, and all outputs are finite."""
        kyc_pipeline.check("complete")

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
        """Results by gate: "complete", "latency" and "memory"."""
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
    stages = tuple(_stage(cls, name) for name in STAGES if values.get(name) is not None)
    process = ProcessSpec(Path(inspect.getfile(cls)), cls.__module__, cls.__qualname__)
    spec = PipelineSpec.of(values, stages, process, where)
    refuse_misplaced_limits(cls, spec.limits)
    return spec


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
    return StageSpec(name, spec, Path(inspect.getfile(cls)))


def _markers(cls: type) -> list[pytest.Mark]:
    """Return the plugin's markers of a class that pytest may not have collected, closest first."""
    owners = [*(vars(base) for base in cls.__mro__), vars(sys.modules[cls.__module__])]
    found: list[pytest.Mark] = []
    for owner in owners:
        given = owner.get("pytestmark", [])
        marks = [getattr(m, "mark", m) for m in (given if isinstance(given, list) else [given])]
        found += [mark for mark in reversed(marks) if mark.name == MARKER]
    return found
