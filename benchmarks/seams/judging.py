"""Judges a pipeline with a fault beside FP32's, by the code of the gates."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

import pytest_kycquant
from benchmarks.faults.judging import FaultJudge, Verdicts
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.data.applicant_files import load_applicants
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.pipeline.agreement import Agreement
from pytest_kycquant.pipeline.decisions import Decisions
from pytest_kycquant.pipeline.evidence import copied
from pytest_kycquant.pipeline.models import Memory, Stage
from pytest_kycquant.pipeline.record import judge_complete, judge_finite
from pytest_kycquant.pipeline.seen import Seen
from pytest_kycquant.pipeline.transactions import Thresholds, Transactions
from pytest_kycquant.pipeline.watch import documents, selfies
from pytest_kycquant.plugin.pipeline_gates import PipelineGates, pipeline_spec_of
from pytest_kycquant.tasks.face.measures import measure_of

from .altered import AlteredPipeline, AlteredWatch, Fault, Shown

if TYPE_CHECKING:
    from pytest_kycquant import Recipe
    from pytest_kycquant.bench.workspace import Workspace
    from pytest_kycquant.pipeline.models import Pixels
    from pytest_kycquant.pipeline.stages import Photo, Stages
    from pytest_kycquant.results import GateResult
    from pytest_kycquant.spec.tasks import FaceVerification


@dataclass(frozen=True)
class Judged:
    """What the gates say about a pipeline with a fault.

    Args:
        applicants: the gates about applicants.
        images: those that need no labels, on the attempts of customers.
        changed: the number of images and of applicants' attempts whose answer or decision differs
            from FP32's.
        newly: wrong decisions that FP32 does not make: number of customers turned away, impostors
            let in and attacks let in.
    """

    applicants: Verdicts
    images: Verdicts
    changed: int
    newly: tuple[int, int, int]


class Subject:
    """A pipeline of applicants, ready to be judged with faults.

    Args:
        cls: its gate class.
        workspace: where the gates of its stages keep their goldens and artefacts.
        folder: where to keep quantized models.
        applicants: other applicants than those of the gate class, if they are not enough.
    """

    def __init__(
        self,
        cls: type[PipelineGates],
        workspace: Workspace,
        folder: Path,
        applicants: Path | None = None,
    ) -> None:
        self.spec = pipeline_spec_of(cls)
        self.gates = cls()
        self._workspace = workspace
        self._folder = folder
        self._memory = Memory()
        self.judges = {
            stage.name: FaultJudge(workspace, stage.gate.model, stage.gate_file, stage.gate.limits)
            for stage in self.spec.stages
        }
        given = applicants or self.spec.applicants
        assert given is not None
        read = load_applicants(workspace.resolve(given, "applicants", self.spec.process.gate_file))
        self.applicants = replace(
            read, documents=Held.of(read.documents), selfies=Held.of(read.selfies)
        )
        self._owner = dict(zip(read.selfies.names, read.people.tolist(), strict=True))
        self._fp32: dict[str, dict[str, Seen]] = {}

    # -- for faults ------------------------------------------------------------------------------

    def on_selfies(self, change: Shown) -> Shown:
        """A change of what a stage is shown, on selfies only."""

        def shown(stages: Stages, pixels: Pixels, photo: Photo) -> Pixels:
            return change(stages, pixels, photo) if photo.name in self._owner else pixels

        return shown

    def document_face(self, stages: Stages, pixels: Pixels, photo: Photo) -> Pixels:
        """The face on the document of the person who shows a selfie, instead of the selfie."""
        document = self.applicants.documents.pixels(self._owner[photo.name])
        found = self.gates.face_in(stages, document)
        if found is None:
            return pixels
        return stages.crop(document, found.box, self.gates.embedder_scale)

    # -- verdicts --------------------------------------------------------------------------------

    def judged(self, fault: Fault) -> Judged:
        """Judge a pipeline with a fault.

        Raises:
            QuantizationError: a recipe cannot be applied to a model.
        """
        values = self.thresholds
        thresholds = fault.thresholds(values) if fault.thresholds else values
        before = self._seen_by(Fault("FP32"), thresholds)
        after = self._seen_by(fault, thresholds)
        frozen = self._frozen(thresholds)
        fp32, shipped = (self._transactions(seen, frozen) for seen in (before, after))
        decisions = Decisions(fp32, shipped, self.spec.limits)
        broken = {**after["documents"].broken, **after["selfies"].broken}
        number = len(self.applicants.documents) + len(self.applicants.selfies)
        gates = {"complete": judge_finite(number, broken, copied(shipped)), **decisions.gates()}
        right = self._transactions(self._seen_by(Fault("FP32"), values), self._frozen(values))
        return Judged(
            Verdicts(gates),
            Verdicts(self._without_labels(before, after, frozen)),
            self._changed(before, after) + int(np.count_nonzero(shipped.reasons != right.reasons)),
            _newly(right, shipped),
        )

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """The frozen threshold of each stage."""
        found = {name: judge.require_golden().threshold for name, judge in self.judges.items()}
        return cast("dict[str, float]", found)

    def stage(self, name: str, recipe: Recipe | None = None) -> Stage:
        """One stage, in FP32 or as the front door quantizes it.

        Raises:
            QuantizationError: the recipe cannot be applied to its model.
        """
        variants = self.judges[name].variants
        fp32 = variants.fp32
        found = Stage(
            variants.model,
            "fp32",
            fp32.paths,
            self.thresholds[name],
            fp32.size,
            fp32.runtime,
            tuple(file.sha256 for file in fp32.files),
            variants.learned(),
            tuple(source.feeding for source in variants.sources),
            tuple(file.interface for file in fp32.files),
            variants.input_facts(),
        )
        if recipe is None:
            return found
        try:
            path = self._quantized(name, recipe)
        except QuantizationError:
            if recipe.precision != "fp32-optimized":
                raise
            return found  # no rewrite is faster: FP32 stays as it is
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        return replace(
            found, variant=recipe.name, paths=(path,), size=size, digests=(digest,), interfaces=()
        )

    def _quantized(self, name: str, recipe: Recipe) -> Path:
        variants = self.judges[name].variants
        model = variants.model
        key = digest_of([variants.fp32.sha256, repr(recipe), _quantizing_code()])[:16]
        path = self._folder / f"{model.name}.{recipe.name}.{key}.onnx"
        if not path.exists():
            assert model.calibration is not None
            where = next(s.gate_file for s in self.spec.stages if s.name == name)
            images = self._workspace.resolve(model.calibration, "calibration", where)
            self._folder.mkdir(parents=True, exist_ok=True)
            pytest_kycquant.quantize(
                variants.fp32.paths[0],
                images,
                recipe,
                output=path,
                preprocess=model.preprocesses[0],
            )
        return path

    # -- what pipelines make of the images -------------------------------------------------------

    def _seen_by(self, fault: Fault, thresholds: Mapping[str, float]) -> dict[str, Seen]:
        key = repr(sorted(thresholds.items())) if fault == Fault("FP32") else ""
        if key in self._fp32:
            return self._fp32[key]
        stages = {name: self.stage(name, fault.recipes.get(name)) for name in self.judges}
        pipeline = AlteredPipeline("shipped", stages, fault.threads)
        views = {
            "documents": documents(self.applicants.documents, self.gates.document),
            "selfies": selfies(self.applicants.selfies, self.gates.selfie),
        }
        watch = AlteredWatch(
            self._workspace.context, views, fault, self._memory, thresholds["detector"]
        )
        found = watch.seen(pipeline)
        if key:
            self._fp32[key] = found
        return found

    def _transactions(self, seen: Mapping[str, Seen], thresholds: Thresholds) -> Transactions:
        return Transactions(self.applicants, seen["documents"], seen["selfies"], thresholds)

    def _frozen(self, values: Mapping[str, float]) -> Thresholds:
        task = cast("FaceVerification", self.judges["embedder"].variants.model.task)
        return Thresholds(values["embedder"], values.get("liveness"), measure_of(task))

    def _without_labels(
        self, before: Mapping[str, Seen], after: Mapping[str, Seen], thresholds: Thresholds
    ) -> dict[str, GateResult]:
        """As `OfImages.gates`, on the attempts of customers."""
        fp32, shipped = self._attempts(before), self._attempts(after)
        selfies = self.applicants.selfies.names
        names = tuple(selfies[index] for index in self.applicants.bona_fide)
        agreement = Agreement(names, fp32, shipped, thresholds, self.spec.limits)
        reached = [name for name in names if name not in fp32.skipped]
        lost = {name: shipped.skipped[name] for name in reached if name in shipped.skipped}
        broken = {name: shipped.broken[name] for name in reached if name in shipped.broken}
        complete = judge_complete(len(reached), lost, broken)
        return {"complete": complete, "agreement": agreement.gate()}

    def _attempts(self, seen: Mapping[str, Seen]) -> Seen:
        """What a function `process` would give that calls `selfie` and then `document`."""
        chosen = self.applicants.bona_fide
        owner = self.applicants.people[chosen]
        names = {side: getattr(self.applicants, side).names for side in ("selfies", "documents")}
        theirs, own = seen["documents"], seen["selfies"]
        skipped, broken = {}, {}
        for index, person in zip(chosen.tolist(), owner.tolist(), strict=True):
            name, document = names["selfies"][index], names["documents"][person]
            if not own.found[index]:
                skipped[name] = "liveness"
            where = [own.broken.get(name, ""), theirs.broken.get(document, "")]
            if any(where):
                broken[name] = ", ".join(filter(None, where))
        return Seen(
            np.stack([own.embeddings[chosen], theirs.embeddings[owner]], axis=1),
            own.found[chosen],
            own.scores[chosen],
            broken,
            skipped,
        )

    @staticmethod
    def _changed(before: Mapping[str, Seen], after: Mapping[str, Seen]) -> int:
        """The number of documents and selfies about which pipelines give different answers."""
        number = 0
        for view in ("documents", "selfies"):
            one, other = before[view], after[view]
            same = one.found == other.found
            same &= (one.scores == other.scores) | (np.isnan(one.scores) & np.isnan(other.scores))
            equal = (one.embeddings == other.embeddings) | (
                np.isnan(one.embeddings) & np.isnan(other.embeddings)
            )
            number += int(np.count_nonzero(~(same & equal.all(axis=1))))
        return number


def _newly(fp32: Transactions, shipped: Transactions) -> tuple[int, int, int]:
    kinds = range(len(fp32.applicants.species_names))
    return (
        len(np.setdiff1d(shipped.rejected(), fp32.rejected())),
        len(np.setdiff1d(shipped.impostors.accepted, fp32.impostors.accepted)),
        sum(len(np.setdiff1d(shipped.attacks(kind), fp32.attacks(kind))) for kind in kinds),
    )


class Held(ImageSet):
    """Images that are decoded once in a process: a bank looks at each of them a hundred times."""

    @classmethod
    def of(cls, images: ImageSet) -> Held:
        """The same images."""
        return cls(images.origin, images.names, images._source)

    def pixels(self, index: int) -> Pixels:
        return _decoded(self, index)


@functools.cache
def _decoded(images: Held, index: int) -> Pixels:
    return ImageSet.pixels(images, index)


@functools.cache
def _quantizing_code() -> str:
    """Digest of the code that quantizes."""
    root = Path(pytest_kycquant.__file__).parent / "quantize"
    return digest_of([file.read_text(encoding="utf-8") for file in sorted(root.glob("*.py"))])
