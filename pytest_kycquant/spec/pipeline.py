"""The checked specification of a pipeline gate: plain data that can go to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SpecError
from . import coerce
from .gates import GateSpec
from .limits import PipelineLimits
from .settings import Inconclusive, Settings, ShipBy
from .task import StrPath, TaskSpec
from .tasks import FaceVerification, LivenessDetection, ObjectDetection

LEAST_RUNS = 59  # the fewest runs whose maximum bounds a 95th percentile at 95 %: 1 - .95^59 > .95
LANDMARKS = 5  # eyes, nose and corners of the mouth
_OF_IMAGES = ("flips", "pair_flips")  # limits of decisions that no label judges
_OF_APPLICANTS = (
    "far",
    "frr",
    "iapar",
    "fta",
    "far_degradation",
    "frr_degradation",
    "iapar_degradation",
    "group_frr_degradation",
)
_MOST_RUNS, _MOST_THREADS = 100_000, 1024  # more would run for days, or not start
STAGES: Mapping[str, type[TaskSpec]] = {
    "detector": ObjectDetection,
    "liveness": LivenessDetection,
    "embedder": FaceVerification,
}


@dataclass(frozen=True)
class StageSpec:
    """A stage as its own gate file describes it.

    Args:
        name: "detector", "liveness" or "embedder".
        gate: the specification of its gates.
        gate_file: the file that defines these gates.
        gate_class: the class in that file, as a node id names it, such as "TestOuter::TestInner".
    """

    name: str
    gate: GateSpec
    gate_file: Path
    gate_class: str = ""

    def node(self, root: Path) -> str:
        """Node id of the gate class.

        Args:
            root: pytest's rootdir.
        """
        file = self.gate_file
        shown = file.relative_to(root) if file.is_relative_to(root) else file
        return f"{shown.as_posix()}::{self.gate_class}"


@dataclass(frozen=True)
class ProcessSpec:
    """Location of the gate class whose method `process` is the pipeline.

    Args:
        gate_file: the file that defines the class.
        module: module name of that file; only pytest may be able to import it.
        name: qualified name of the class in the file.
    """

    gate_file: Path
    module: str
    name: str


@dataclass(frozen=True)
class PipelineSpec:
    """The checked specification of a pipeline gate.

    Args:
        process: where to find the class that defines the pipeline.
        images: folder or ``.npz`` of whole images without labels; None if applicants are given.
        applicants: CSV file or folder of people with documents, selfies and attacks; None if images
            are given.
        stages: the detector first, then liveness and embedder, if present.
        face: class of the detector that the later stages process.
        align: whether faces are aligned by the detector's landmarks instead of cropped.
        limits: the limits of the gates.
        threads: number of threads within an operator.
        runs: number of timed runs.
        inconclusive: what an undecided gate does; None uses the settings.
    """

    process: ProcessSpec
    images: StrPath | None
    applicants: StrPath | None
    stages: tuple[StageSpec, ...]
    face: str
    align: bool
    limits: PipelineLimits
    threads: int
    runs: int
    inconclusive: Inconclusive | None

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates of this pipeline, in the order in which they are judged."""
        if self.applicants is None:
            return ("complete", "agreement", "latency", "memory")
        attacks = ("iapar",) if any(stage.name == "liveness" for stage in self.stages) else ()
        return ("complete", "fta", "frr", "far", *attacks, "degradation", "latency", "memory")

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods of the class that process images."""
        return ("process",) if self.applicants is None else ("document", "selfie")

    def effective_ship_by(self, settings: Settings) -> ShipBy:
        """What decides among combinations: what all stages say, or else the product."""
        said = {stage.gate.effective_ship_by(settings) for stage in self.stages}
        return said.pop() if len(said) == 1 else "product"

    @classmethod
    def of(
        cls,
        values: Mapping[str, Any],
        stages: tuple[StageSpec, ...],
        process: ProcessSpec,
        where: str,
    ) -> PipelineSpec:
        """Build the specification from class attributes.

        Args:
            values: attributes by name, except the stages; `embedder_scale` is checked but not kept.
            stages: the stages that the class names.
            process: where to find the class.
            where: the name of the class, for messages.

        Raises:
            SpecError: a value is missing or impossible.
        """
        images, applicants = _data(values, where)
        if not stages or stages[0].name != "detector":
            raise SpecError(
                f"{where}.detector", "is missing", "name the gate class of the detector"
            )
        if len(stages) == 1:
            raise SpecError(
                where, "has a detector but no stage after it", "add liveness= or embedder="
            )
        if applicants is not None and stages[-1].name != "embedder":
            raise SpecError(
                f"{where}.applicants",
                "needs an embedder: documents and selfies are compared",
                "name the gate class of the embedder, or give images without labels",
            )
        task = stages[0].gate.model.task
        assert isinstance(task, ObjectDetection)
        judged = task.judged or task.classes
        face = coerce.scalar(values.get("face"))
        if not isinstance(face, str) or str.__str__(face) not in judged:
            raise SpecError(
                f"{where}.face",
                f"{coerce.shown(face)} is not a class that the detector's gates judge",
                f"choose from {', '.join(judged)}",
            )
        limits = values["limits"]
        if not isinstance(limits, PipelineLimits):
            raise SpecError(
                f"{where}.limits", "are not PipelineLimits", "give PipelineLimits(wall_ms=...)"
            )
        _refuse_idle(f"{where}.limits", limits, labels=applicants is not None)
        given = values["embedder_scale"]
        scale = coerce.number(f"{where}.embedder_scale", given, "give 1.0 or more")
        if scale <= 0:
            raise SpecError(
                f"{where}.embedder_scale", f"{scale!r} is not a scale", "give 1.0 or more"
            )
        align = coerce.switch(f"{where}.align", values["align"], optional=False)
        if align:
            _check_align(where, stages, task.keypoints)
        policies = (None, "fail", "warn", "xfail")
        inconclusive = values["inconclusive"]
        inconclusive = coerce.choice(f"{where}.inconclusive", inconclusive, policies)
        return cls(
            process=process,
            images=images,
            applicants=applicants,
            stages=stages,
            face=str.__str__(face),
            align=bool(align),
            limits=limits,
            threads=_between(f"{where}.threads", values["threads"], 1, _MOST_THREADS),
            runs=_between(f"{where}.runs", values["runs"], LEAST_RUNS, _MOST_RUNS),
            inconclusive=inconclusive,
        )


def _data(values: Mapping[str, Any], where: str) -> tuple[StrPath | None, StrPath | None]:
    """The images or the applicants: one of the two."""
    given = {
        name: coerce.path(f"{where}.{name}", values[name])
        for name in ("images", "applicants")
        if values.get(name) is not None
    }
    if not given:
        raise SpecError(
            f"{where}.applicants",
            "is missing",
            'write applicants = "data/applicants.csv" or, without labels, images = "data/scenes"',
        )
    if len(given) > 1:
        raise SpecError(
            f"{where}.images",
            "is given beside applicants, which have images of their own",
            "give one of the two",
        )
    return given.get("images"), given.get("applicants")


def _refuse_idle(where: str, limits: PipelineLimits, *, labels: bool) -> None:
    """Refuse a limit of what is not judged with this kind of data."""
    idle = _OF_IMAGES if labels else _OF_APPLICANTS
    for name in idle:
        if getattr(limits, name) != PipelineLimits.__dataclass_fields__[name].default:
            raise SpecError(
                where,
                f"set {name}, which is not judged "
                + ("where applicants are given" if labels else "without labels"),
                f"leave it out, or give {'images' if labels else 'applicants'} instead",
            )


def refuse_other_landmarks(where: str, number: int) -> None:
    """Refuse to align by another number of landmarks than five.

    Args:
        where: the attribute that asks for alignment.
        number: number of keypoints that the detector's gates read.

    Raises:
        SpecError: there are not five.
    """
    if number != LANDMARKS:
        given = f"{number} keypoints" if number else "no keypoints"
        raise SpecError(
            where,
            f"needs the five landmarks of a face, but the detector's gates read {given}",
            "gate a detector with landmarks, such as SCRFD, RetinaFace or YuNet, or leave align "
            "out, which crops",
        )


def _check_align(where: str, stages: tuple[StageSpec, ...], keypoints: int | None) -> None:
    """Refuse alignment that has no effect, or that the gate files show to be impossible."""
    if stages[-1].name != "embedder":
        raise SpecError(
            f"{where}.align", "has no effect, because nothing is embedded", "leave it out"
        )
    if keypoints is not None:  # else FP32's outputs say how many there are
        refuse_other_landmarks(f"{where}.align", keypoints)


def _between(where: str, value: Any, least: int, most: int) -> int:
    remedy = f"give a whole number from {least} to {most:,}"
    plain = coerce.whole(where, value, remedy)
    if not least <= plain <= most:
        size = "small" if plain < least else "large"
        raise SpecError(where, f"{coerce.shown(plain)} is too {size}", remedy)
    return plain
