"""What the bench asks of a kind of model; faces, liveness and detection each answer it.

A task knows its data, how to read the outputs of a model, where the threshold comes from and how to
hold a variant against FP32; the `Comparison` that this gives answers what the gates ask. A task
knows nothing of quantization, caches or pytest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data.calibration import load_calibration
from ..data.groups import Group, GroupTable, load_groups
from ..data.images import ImageSet, preprocess
from ..data.leakage import OfSubjects, check_disjoint
from ..data.pixel_cache import HeldPixels
from ..data.sampling import evenly
from ..errors import ModelError, SpecError
from ..spec.limits import Limits
from ..spec.model import KycModel, Preprocess
from ..spec.tasks import StrPath
from .comparison import Comparison
from .outputs import Outputs, Tensor

Resolve = Callable[[StrPath, str], Path]
Truth = TypeVar("Truth")
Held = TypeVar("Held", bound=Comparison)


@dataclass(frozen=True)
class Part(Generic[Truth]):
    """Images of one role and what is true about them.

    Args:
        images: the images.
        truth: labels, in the task's own form.
        digest: changes whenever images or labels do.
        size: how much of what counts there is, in words, such as "300 identities".
        groups: of people or images, each judged for itself, too; empty if nobody says what is in
            which.
        whole: False for a few images of a part, among which what is rare may be missing.
    """

    images: ImageSet
    truth: Truth
    digest: str
    size: str
    groups: tuple[Group, ...] = ()
    whole: bool = True


@dataclass(frozen=True)
class TaskData(Generic[Truth]):
    """The data of one gate, with the promises between its parts checked.

    Args:
        evaluation: on which the verdict is given.
        selection: other subjects, for the operating point and for searching; None if the
            threshold is given and no selection split was asked for.
        calibration: images for static quantization; None if the gate file names none.
        digests: plain values that change whenever evaluation or selection would.
        note: a caveat for the report, or "".
        groups: digest of who is in which group. It bears on what a search finds; neither the
            threshold nor the rates of a golden depend on it.
    """

    evaluation: Part[Truth]
    selection: Part[Truth] | None
    calibration: ImageSet | None
    digests: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    groups: str | None = None


class Task(ABC, Generic[Truth, Held]):
    """One kind of model.

    `Truth` is what labels say about a part of the data. `Held` is the task's class of `Comparison`,
    which holds a variant against FP32 and answers what the gates ask.

    Args:
        model: what the gate file says; its `task` is of the class that this one implements. It may
            have several files; a `member` is the place of one among them.
        limits: of the gates, of the class that belongs to that task.
        resolve: turns a path of the gate file (and the attribute that names it) into a real one.
    """

    has_threshold: ClassVar[bool] = True  # to choose on FP32 and to freeze

    def __init__(self, model: KycModel, limits: Limits, resolve: Resolve) -> None:
        self.model = model
        self.resolve = resolve
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
        """Read the calibration images, which none of the others (with their roles) may hold."""
        if self.model.calibration is None:
            return None
        images = load_calibration(self.resolve(self.model.calibration, "KycModel.calibration"))
        for other, role in others:
            check_disjoint(images, "calibration", other, role)
        return images

    def load_groups(self, *parts: OfSubjects) -> GroupTable | None:
        """Read who of the people of all parts belongs to which group; None if nobody says."""
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
        """How images become the input of the first file, of most models the only one."""
        return self.model.preprocesses[0]

    def seen(self, images: ImageSet, member: int) -> ImageSet:
        """What a file of the model sees of the images."""
        return images

    def tensors(self, images: ImageSet, member: int = 0) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, input tensor of a file of the model) of each image, one at a time."""
        images, spec = self.seen(images, member), self.model.preprocesses[member]
        for index, name in enumerate(images.names):
            yield name, preprocess(self._pixels.pixels(images, index), spec, images.where(index))

    def edge_inputs(self, member: int = 0) -> Iterator[tuple[str, Tensor]]:
        """Inputs at the edge of what a camera gives: black, white and (seeded) noise."""
        spec = self.model.preprocesses[member]
        noise = np.random.default_rng(0).integers(0, 256, (*spec.size, 3), dtype=np.uint8)
        yield "black", preprocess(np.zeros_like(noise), spec, "black")
        yield "white", preprocess(np.full_like(noise, 255), spec, "white")
        yield "noise", preprocess(noise, spec, "noise")

    # A few images for a first look

    def sample(self, part: Part[Truth], most: int) -> Part[Truth]:
        """At most so many images of a part, evenly spread over its subjects."""
        indices = evenly(self.spread(part.truth), most)
        images, size = part.images.subset(indices), f"{len(indices):,} images, of {part.size}"
        return Part(images, self.restricted(part.truth, indices), images.digest, size, whole=False)

    @abstractmethod
    def spread(self, truth: Truth) -> NDArray[np.int64]:
        """What a sample is spread over: number of the subject of each image, (N,)."""

    @abstractmethod
    def restricted(self, truth: Truth, indices: NDArray[np.int64]) -> Truth:
        """The labels of some images, in the order of `Part.images.subset`."""

    # Outputs

    @abstractmethod
    def choose_outputs(
        self, names: tuple[str, ...], where: Path, member: int = 0
    ) -> tuple[str, ...]:
        """Decide which outputs of a file of the model are read.

        Args:
            names: of its outputs.
            where: the file.
            member: its place among the files.

        Raises:
            ModelError: the file has not the outputs that the task needs.
        """

    @abstractmethod
    def read(self, outputs: list[NDArray[Any]]) -> Tensor:
        """Turn the chosen outputs for one image into its rows (n, K), float32.

        Args:
            outputs: in the order of `choose_outputs`.

        Raises:
            ModelError: type or shape do not fit the task.
        """

    def fuse(self, outputs: Sequence[Outputs]) -> Outputs:
        """Make one of what the files of the model gave for the same images.

        Raises:
            ModelError: they do not fit each other.
        """
        (only,) = outputs
        return only

    def reading(self) -> Mapping[str, Any]:
        """Plain values, beside the preprocessing, that determine what `read` makes of outputs."""
        return {}

    # Judgement

    @property
    def given_threshold(self) -> float | None:
        """The production threshold of the gate file, if there is one."""
        return None

    def choose_threshold(self, fp32: Outputs, selection: Part[Truth]) -> tuple[float, str]:
        """Choose the threshold on FP32, and say in words by what rule; if `has_threshold`.

        Raises:
            DataError: the selection split is too small for any.
            SpecError: the task has no threshold.
        """
        raise SpecError(self.name, "has no threshold to choose", "report this as a bug")

    def policy(self) -> Mapping[str, Any]:
        """Plain values that determine the threshold, for the golden."""
        return {"given threshold": self.given_threshold}

    @abstractmethod
    def baseline(self, part: Part[Truth], fp32: Outputs, threshold: Any) -> Held:
        """Hold FP32 against itself, at the frozen threshold (float; None without one)."""

    @abstractmethod
    def compare(self, baseline: Held, variant: Outputs) -> Held:
        """Hold a variant against FP32."""

    @abstractmethod
    def harm(self, fp32: Outputs, variant: Outputs) -> float:
        """How far a variant is from FP32 on a few images; 0.0 if it is the same."""


def only_output(
    names: tuple[str, ...], asked: str | None, what: str, attribute: str, where: Path
) -> str:
    """Decide which output is `what`: the one asked for, or the only one.

    Raises:
        ModelError: there is no such output, or there are several and none was asked for.
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
