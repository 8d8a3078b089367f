"""Images as one file of a model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..data.images import ImageSet
from ..tasks.base import Task
from ..tasks.outputs import Tensor


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

    def named(self, indices: Sequence[int] | None = None) -> Iterator[tuple[str, Tensor]]:
        """(name, input) of all images, or of those with these indices."""
        images = self._images if indices is None else self._images.subset(indices)
        return self._task.tensors(images, self._index)
