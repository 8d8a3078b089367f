"""Runs pipelines over images, each once, and keeps what they make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..context.code import room_digest
from ..data.files import listed
from ..errors import BaselineError, PipelineError
from .models import Memory, Pipeline
from .seen import Seen, read_seen, write_seen
from .stages import Photo, Stages, Trace

if TYPE_CHECKING:
    from ..context import Context
    from ..data.images import ImageSet

Method = Callable[[Stages, Photo], Any]
_EMBEDDING = "return what stages.embed gives, or None where there is no usable face"
_SAMPLED = 4  # images of each view whose remembered answers are compared with new ones


class One(NamedTuple):
    """What a pipeline makes of one image.

    Args:
        embeddings: its embeddings, each (D,); empty if there is none.
        found: see `Seen`.
        score: smallest probability of a live face.
        broken: stages that gave NaN or Inf.
        skipped: stages that were not called.
    """

    embeddings: tuple[NDArray[np.float32], ...]
    found: bool
    score: float
    broken: str
    skipped: str


Read = Callable[[Trace, str, Sequence[str]], One]


@dataclass(frozen=True)
class View:
    """Images of one kind, and the function of the gate class that processes them.

    Args:
        images: the images.
        method: the function.
        read: a function that turns a trace, the name of its image and the names of all stages
            into a result.
        flat: whether each image has one embedding.
    """

    images: ImageSet
    method: Method
    read: Read
    flat: bool = True

    @property
    def function(self) -> str:
        """Name of the function, for messages."""
        return _called(self.method)

    def subset(self, indices: NDArray[np.int64]) -> View:
        """Select images by index."""
        return replace(self, images=self.images.subset(indices))


def whole(images: ImageSet, method: Method) -> View:
    """Images on which every stage is called, and whose function returns nothing."""

    def read(trace: Trace, name: str, stages: Sequence[str]) -> One:
        skipped = listed([stage for stage in stages if stage not in trace.spent_ns])
        given = [each.astype(np.float32) for each in trace.answers.get("embedder", ())]
        broken = ", ".join(trace.broken)
        return One(tuple(given), not skipped, _smallest(trace), broken, skipped)

    return View(images, method, read, flat=False)


def documents(images: ImageSet, method: Method) -> View:
    """Documents, whose function returns an embedding or None."""
    return View(images, method, _returned(method, asks=False))


def selfies(images: ImageSet, method: Method) -> View:
    """Selfies, whose function returns an embedding or None, and asks whether they are live."""
    return View(images, method, _returned(method, asks=True))


# What each method of a gate class makes of images.
VIEWS: Mapping[str, Callable[[ImageSet, Method], View]] = {
    "process": whole,
    "document": documents,
    "selfie": selfies,
}


def look(
    stages: Stages,
    pipeline: Pipeline,
    views: Mapping[str, View],
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Seen]:
    """Run a pipeline over all images of the views, each once.

    Args:
        stages: its open stages.
        pipeline: the pipeline.
        views: the images by what they are.
        advance: is called after each image.

    Raises:
        KycquantError: see `Watch.seen`.
    """
    names = tuple(pipeline.stages)
    found: dict[str, list[One]] = {}
    for name, view in views.items():
        ones: dict[int, One] = {}
        for index in _shuffled(len(view.images)):
            photo = Photo(view.images, index)
            ones[index] = view.read(stages.trace(view.method, photo), photo.name, names)
            advance()
        found[name] = [ones[index] for index in range(len(view.images))]
    length = _length(views, found)
    return {name: _assembled(view, found[name], length) for name, view in views.items()}


class Watch:
    """Runs pipelines over images; what is known from earlier runs is read.

    Args:
        context: the context of the run.
        views: the images by what they are, such as "documents".
        digest: digest of the functions of the views and of all that they use; None if it is not
            known, so that nothing is kept from run to run.
    """

    def __init__(self, context: Context, views: Mapping[str, View], digest: str | None) -> None:
        self._context = context
        self._views = views
        self._digest = digest
        self._memory = Memory()
        self._known: dict[str, dict[str, Seen]] = {}

    def seen(self, pipeline: Pipeline) -> dict[str, Seen]:
        """What a pipeline makes of all images, by view.

        Raises:
            BaselineError: FP32 itself gives NaN or Inf.
            KycquantError: a stage refuses what it is given.
            PipelineError: a function of the gate class raises something, or does not return an
                embedding.
        """
        name = repr([(stage, pipeline.stages[stage].key()) for stage in pipeline.stages])
        if name not in self._known:
            self._known[name] = self._remembered(pipeline)
        found = self._known[name]
        if pipeline.is_fp32:
            _refuse_broken(found)
        return found

    def images(self, chosen: Mapping[str, Sequence[int]]) -> tuple[ImageSet, ...]:
        """Some images of each view, given their indices."""
        return tuple(self._views[name].images.subset(indices) for name, indices in chosen.items())

    def check_afresh(
        self, pipeline: Pipeline, chosen: Mapping[str, Sequence[int]], afresh: Sequence[Seen]
    ) -> None:
        """Compare answers with those of a process that has run nothing before.

        Args:
            pipeline: the pipeline that gave both.
            chosen: indices of the images, by view.
            afresh: the answers of the other process.

        Raises:
            PipelineError: they differ.
        """
        seen = self.seen(pipeline)
        for (name, indices), again in zip(chosen.items(), afresh, strict=True):
            view = self._views[name].subset(np.array(indices))
            names = view.images.names
            if other := seen[name].subset(np.array(indices), names).differs(again, names):
                raise PipelineError(
                    view.function,
                    f"answers otherwise in a new process for {len(other)} of {len(names)} images, "
                    f"such as {other[0]}: it keeps something between calls, perhaps an answer of "
                    "another pipeline, or depends on chance",
                    "let it depend on nothing but the stages and the photo",
                )

    def opened(self, pipeline: Pipeline, memory: Memory) -> Stages:
        """Open a pipeline; a subclass may return stages that answer differently."""
        return Stages(pipeline, memory=memory)

    def _remembered(self, pipeline: Pipeline) -> dict[str, Seen]:
        if self._digest is None:
            return self._look(pipeline, {})
        numbers = {name: len(view.images) for name, view in self._views.items()}

        def make(folder: Path) -> None:
            write_seen(folder, self._look(pipeline, {}))

        def check(found: dict[str, Seen]) -> str:
            # Chosen anew in each run: whoever wrote the cache cannot know which.
            rng = np.random.default_rng()
            some = {
                name: np.sort(rng.choice(number, min(_SAMPLED, number), replace=False))
                for name, number in numbers.items()
            }
            again = self._look(pipeline, some)
            for name, chosen in some.items():
                images = self._views[name].images
                names = tuple(images.names[index] for index in chosen)
                if other := found[name].subset(chosen, names).differs(again[name], names):
                    return (
                        f"holds answers about {name} that the {pipeline.label} pipeline does "
                        f"not give now, such as {other[0]}; if nobody else wrote it, "
                        f"{self._views[name].function} reads a file that has changed, keeps "
                        "something between images, or depends on chance"
                    )
            return ""

        key: list[Any] = [room_digest("pipeline"), self._digest, pipeline.exact, pipeline.threads]
        # Answers are kept in the order of the images, of which the digest does not depend.
        key += [
            [name, view.images.digest, list(view.images.names)]
            for name, view in self._views.items()
        ]
        key += [[name, stage.key()] for name, stage in pipeline.stages.items()]
        store = self._context.store
        return store.load("pipeline", key, make, lambda folder: read_seen(folder, numbers), check)

    def _look(self, pipeline: Pipeline, some: Mapping[str, NDArray[np.int64]]) -> dict[str, Seen]:
        """Run the images, or some of each view, given by their indices."""
        stages = self.opened(pipeline, self._memory)
        views = {
            name: view.subset(some[name]) if name in some else view
            for name, view in self._views.items()
        }
        number = sum(len(view.images) for view in views.values())
        title = f"pipeline: running {pipeline.label}"
        with self._context.stage(title, number) as advance:
            return look(stages, pipeline, views, advance)


def _shuffled(number: int) -> Sequence[int]:
    """An order that is the same each time.

    Images are sorted by what they show, and a stage that answers for the image before would often
    be right.
    """
    found: list[int] = np.argsort(
        np.random.PCG64(number).random_raw(number), kind="stable"
    ).tolist()
    return found


def _length(views: Mapping[str, View], found: Mapping[str, Sequence[One]]) -> int:
    """Length of an embedding.

    Raises:
        PipelineError: they have different lengths.
    """
    lengths: dict[int, str] = {}
    for name, each in found.items():
        for image, one in zip(views[name].images.names, each, strict=True):
            for embedding in one.embeddings:
                lengths.setdefault(len(embedding), image)
    if len(lengths) > 1:
        (one_length, first), (other, second) = list(lengths.items())[:2]
        raise PipelineError(
            " and ".join(view.function for view in views.values()),
            f"give embeddings of different lengths: {one_length} for {first}, {other} for {second}",
            _EMBEDDING,
        )
    return next(iter(lengths), 1)


def _assembled(view: View, found: Sequence[One], length: int) -> Seen:
    calls = max((len(one.embeddings) for one in found), default=0)
    embeddings = np.full((len(found), max(calls, 1), length), np.nan, np.float32)
    for row, one in zip(embeddings, found, strict=True):
        row[: len(one.embeddings)] = one.embeddings or np.nan
    names = view.images.names
    return Seen(
        embeddings[:, 0] if view.flat else embeddings,
        np.array([one.found for one in found]),
        np.array([one.score for one in found]),
        {name: one.broken for name, one in zip(names, found, strict=True) if one.broken},
        {name: one.skipped for name, one in zip(names, found, strict=True) if one.skipped},
    )


def _returned(method: Method, *, asks: bool) -> Read:
    where = _called(method)

    def read(trace: Trace, name: str, stages: Sequence[str]) -> One:
        embedding = _embedding(trace.returned, where, name)
        unasked = "liveness" in stages and "liveness" not in trace.answers
        if asks and embedding is not None and unasked:
            raise PipelineError(
                where,
                f"returns an embedding of {name} without asking stages.liveness, so that nobody "
                "looks whether it is live",
                "call stages.liveness, or leave out the attribute liveness",
            )
        if embedding is not None and "embedder" in stages and "embedder" not in trace.answers:
            raise PipelineError(
                where,
                f"returns an embedding of {name} without calling stages.embed, so that it does "
                "not come from the variant that is judged",
                "call stages.embed each time, and keep no embeddings",
            )
        broken = list(trace.broken)
        if embedding is not None and not broken and not np.isfinite(embedding).all():
            broken.append(f"what {where} returns")
        given = () if embedding is None else (embedding,)
        return One(given, embedding is not None, _smallest(trace), ", ".join(broken), "")

    return read


def _called(method: Method) -> str:
    return f"{getattr(method, '__name__', 'the function')}()"


def _embedding(returned: Any, where: str, image: str) -> NDArray[np.float32] | None:
    if returned is None:
        return None
    try:
        given = np.asarray(returned)
        values = given.astype(np.float64) if given.dtype.kind in "fiu" else np.empty(0)
    except Exception:  # whatever the user's object raises, such as a tensor that needs a gradient
        values = np.empty(0)
    if values.ndim != 1 or not values.size:
        raise PipelineError(
            where,
            f"returns {type(returned).__name__} for {image}, which is not an embedding",
            _EMBEDDING,
        )
    with np.errstate(over="ignore"):
        embedding: NDArray[np.float32] = values.astype(np.float32)
    return embedding


def _smallest(trace: Trace) -> float:
    """The smallest probability of a live face; NaN wins, so that no other score hides it."""
    given = trace.answers.get("liveness", ())
    return float(np.min(np.concatenate(given))) if given else np.inf


def _refuse_broken(found: Mapping[str, Seen]) -> None:
    for seen in found.values():
        for name, where in seen.broken.items():
            raise BaselineError(
                name,
                f"FP32 itself gives NaN or Inf ({where})",
                "check the preprocessing and the crops of that stage",
            )
