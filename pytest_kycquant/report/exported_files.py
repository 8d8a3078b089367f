"""The files that an export writes: those that were judged, whatever their format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..bench.records import VariantRecord
from ..errors import CacheError, ModelError
from ..quantize.ort_format import OPERATORS
from ..runtimes.formats import FORMATS, files_of, suffix_of
from ..runtimes.verified import read_verified
from .records import GatedModel

_LONGEST_NAME = 255


@dataclass(frozen=True)
class Copy:
    """One file of a variant that is to be exported.

    Args:
        source: the file that was judged; of several files of one model, the first.
        digest: SHA-256 of the file and of all that belongs to it.
        targets: the files to write: one for each file that belongs to the model by its name.
        beside: text of further files, which production needs to build or run it.
    """

    source: Path
    digest: str
    targets: tuple[Path, ...]
    beside: Mapping[Path, str] = field(default_factory=dict)

    def contents(self) -> Iterator[tuple[Path, bytes]]:
        """Each target with its content.

        External data of an ONNX file is written into the file: that is what was opened and judged.

        Raises:
            CacheError: a file has changed since it was judged.
        """
        yield from ((path, text.encode()) for path, text in self.beside.items())
        if len(self.targets) == 1:
            try:
                yield self.targets[0], read_verified(self.source, self.digest)
            except ModelError as error:
                raise self._changed() from error
            return
        found = [path.read_bytes() for path in files_of(self.source)]
        if hashlib.sha256(b"".join(found)).hexdigest() != self.digest:
            raise self._changed()
        yield from zip(self.targets, found, strict=True)

    def _changed(self) -> CacheError:
        return CacheError(self.source, "is not the file that was judged", "run the gate again")


def copies(gate: GatedModel, ship: VariantRecord, stem: Path) -> list[Copy]:
    """What to export of the variant that ships.

    Args:
        gate: its gate.
        ship: the variant.
        stem: path of the export without an ending.
    """
    found = []
    for path, (name, digest) in zip(gate.paths[ship.variant], ship.files.items(), strict=True):
        source = Path(path)
        own = stem.with_name(f"{stem.name}-{name}") if len(ship.files) > 1 else stem
        suffixes = [suffix_of(each) for each in files_of(source)]
        targets = tuple(own.with_name(own.name + suffix) for suffix in suffixes)
        texts = ship.companions.get(name, {})
        beside = {own.with_name(f"{own.name}.{ending}"): text for ending, text in texts.items()}
        found.append(Copy(source, digest, targets, beside))
    return found


def endings() -> tuple[str, ...]:
    """The endings that exported files may have."""
    more = [suffix for line in FORMATS.values() for suffix in line.companions]
    return (*FORMATS, *more, f".{OPERATORS}")


def is_export(name: str, stem: str) -> bool:
    """Whether an export of this stem may have this name."""
    ending = "|".join(map(re.escape, endings()))
    named = re.fullmatch(rf"{re.escape(stem)}(-[^\0]+)?({ending})", name)
    return named is not None and Path(name).name == name and len(name) <= _LONGEST_NAME
