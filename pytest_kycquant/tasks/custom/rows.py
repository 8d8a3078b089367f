"""Rows of named arrays as a model sees them: its inputs may be several, and need not be images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.files import listed, npz_names
from ...data.images import preprocess
from ...data.own_preprocessing import check_repeats
from ...data.rows import RowSet, is_images
from ...errors import DataError
from ...spec.coerce import did_you_mean
from ...spec.model import KycModel, Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtimes.feeding import Sample


def holds_rows(model: KycModel, path: Path) -> bool:
    """Whether a file holds rows of named arrays; an array ``images`` alone is a set of images.

    Raises:
        DataError: it must, since the gate file says how arrays are prepared, but it is another.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        return not isinstance(model.preprocess, Preprocess) or "images" not in npz_names(path)
    if not isinstance(model.preprocess, Preprocess):
        raise DataError(
            path,
            "is not an .npz file of arrays, which a model without images or with several needs",
            "save an array for each input, labels and subjects with numpy.savez, or give one "
            "Preprocess for images in files",
        )
    return False


class Rows:
    """Prepares rows for the inputs of a model.

    Args:
        model: the model, whose `preprocess` is for all images, for images by the name of their
            array, or None.
    """

    def __init__(self, model: KycModel) -> None:
        self._given = model.preprocess

    def load(self, path: Path) -> RowSet:
        """Read rows, and make sure that there are images where they are to be prepared.

        Raises:
            DataError: the file cannot be used, or lacks images.
        """
        rows = RowSet.load(path)
        images = [name for name, array in rows.arrays.items() if is_images(array)]
        if isinstance(self._given, Preprocess) and not images:
            raise DataError(
                path,
                "contains neither images nor an array of images (N x H x W x 3, uint8) that "
                f"Preprocess could prepare; it contains: {listed([*rows.arrays])}",
                "save images, or give preprocess=None if the model takes none",
            )
        for name in self._given if isinstance(self._given, Mapping) else ():
            if name not in images:
                what = "does not hold images (N x H x W x 3, uint8)"
                raise DataError(
                    path,
                    f"array {name!r}, which KycModel(preprocess=...) names, "
                    f"{what if name in rows.arrays else 'is missing'}",
                    did_you_mean(name, rows.arrays) or f"its arrays are {listed([*rows.arrays])}",
                )
        return rows

    def samples(self, rows: RowSet) -> Iterator[tuple[str, Sample]]:
        """Yield (name, sample) of each row."""
        for index, name in enumerate(rows.names):
            yield name, self._sample(rows.row(index), rows.where(index), first=not index)

    def shapes(self, rows: RowSet) -> dict[str, tuple[int, ...]]:
        """The shape of each array of a sample, (1, ...)."""
        (_, sample), *_ = self.samples(rows.subset([0]))
        assert isinstance(sample, Mapping)
        return {name: array.shape for name, array in sample.items()}

    def edges(self, rows: RowSet) -> Iterator[tuple[str, Sample]]:
        """Black, white and (seeded) noise in all images of the first row; none without images."""
        row = rows.row(0)
        images = [name for name in row if self._spec(name, row[name]) is not None]
        if not images:
            return
        rng = np.random.default_rng(0)
        noise = {name: rng.integers(0, 256, row[name].shape, dtype=np.uint8) for name in images}
        for title, given in (
            ("black", {name: np.zeros_like(row[name]) for name in images}),
            ("white", {name: np.full_like(row[name], 255) for name in images}),
            ("noise", noise),
        ):
            yield title, self._sample(row | given, title)

    def _sample(
        self, row: dict[str, NDArray[Any]], where: str, *, first: bool = False
    ) -> dict[str, NDArray[Any]]:
        found = {}
        for name, array in row.items():
            spec = self._spec(name, array)
            if spec is not None and first:
                check_repeats(array[0], spec, where)
            found[name] = array if spec is None else preprocess(array[0], spec, where)
        return found

    def _spec(self, name: str, array: NDArray[Any]) -> Preprocess | None:
        """How an array is prepared; None if it is given to the model as it is."""
        if isinstance(self._given, Mapping):
            found: Preprocess | None = self._given.get(name)
            return found
        return self._given if isinstance(self._given, Preprocess) and is_images(array) else None
