"""The interface between the bench and a kind of model: faces, liveness, detection or custom.

A task knows its data, how to read the outputs of a model, where the threshold comes from and how to
compare a variant with FP32. The resulting `Comparison` answers the questions of the gates. A task
knows nothing about quantization, caches or pytest.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data.calibration import load_calibration
from ..data.facts_store import Prepare, directly
from ..data.groups import Group, GroupTable, load_groups
from ..data.images import ImageSet, preprocess
from ..data.leakage import OfSubjects, check_disjoint
from ..data.own_preprocessing import check_repeats
from ..data.pixel_cache import HeldPixels
from ..data.sampling import evenly
from ..data.unlabelled import load_images
from ..errors import ModelError, SpecError
from ..runtimes.feeding import Sample
from ..spec.limits import Limits
from ..spec.model import KycModel, Preprocess
from ..spec.task import StrPath
from ..statistics import Rate
from .comparison import Comparison
from .outputs import Outputs, Tensor
from .prospects import Trials
from .quality import Quality

Resolve = Callable[[StrPath, str], Path]
Truth = TypeVar("Truth")
Held = TypeVar("Held", bound=Comparison)


@dataclass(frozen=True)
class Part(Generic[Truth]):
    """Images of one role and their labels.

    Args:
        images: the images.
        truth: the labels, in the task's own form.
        digest: a value that changes whenever the images or the labels do.
        size: the amount of data in words, such as "300 identities".
        groups: the groups of people or images, each of which is also judged on its own; empty if
            the gate file names no table of groups.
        whole: False for a sample of a part, which may lack rare labels.
        people: the name of the person on each image; empty if nobody is known.
    """

    images: ImageSet
    truth: Truth
    digest: str
    size: str
    groups: tuple[Group, ...] = ()
    whole: bool = True
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskData(Generic[Truth]):
    """The data of one gate, whose parts are known to be disjoint.

    Args:
        evaluation: the images on which the verdict is based.
        selection: other subjects, for choosing the threshold and for searching; None if the gate
            file names none.
        calibration: the images for static quantization; None if the gate file names none.
        digests: plain values that change whenever the evaluation or selection data does.
        note: a caveat for the report, or "".
        choosing: the images on which the threshold is chosen: `selection`, or all evaluation
            images; None if the threshold is given, or if there is none.
        searched: a function that chooses the evaluation images of the people on whom a fallback
            is searched if there is no `selection`; (N,) bool. It is confirmed on the others. It
            raises DataError if one side would not be enough to judge anything.
        groups: a digest of the table of groups. The result of a search depends on it; the
            threshold and the rates of a golden do not.
    """

    evaluation: Part[Truth]
    selection: Part[Truth] | None
    calibration: ImageSet | None
    digests: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    groups: str | None = None
    choosing: Part[Truth] | None = None
    searched: Callable[[], NDArray[np.bool_]] | None = None


class Task(ABC, Generic[Truth, Held]):
    """One kind of model.

    `Truth` is the type of the labels of a part of the data. `Held` is the task's class of
    `Comparison`, which compares a variant with FP32. `prepare` provides the images that are loaded
    with their `facts`; a run replaces it by a function that remembers them.

    Args:
        model: the model of the gate file; this class implements the class of its `task`. The model
            may have several files; a `member` is the index of one of them.
        limits: the limits of the gates, of the class that belongs to the task.
        resolve: a function that turns a path of the gate file, and the attribute that names it,
            into an existing path.
    """

    has_threshold: ClassVar[bool] = True  # chosen on FP32 and frozen
    drifts_at_threshold: ClassVar[bool] = False  # whether outputs are compared at the threshold
    looks: ClassVar[bool] = False  # whether FP32's outputs tell how all outputs are read

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        self.model = model
        self.resolve = resolve
        self.prepare: Prepare = directly
        self._pixels = HeldPixels()

    @property
    def name(self) -> str:
        """The class that the gate file names."""
        return type(self.model.task).__name__

    # Data

    @abstractmethod
    def load(self) -> TaskData[Truth]:
        """Read the data and check that its parts are disjoint.

        Raises:
            DataError: images or labels cannot be used.
            LeakageError: calibration, selection and evaluation overlap.
        """

    def load_calibration(self, *others: tuple[ImageSet, str]) -> ImageSet | None:
        """Read the calibration images; none may be among the others, given with their roles."""
        if self.model.calibration is None:
            return None
        path = self.resolve(self.model.calibration, "KycModel.calibration")
        images = load_calibration(path, self.prepare, self.images_at)
        for other, role in others:
            check_disjoint(images, "calibration", other, role)
        return images

    def images_at(self, path: Path, wanted: str = "JPEG or PNG images") -> ImageSet:
        """Read images without labels; see `data.unlabelled.load_images`."""
        return load_images(path, wanted)

    def load_groups(self, *parts: OfSubjects) -> GroupTable | None:
        """Read the groups of the people of all parts; None if the gate file names no table."""
        if self.groups_path is None:
            return None
        table = load_groups(self.groups_path)
        table.check_people(*parts)
        return table

    @property
    def groups_path(self) -> Path | None:
        """The table of groups, if the gate file names one."""
        given = self.model.task.groups
        return None if given is None else self.resolve(given, f"{self.name}.groups")

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing for the first file, which is the only file of most models."""
        return self.model.preprocesses[0]

    @property
    def suspect(self) -> str:
        """What else than the preprocessing decides what the model sees, for messages, or ""."""
        return ""

    def suspects(self, images: ImageSet, rates: Mapping[str, Rate]) -> str:
        """What to check besides the preprocessing if FP32 is useless, for messages, or "".

        Args:
            images: the images.
            rates: the error rates of FP32 on them, by name, as far as they are known.
        """
        return self.suspect

    def prepared_by(self, preprocesses: tuple[Preprocess, ...]) -> Self:
        """The same task for images that are prepared otherwise, with one spec for each file."""
        other = copy.copy(self)
        other.model = replace(self.model, preprocess=preprocesses)
        other._pixels = HeldPixels()
        return other

    def seen(self, images: ImageSet, member: int) -> ImageSet:
        """The part of each image that a file of the model sees."""
        return images

    def shape(self, member: int = 0) -> tuple[int, ...] | Mapping[str, tuple[int, ...]]:
        """Shape of what a file of the model is given of one image, or shapes by input."""
        return self.model.preprocesses[member].shape

    def tensors(self, images: ImageSet, member: int = 0) -> Iterator[tuple[str, Sample]]:
        """Yield (name, input tensor) of each image for a file of the model, one at a time."""
        images, spec = self.seen(images, member), self.model.preprocesses[member]
        for index, name in enumerate(images.names):
            pixels, where = self._pixels.pixels(images, index), images.where(index)
            if not index:
                check_repeats(pixels, spec, where)
            yield name, preprocess(pixels, spec, where)

    def edge_inputs(self, member: int = 0) -> Iterator[tuple[str, Sample]]:
        """Extreme inputs that a camera could give: black, white and (seeded) noise."""
        spec = self.model.preprocesses[member]
        noise = np.random.default_rng(0).integers(0, 256, (*spec.size, 3), dtype=np.uint8)
        yield "black", preprocess(np.zeros_like(noise), spec, "black")
        yield "white", preprocess(np.full_like(noise, 255), spec, "white")
        yield "noise", preprocess(noise, spec, "noise")

    # A few images for a first look

    def sample(self, part: Part[Truth], most: int) -> Part[Truth]:
        """At most `most` images of a part, evenly spread over its subjects."""
        indices = evenly(self.spread(part.truth), most)
        images, size = part.images.subset(indices), f"{len(indices):,} images, of {part.size}"
        return Part(images, self.restricted(part.truth, indices), images.digest, size, whole=False)

    def members(self, part: Part[Truth], chosen: NDArray[np.bool_], role: str) -> Part[Truth]:
        """The images of some people of a part, with all of their labels and groups.

        Args:
            part: the part.
            chosen: whether each of its images is chosen, all of a person or none; (N,) bool.
            role: what they are for, for messages.
        """
        (indices,) = np.nonzero(chosen)
        return Part(
            part.images.subset(indices),
            self.restricted(part.truth, indices),
            part.images.subset(indices).digest,
            f"{len(indices):,} images for the {role}, of {part.size}",
            tuple(replace(group, members=group.members[chosen]) for group in part.groups),
            people=tuple(compress(part.people, chosen)),
        )

    @abstractmethod
    def spread(self, truth: Truth) -> NDArray[np.int64]:
        """The subject of each image, over which a sample is spread; shape (N,)."""

    def people(self, truth: Truth) -> NDArray[np.int64]:
        """The person on each image, or a number of its own where that is unknown; shape (N,)."""
        return self.spread(truth)

    @abstractmethod
    def restricted(self, truth: Truth, indices: NDArray[np.int64]) -> Truth:
        """The labels of some images, in the order of `Part.images.subset`."""

    def prospects(self, data: TaskData[Truth]) -> Iterator[Trials]:
        """The trials of the rates that will be judged, as far as they are known beforehand."""
        return iter(())

    # Outputs

    @abstractmethod
    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """Decide which outputs of a file of the model are read.

        Args:
            names: the names of the outputs of the file.
            where: the path of the file.
            member: the index of the file among those of the model.

        Raises:
            ModelError: the file lacks an output that the task needs.
        """

    @abstractmethod
    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """Turn the chosen outputs for one image into its rows (n, K), float32.

        Args:
            outputs: the outputs, in the order of `choose_outputs`.

        Raises:
            ModelError: a type or a shape does not fit the task.
        """

    def fuse(self, outputs: Sequence[Outputs]) -> Outputs:
        """Combine the outputs of the files of the model for the same images.

        Raises:
            ModelError: the outputs do not fit each other.
        """
        (only,) = outputs
        return only

    def reading(self) -> Mapping[str, Any]:
        """Plain values, in addition to the preprocessing, that determine the result of `read`."""
        return {}

    def look(self, samples: Sequence[list[NDArray[Any]]]) -> Mapping[str, Any]:
        """Find out from FP32 how the outputs of all variants are read, if the task `looks`.

        Args:
            samples: the chosen outputs of FP32 for each of a few images.

        Returns:
            Plain values for `adopt`, in this process or another.

        Raises:
            ModelError: they cannot be read, or in more than one way.
        """
        return {}

    def adopt(self, learned: Mapping[str, Any]) -> None:
        """Read outputs as `look` found out from now on."""

    @property
    def reading_note(self) -> str:
        """How outputs are read, in words for the report, or ""."""
        return ""

    # Judgement

    @property
    def given_threshold(self) -> float | None:
        """The production threshold of the gate file, or None."""
        return None

    @property
    def whose(self) -> str:
        """Which people choose the threshold, in words, for its source."""
        other = getattr(self.model.task, "selection", None) is not None
        return " of the selection split" if other else ""

    def choose_threshold(self, fp32: Outputs, choosing: Part[Truth]) -> tuple[float, str]:
        """Choose the threshold on FP32 and state the rule in words, if `has_threshold`.

        Args:
            fp32: the outputs of FP32 for the images of `choosing`.
            choosing: the people who choose; perhaps those of the evaluation.

        Raises:
            DataError: the people are too few for any threshold.
            SpecError: the task has no threshold.
        """
        raise SpecError(self.name, "has no threshold to choose", "report this as a bug")

    def quality(self, part: Part[Truth], outputs: Outputs) -> Quality | None:
        """How well FP32 does its task; None if that cannot be told, as without labels."""
        return None

    def policy(self) -> Mapping[str, Any]:
        """Plain values that determine the threshold, for the golden."""
        return {"given threshold": self.given_threshold}

    @abstractmethod
    def baseline(self, part: Part[Truth], fp32: Outputs, threshold: Any) -> Held:
        """Compare FP32 with itself at the frozen threshold (float; None if there is none)."""

    @abstractmethod
    def compare(self, baseline: Held, variant: Outputs) -> Held:
        """Compare a variant with FP32."""

    @abstractmethod
    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """How far a variant is from FP32 on a few images; 0.0 if both are the same."""


def only_output(
    names: tuple[str, ...], asked: str | None, what: str, attribute: str, where: Path
) -> str:
    """Decide which output is `what`: the requested one, or the only one.

    Raises:
        ModelError: there is no such output, or there are several and none was requested.
    """
    if asked is not None:
        if asked not in names:
            raise ModelError(
                where, f"has no output {asked!r}", f"its outputs are {', '.join(names)}"
            )
        return asked
    if len(names) != 1:
        raise ModelError(
            where,
            f"has {len(names)} outputs ({', '.join(names)})",
            f"name the {what} in {attribute}",
        )
    return names[0]
