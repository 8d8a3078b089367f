"""Where the external data of a model are: files that its tensors name, in the model's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ModelError
from ..spec.coerce import shown

if TYPE_CHECKING:
    from onnx import TensorProto


class Piece(NamedTuple):
    """Where a tensor is stored.

    Args:
        source: the file, which may be a link.
        location: its name in the model.
        tensor: the tensor.
        offset: number of bytes before the content.
        length: number of bytes; None means up to the end.
    """

    source: Path
    location: str
    tensor: TensorProto
    offset: int
    length: int | None


def external_pieces(path: Path, tensors: Iterable[tuple[str, TensorProto]]) -> list[Piece]:
    """Find out where tensors are stored; those that the model itself contains are left out.

    The names must not lead out of the model's folder. What has such a name may be a link to
    anywhere, as in the caches of model hubs, and so may the model.

    Args:
        path: the ONNX file.
        tensors: names and constants of the model.

    Raises:
        ModelError: a name leads out of the folder, a file is missing or a reference is damaged.
    """
    from onnx import TensorProto

    folders = _folders(path)
    found = []
    for name, tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        try:
            source = _located(folders, location)
            exists = source is None or source.is_file()
            offset = int(entries.get("offset", 0))
            length = int(entries["length"]) if "length" in entries else None
            if min(offset, length or 0) < 0:
                raise ValueError
        except (OSError, RuntimeError, TypeError, ValueError):
            raise ModelError(
                path,
                f"weight {shown(name)} has a damaged reference to {shown(location)}",
                "export the model again",
            ) from None
        if source is None:
            raise ModelError(
                path,
                f"weight {shown(name)} is stored outside the model's folder, in {shown(location)}",
                "export the model to a single file, or with its data in the same folder",
            )
        if not exists:
            raise ModelError(
                path,
                f"its external data {shown(location)} is missing or not a file",
                "copy that file into the model's folder",
            )
        found.append(Piece(source, location, tensor, offset, length))
    return found


def _folders(path: Path) -> list[Path]:
    """The folder of a model, then those of the files that it is a link to."""
    found = [path.parent.resolve()]
    while path.is_symlink():
        path = path.parent / path.readlink()
        found.append(path.parent.resolve())
    return found


def _located(folders: Sequence[Path], location: str) -> Path | None:
    """The file of a name in the first folder that has it; None if the name leads out of it."""
    name = Path(location)
    if not name.parts or name.is_absolute():
        return None
    if ".." in name.parts:  # where that leads depends on what is a link
        inside = (folders[0] / name).resolve()
        return inside if inside.is_relative_to(folders[0]) else None
    known = (folder / name for folder in folders if (folder / name).exists())
    return next(known, folders[0] / name)
