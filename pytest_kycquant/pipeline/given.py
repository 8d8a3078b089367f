"""What a gate file gives a pipeline to be judged on, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..context.cache import digest_of
from ..context.function_digest import function_digest
from ..data.alignment import template
from ..data.applicant_files import load_applicants
from ..data.applicants import check_attacks, check_strangers
from ..data.facts_store import remembering
from ..data.leakage import check_disjoint
from ..data.unlabelled import load_images
from ..errors import SpecError
from ..spec.pipeline import refuse_other_landmarks
from ..tasks.face.measures import measure_of
from .evidence import Evidence, OfApplicants
from .of_images import OfImages
from .transactions import Thresholds

if TYPE_CHECKING:
    from ..bench.run import Run
    from ..data.applicants import ApplicantSet
    from ..data.images import ImageSet
    from ..spec.pipeline import PipelineSpec
    from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
    from .choices import Cleared

_NO_MATCH = 0.0  # of a pipeline that compares nothing


def check_align(run: Run, spec: PipelineSpec) -> None:
    """Refuse alignment before any variant is made, once FP32's outputs tell what they hold.

    Raises:
        KycquantError: the detector gives no five landmarks, or there is no template for the
            embedder's input.
    """
    where = f"{spec.process.name}.align"
    by_name = {stage.name: stage for stage in spec.stages}
    template(by_name["embedder"].gate.model.preprocesses[0].size, where)
    detector = by_name["detector"]
    told = cast("ObjectDetection", detector.gate.model.task).keypoints
    if told is None:
        learned = run.judge_of(detector).variants.learned()
        told = learned.get("keypoints", 0)
    refuse_other_landmarks(where, told)


def applicants_of(run: Run, spec: PipelineSpec, gate: str) -> ApplicantSet | None:
    """Read the applicants; None if there are images instead.

    Raises:
        DataError: they cannot be used.
    """
    if spec.applicants is None:
        return None
    space = run.workspace
    path = space.resolve(spec.applicants, f"{gate} applicants", spec.process.gate_file)
    with space.context.stage("pipeline: reading applicants"):
        applicants = load_applicants(path, remembering(space.context.store.load))
    tasks = [stage.gate.model.task for stage in spec.stages if stage.name == "liveness"]
    single = bool(tasks) and cast("LivenessDetection", tasks[0]).single_species
    check_attacks(applicants, asks=bool(tasks), single_species=single)
    return applicants


def evidence_of(
    run: Run,
    spec: PipelineSpec,
    gates: Any,
    gate: str,
    found: Cleared,
    applicants: ApplicantSet | None,
) -> Evidence:
    """Read the data of a pipeline.

    Raises:
        DataError: it cannot be used.
    """
    space = run.workspace
    file, context = spec.process.gate_file, space.context
    digest = _digest(spec, gates)
    stages = found.fp32
    match = stages["embedder"].stage if "embedder" in stages else None
    thresholds = Thresholds(
        _NO_MATCH if match is None else match.threshold,
        stages["liveness"].stage.threshold if "liveness" in stages else None,
        measure_of(cast("FaceVerification", match.model.task)) if match else None,
    )
    if applicants is None:
        assert spec.images is not None  # one of the two is given
        images = load_images(space.resolve(spec.images, f"{gate} images", file))
        return OfImages(context, images, gates.process, digest, thresholds, spec.limits)
    for stage in spec.stages:
        data = run.judge_of(stage).variants.data
        used: dict[str, ImageSet | None] = {"calibration": data.calibration}
        if data.selection is not None:
            used["selection"] = data.selection.images
            check_strangers(applicants, data.selection.people, f"selection of the {stage.name}")
        for role, theirs in used.items():
            for mine in (applicants.documents, applicants.selfies):
                if theirs is not None:
                    check_disjoint(mine, "applicants", theirs, f"{role} of the {stage.name}")
    methods = gates.document, gates.selfie
    return OfApplicants(context, applicants, *methods, digest, thresholds, spec.limits)


def _digest(spec: PipelineSpec, gates: Any) -> str | None:
    """A digest of the functions that process images; None if it cannot be taken."""
    try:
        return digest_of([function_digest(getattr(gates, name), name) for name in spec.methods])
    except SpecError:
        return None  # then nothing is kept from run to run
