"""Images as one file of a model sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.images import ImageSet
from ..runtimes.feeding import Sample
from ..tasks.base import Task


@dataclass(frozen=True, eq=False)
class RunImages:
    """The images of a run, read when they are first needed.

    Args:
        calibration: a function that returns the images for static quantization, or None if the
            gate file names none.
        probes: a function that returns a few images, which no verdict uses if it can be avoided.
        differing: a function that compares inputs, given with the images and the index of the file
            that sees them, with those that the cache remembers, and yields names of other images.
    """

    calibration: Callable[[], ImageSet | None]
    probes: Callable[[], ImageSet]
    differing: Callable[[ImageSet, int, Iterable[tuple[str, Sample]]], Iterator[str]]


class SeenImages:
    """Images as one file of a model sees them; implements `quantize.images.Images`."""

    def __init__(self, task: Task[Any, Any], index: int, images: ImageSet) -> None:
        self._task = task
        self._index = index
        self._images = images

    @property
    def digest(self) -> str:
        """A value that changes whenever what the file sees does."""
        return self._task.seen(self._images, self._index).digest

    def __len__(self) -> int:
        return len(self._images)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[tuple[str, Sample]]:
        """(name, input) of all images, or of those with these indices."""
        images = self._images if indices is None else self._images.subset(indices)
        return self._task.tensors(images, self._index)
