"""Images that differ, but give the model the same input: the same evidence would count twice.

Equal pixels are refused when data are loaded. Preprocessing makes more images equal: padded ones
that are letterboxed, resized ones, coloured ones of a greyscale model, and photographs that differ
only outside of the crops that the model sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.duplicates import refuse_same_inputs
from ..data.leakage import check_disjoint_inputs
from ..runtimes.feeding import arrays_of
from .input_facts import describe_preparation

if TYPE_CHECKING:
    from ..context import Store
    from ..data.images import ImageSet
    from ..runtimes.feeding import Sample
    from ..tasks.base import Task, TaskData

_FILE = "inputs.npz"
_SIZE = hashlib.sha256().digest_size


class Inputs:
    """Digests of what a model sees of its images, kept from run to run.

    Args:
        task: the task, which knows what each file of the model sees of an image.
        store: keeps the digests, so that unchanged images are not decoded for them again.
    """

    def __init__(self, task: Task[Any, Any], store: Store) -> None:
        self._task = task
        self._store = store
        self._members = range(len(task.model.paths))
        self._known: dict[tuple[Path, str], bytes] = {}

    def check(self, data: TaskData[Any]) -> None:
        """Make sure that no two images of a gate give the model the same input.

        Calibration images may, among themselves: copies do no harm there.

        Raises:
            DataError: two images for evaluation do, or two for selection; or an image cannot be
                used.
            LeakageError: images with different purposes do.
        """
        sets = [(data.evaluation.images, "evaluation")]
        if data.selection is not None:
            sets.append((data.selection.images, "selection"))
        judged = len(sets)
        if data.calibration is not None:
            sets.append((data.calibration, "calibration"))
        inputs = [self._digests(images) for images, _ in sets]
        for (images, _), digests in zip(sets[:judged], inputs, strict=False):
            refuse_same_inputs(images, digests, self._task.suspect)
        for one, other in combinations(range(len(sets)), 2):
            # As for equal pixels, calibration is named first.
            first, second = (other, one) if other == judged else (one, other)
            check_disjoint_inputs(*sets[first], inputs[first], *sets[second], inputs[second])

    def differing(
        self, images: ImageSet, member: int, named: Iterable[tuple[str, Sample]]
    ) -> Iterator[str]:
        """Yield the names of images of which something else was remembered than a file sees.

        Args:
            images: the images, or some of them.
            member: the index of the file among those of the model.
            named: name and input of each image for that file.
        """
        part = slice(member * _SIZE, (member + 1) * _SIZE)
        for name, tensor in named:
            known = self._known.get((images.origin, name))
            if known is not None and known[part] != _digest(tensor):
                yield name

    def _digests(self, images: ImageSet) -> list[bytes]:
        """Digests of what all files of the model see of each image, one behind the other."""
        task, width = self._task, _SIZE * len(self._members)

        def build(folder: Path) -> None:
            inputs = [task.tensors(images, member) for member in self._members]
            rows = (b"".join(_digest(x) for _, x in row) for row in zip(*inputs, strict=True))
            np.savez(folder / _FILE, digests=np.frombuffer(b"".join(rows), np.uint8))

        def read(folder: Path) -> list[bytes]:
            with (folder / _FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                found = stored["digests"].reshape(len(images), width)
            if found.dtype != np.uint8:
                raise ValueError(f"digests of the type {found.dtype}")
            return [row.tobytes() for row in found]

        # The digest of a set does not depend on the order of its images.
        key = [[list(images.names), task.seen(images, member).digest] for member in self._members]
        seen = [describe_preparation(task.model, member) for member in self._members]
        found = self._store.load("inputs", [key, seen], build, read)
        self._known.update(
            ((images.origin, name), digest)
            for name, digest in zip(images.names, found, strict=True)
        )
        return found


def _digest(sample: Sample) -> bytes:
    arrays = arrays_of(sample)
    if len(arrays) == 1:
        return hashlib.sha256(np.ascontiguousarray(arrays[0]).data).digest()
    digests = (hashlib.sha256(np.ascontiguousarray(array).data).digest() for array in arrays)
    return hashlib.sha256(b"".join(digests)).digest()
