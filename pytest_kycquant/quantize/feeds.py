"""Images as a model is fed: in the types of its inputs, and in batches if their size is fixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtimes.feeding import Feeding
    from .images import Images, Named


def fed(images: Images, feeding: Feeding) -> Images:
    """Images as a model is fed; the images themselves if nothing has to be changed."""
    if feeding.batch == 1 and set(feeding.types.values()) <= {"float32"}:
        return images
    return _Fed(images, feeding)


class _Fed:
    """What each run is fed; several images count as one, with the name of the first."""

    def __init__(self, images: Images, feeding: Feeding) -> None:
        self._images = images
        self._feeding = feeding

    @property
    def digest(self) -> str:
        """That of the images: how they are fed follows from the model."""
        return self._images.digest

    def __len__(self) -> int:
        return -(-len(self._images) // self._feeding.batch)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        """Yield (name, sample) of all runs or of those with the given indices."""
        size, count = self._feeding.batch, len(self._images)
        for index in range(len(self)) if indices is None else indices:
            start = range(count)[index * size]
            group = list(self._images.named(range(start, min(start + size, count))))
            others = f" and {len(group) - 1} more" if len(group) > 1 else ""
            yield group[0][0] + others, self._feeding.stacked([sample for _, sample in group])
