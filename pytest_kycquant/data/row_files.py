"""Rows whose arrays are images in files: a CSV with a column of files for each input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .decoding import decode
from .files import IMAGE_SUFFIXES, listed, read_file
from .rows import RowSet
from .tables import Row, image_name, read_table, read_text

_EMPTY = "list the files of each row in columns named as the inputs of the model"
_ROW = "fill in every column of every row"


class FileRows(RowSet):
    """Rows of a CSV, whose images are decoded on demand.

    Args:
        origin: the CSV.
        names: name of each row, such as ``pairs.csv:17``, with the number of its line.
        files: the files of each input by its name, N each.
        table: the lines of the CSV, N of them.
    """

    def __init__(
        self,
        origin: Path,
        names: tuple[str, ...],
        files: Mapping[str, tuple[Path, ...]],
        table: Sequence[Row],
    ) -> None:
        super().__init__(origin, names, {})
        self._files = dict(files)
        self.table = tuple(table)

    @classmethod
    def load(cls, path: Path) -> FileRows:
        """Read a CSV; every column in which all cells are names of images belongs to an input.

        Raises:
            DataError: it is malformed, names no images, or a file does not exist.
        """
        text = read_text(path, _EMPTY)
        table = read_table(text, path, (), None, empty_remedy=_EMPTY, row_remedy=_ROW)
        files = {}
        for column in table[0].values:
            cells = [image_name(row.values[column], path) for row in table]
            if all(Path(cell).suffix.lower() in IMAGE_SUFFIXES for cell in cells):
                files[column] = tuple(path.parent / cell for cell in cells)
        if not files:
            raise DataError(path, "has no column of images", _EMPTY)
        gone = [
            f"{row.values[column]} (line {row.line})"
            for column, paths in files.items()
            for row, file in zip(table, paths, strict=True)
            if not file.is_file()
        ]
        if gone:
            raise DataError(
                path,
                f"names files that do not exist: {listed(gone)}",
                "add them or remove their lines; names are relative to the folder of the CSV",
            )
        return cls(path, tuple(f"{path.name}:{row.line}" for row in table), files, table)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of files."""
        return tuple(self._files)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The columns of files."""
        return self.inputs

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """The pixels of each image of a row, (1, height, width, 3), uint8.

        Raises:
            DataError: a file cannot be decoded, or has changed since its digest was taken.
        """
        found = {}
        for name, files in self._files.items():
            content = read_file(files[index])
            if "_contents" in self.__dict__ and _sha256(content) != self._contents[name][index]:
                raise DataError(files[index], "changed while it was in use", "run again")
            found[name] = decode(content, str(files[index]))[np.newaxis]
        return found

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Nothing: sizes differ between rows."""
        return ()

    @cached_property
    def _contents(self) -> dict[str, tuple[str, ...]]:
        known: dict[Path, str] = {}  # one image may stand in many rows
        for file in (file for files in self._files.values() for file in files):
            if file not in known:
                known[file] = _sha256(read_file(file))
        return {name: tuple(known[f] for f in files) for name, files in self._files.items()}

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the contents of the files of each row, by the names of their inputs."""
        columns = sorted(self._contents)
        rows = zip(*(self._contents[name] for name in columns), strict=True)
        return tuple(_sha256("\n".join((*columns, *row)).encode()) for row in rows)

    @cached_property
    def picture_digests(self) -> dict[str, str]:
        """SHA-256 of the content of each file, and where it stands."""
        return {
            digest: f"{row} {name}"
            for name, digests in self._contents.items()
            for row, digest in zip(self.names, digests, strict=True)
        }

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> FileRows:
        """Select rows by index or by boolean mask, in the order given.

        Raises:
            DataError: no row is chosen.
        """
        chosen = np.arange(len(self))[indices]

        def of(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[index] for index in chosen)

        files = {name: of(paths) for name, paths in self._files.items()}
        part = FileRows(self.origin, of(self.names), files, of(self.table))
        if "_contents" in self.__dict__:
            part.__dict__["_contents"] = {n: of(each) for n, each in self._contents.items()}
        return part


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
