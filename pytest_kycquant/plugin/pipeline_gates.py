"""The base class of gate files for a whole pipeline, and what its fixture hands out."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import SpecError
from ..spec.limits import PipelineLimits
from ..spec.pipeline import (
    LEAST_RUNS,
    STAGES,
    PipelineSpec,
    ProcessSpec,
    StageSpec,
)
from ..spec.settings import Inconclusive
from ..spec.tasks import StrPath
from .candidate import enforce
from .gated import MARKER, GateClass
from .gates import Gates, refuse_unused, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from ..pipeline.record import PipelineRecord
    from ..pipeline.stages import Photo, Stages
    from ..results import GateResult

GATES = ("complete", "latency", "memory")
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
    """Base class of a gate file for a pipeline: subclass it, name its images and its stages.

    A stage is a gate class. The FP32 pipeline runs the FP32 models, the shipped one the smallest
    variant of each that passes its gates. Import the modules of other gate files, not their
    classes, which pytest would collect twice::

        import test_arcface, test_minifasnet, test_yolov8

        class TestPipeline(PipelineGates):
            images = "data/scenes"
            detector = test_yolov8.TestYolov8
            face = "face"
            liveness = test_minifasnet.TestMiniFASNet
            embedder = test_arcface.TestArcFace

    Attributes:
        images: folder or ``.npz`` of whole images.
        detector: gates of the detector.
        face: class of the detector to go on with.
        liveness: gates of the liveness model, if there is one.
        embedder: gates of the face embedder, if there is one.
        embedder_scale: side of the square crop for the embedder relative to the longer side of
            the detected box.
        limits: see `PipelineLimits`.
        threads: that onnxruntime may use within an operator, as in production.
        runs: of each pipeline, timed; at least 59.
        inconclusive: what an undecided gate does; None leaves it to the settings.
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
        """Refuse what would silently not be used.

        Raises:
            SpecError: an attribute or `process` is misspelt, or the class is a unittest.
        """
        super().__init_subclass__()
        refuse_unused(cls, PipelineGates, _ATTRIBUTES, ("process",))

    def process(self, stages: Stages, photo: Photo) -> None:
        """What happens to one image; override it where your pipeline does something else.

        It is timed as a whole. Every stage must be called for an image to count, and what the
        stages return is yours to use: align by landmarks, or open a second image::

            def process(self, stages, photo):
                selfie = photo.pixels()
                document = stages.open(photo.path.with_name("document.jpg"))
                for pixels in (selfie, document):
                    ...

        Args:
            stages: `detect`, `liveness`, `embed` and `crop`; see `pipeline.stages.Stages`.
            photo: an image of `images`, not yet read: `pixels()`, `name` and `path`.
        """
        pixels = photo.pixels()
        box = next((found.box for found in stages.detect(pixels) if found.name == self.face), None)
        if box is None:
            return  # nothing to go on with: this image counts for no figure
        if "liveness" in stages:
            stages.liveness(pixels, box)
        if "embedder" in stages:
            stages.embed(stages.crop(pixels, box, self.embedder_scale))

    def test_complete(self, kyc_pipeline: KycPipeline) -> None:
        """The shipped pipeline reaches every stage where FP32 does, and all outputs are finite."""
        kyc_pipeline.check("complete")

    def test_latency(self, kyc_pipeline: KycPipeline) -> None:
        """Upper bound of the 95th percentile of wall-clock time below its limit."""
        kyc_pipeline.check("latency")

    def test_memory(self, kyc_pipeline: KycPipeline) -> None:
        """Peak memory of the process below its limits."""
        kyc_pipeline.check("memory")


@dataclass(frozen=True)
class KycPipeline:
    """The shipped pipeline beside FP32, as handed out by the fixture `kyc_pipeline`.

    Args:
        record: what was measured.
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
        if gate not in GATES:
            raise SpecError(
                "kyc_pipeline.check", f"{gate!r} is not a gate", f"choose from {', '.join(GATES)}"
            )
        enforce(self.gates[gate], f"shipped pipeline of {self.record.gate}", self.inconclusive)


def pipeline_spec_of(cls: type[PipelineGates], *, marked: bool = False) -> PipelineSpec:
    """What a pipeline's gate class asks for.

    Args:
        cls: the class of the gate file.
        marked: whether it carries the plugin's marker.

    Raises:
        SpecError: missing or impossible values.
    """
    where = cls.__name__
    if marked:
        raise SpecError(
            where,
            f"is a pipeline, which ignores the marker {MARKER}",
            "set attributes of the class: markers belong to the gates of its stages",
        )
    values = {name: getattr(cls, name) for name in _ATTRIBUTES if hasattr(cls, name)}
    stages = tuple(_stage(cls, name) for name in STAGES if values.get(name))
    process = ProcessSpec(Path(inspect.getfile(cls)), cls.__module__, cls.__qualname__)
    return PipelineSpec.of(values, stages, process, where)


def _stage(gates: type[PipelineGates], name: str) -> StageSpec:
    where = f"{gates.__name__}.{name}"
    task = STAGES[name]
    cls: Any = getattr(gates, name)
    if not (isinstance(cls, type) and issubclass(cls, Gates)):
        raise SpecError(
            where, f"{cls!r} is not a gate class", f"name a gate class that judges {task.__name__}"
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
    """The plugin's markers of a class that pytest may not have collected, the closest first."""
    owners = [*(vars(base) for base in cls.__mro__), vars(sys.modules[cls.__module__])]
    found: list[pytest.Mark] = []
    for owner in owners:
        given = owner.get("pytestmark", [])
        marks = [getattr(m, "mark", m) for m in (given if isinstance(given, list) else [given])]
        found += [mark for mark in reversed(marks) if mark.name == MARKER]
    return found
