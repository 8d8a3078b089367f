"""Rows of named arrays as a model sees them: its inputs may be several, and need not be images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..spec.coerce import did_you_mean
from ..spec.model import Preprocess
from .files import listed, npz_names
from .images import preprocess
from .own_preprocessing import check_repeats
from .row_files import FileRows
from .rows import RowSet, is_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Given = Preprocess | Mapping[str, Preprocess] | tuple[Preprocess, ...] | None
    Row = dict[str, NDArray[Any]]


def holds_rows(given: Given, path: Path) -> bool:
    """Whether a file holds rows of named arrays; one with ``images`` is a set of images.

    Args:
        given: how images are prepared, see `KycModel.preprocess`. If it is for arrays, or None, the
            file must hold arrays.
        path: the file or folder.

    Raises:
        DataError: it must, since the gate file says how arrays are prepared, but it is another.
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        return True
    if path.suffix.lower() == ".npz" and path.is_file():
        return not isinstance(given, Preprocess | tuple) or "images" not in npz_names(path)
    if not isinstance(given, Preprocess | tuple):
        raise DataError(
            path,
            "is neither an .npz file of arrays nor a CSV of files, which KycModel(preprocess=...) "
            "asks for",
            "save an array for each input, labels and subjects with numpy.savez, or give one "
            "Preprocess for a folder of images",
        )
    return False


class PreparedRows:
    """Prepares rows for the inputs of a model.

    Args:
        given: how all images are prepared, how those of an array are by its name, or None.
    """

    def __init__(self, given: Given) -> None:
        self._given = given[0] if isinstance(given, tuple) else given

    def load(self, path: Path, like: RowSet | None = None) -> RowSet:
        """Read rows, and make sure that there are images where they are to be prepared.

        Args:
            path: the ``.npz`` file, or a CSV with a column of files for each input.
            like: other rows for the same model.

        Raises:
            DataError: the file cannot be used, lacks images, or has other arrays than `like`.
        """
        rows = FileRows.load(path) if path.suffix.lower() == ".csv" else RowSet.load(path)
        images = rows.pictures
        if isinstance(self._given, Preprocess) and not images:
            raise DataError(
                path,
                "contains neither images nor an array of images (N x H x W x 3, uint8) that "
                f"Preprocess could prepare; it contains: {listed(rows.inputs)}",
                "save images, or give preprocess=None if the model takes none",
            )
        for name in self._given if isinstance(self._given, Mapping) else ():
            if name not in images:
                what = "does not hold images (N x H x W x 3, uint8)"
                raise DataError(
                    path,
                    f"array {name!r}, which KycModel(preprocess=...) names, "
                    f"{what if name in rows.inputs else 'is missing'}",
                    did_you_mean(name, rows.inputs) or f"its arrays are {listed(rows.inputs)}",
                )
        if like is not None:
            mine, theirs = (_text(self.shapes(each)) for each in (rows, like))
            if mine != theirs:
                raise DataError(
                    path,
                    f"gives the model {mine}, but {like.origin} gives it {theirs}",
                    "save the same arrays in both, with rows of the same shapes",
                )
        return rows

    def samples(self, rows: RowSet) -> Iterator[tuple[str, Row]]:
        """Yield (name, sample) of each row."""
        for index, name in enumerate(rows.names):
            yield name, self._sample(rows.row(index), rows.where(index), first=not index)

    def shapes(self, rows: RowSet) -> dict[str, tuple[int, ...]]:
        """The shape of each array of a sample, (1, ...)."""
        _, sample = next(self.samples(rows.subset([0])))
        return {name: array.shape for name, array in sample.items()}

    def edges(self, rows: RowSet) -> Iterator[tuple[str, Row]]:
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

    def _sample(self, row: Row, where: str, *, first: bool = False) -> Row:
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
            return self._given.get(name)
        return self._given if isinstance(self._given, Preprocess) and is_images(array) else None


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes in a fixed order."""
    each = [f"{name} {'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items())]
    return listed(each)
