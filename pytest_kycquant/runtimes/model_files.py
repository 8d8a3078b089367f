"""Model files on disk: an ONNX file with its external data, read once and under one digest.

A file may be replaced while a run lasts. Sessions are therefore opened from the bytes that were
hashed, never from the path a second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ModelError
from ..files import NO_WAIT
from .external_data import Piece, external_pieces

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

LARGEST = 2**31 - 2**24
"""Most bytes of a model with its external data: a protobuf message cannot be larger than 2 GiB.

A few megabytes are left for what preparation and observation add to the graph.
"""
_LFS_POINTER = b"version https://git-lfs"
_EXPORT = "export or download the model again"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ReadModel:
    """A model as its files were at one moment.

    Args:
        proto: the model, with its external data inside.
        digest: hexadecimal SHA-256 of the file and of its external data files.
        size: total bytes of these files.
        files: the file and its external data files.
    """

    proto: ModelProto
    digest: str
    size: int
    files: tuple[Path, ...]


def read_model(path: Path) -> ReadModel:
    """Read an ONNX file and its external data, each once.

    Raises:
        ModelError: a file is missing, damaged, too large, not a regular file or not ONNX, or
            external data is outside the model's folder.
    """
    content = read_whole(path)
    proto = parse(path, content)
    pieces = pieces_of(path, proto)
    sources = tuple(sorted({piece.source for piece in pieces}))
    digest, size, data = hashlib.sha256(content), len(content), {}
    for source in sources:
        with regular(path, source, LARGEST - size) as file:
            data[source] = file.read()
        digest.update(data[source])
        size += len(data[source])
    for source, _, tensor, offset, length in pieces:
        end = None if length is None else offset + length
        if max(offset, end or 0) > len(data[source]):
            raise ModelError(
                path,
                f"its external data {source.name!r} is truncated: {len(data[source])} of at least "
                f"{max(offset, end or 0)} bytes",
                "copy that file again",
            )
        tensor.raw_data = data[source][offset:end]
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return ReadModel(proto, digest.hexdigest(), size, (path, *sources))


def copy_without_links(path: Path, folder: Path) -> Path | None:
    """Copy a model to a folder, with what the names of its external data are links to.

    Args:
        path: the ONNX file.
        folder: an empty folder.

    Returns:
        The copy; None, and nothing is copied, if there are no links, or names lead up.

    Raises:
        ModelError: a file of the model is missing or damaged.
        OSError: a file cannot be copied.
    """
    pieces = pieces_of(path, parse(path, read_whole(path)))
    direct = all(piece.source.resolve() == piece.source for piece in pieces)
    if (direct and not path.is_symlink()) or any(".." in piece.location for piece in pieces):
        return None
    for source, location in {(piece.source, piece.location) for piece in pieces}:
        target = folder / location
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return Path(shutil.copyfile(path, folder / "model.onnx"))


def parts(proto: ModelProto) -> Iterator[GraphProto | FunctionProto]:
    """Yield the graph of a model, its local functions, and all subgraphs within them."""
    for part in (proto.graph, *proto.functions):
        yield from within(part)


def within(part: GraphProto | FunctionProto) -> Iterator[GraphProto | FunctionProto]:
    """Yield a graph or function and all subgraphs within it."""
    yield part
    for holder in (*part.node, part):
        for subgraph in subgraphs(holder):
            yield from within(subgraph)


def subgraphs(holder: NodeProto | GraphProto | FunctionProto) -> Iterator[GraphProto]:
    """Yield the subgraphs of one operator, or defaults of a function, without those within them."""
    for attribute in _attributes(holder):
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def tensors(found: Iterable[GraphProto | FunctionProto]) -> Iterator[tuple[str, TensorProto]]:
    """Yield all constant tensors of graphs and functions, with their names."""
    for part in found:
        for tensor in getattr(part, "initializer", ()):
            yield tensor.name, tensor
        for sparse in getattr(part, "sparse_initializer", ()):
            yield from ((sparse.values.name, each) for each in (sparse.values, sparse.indices))
        for holder in (*part.node, part):
            for attribute in _attributes(holder):
                # A damaged file may contain an operator without outputs; it is refused elsewhere.
                name = attribute.name if holder is part else next(iter(holder.output), holder.name)
                held = [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
                matrices = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                for sparse in (*matrices, *attribute.sparse_tensors):
                    held += [sparse.values, sparse.indices]
                yield from ((name, each) for each in held)


def _attributes(holder: NodeProto | GraphProto | FunctionProto) -> Iterable[AttributeProto]:
    """Attributes of an operator, or defaults of those of a function."""
    field = "attribute_proto" if hasattr(holder, "attribute_proto") else "attribute"
    found: Iterable[AttributeProto] = getattr(holder, field, ())
    return found


def read_whole(path: Path) -> bytes:
    """The content of a model file.

    Raises:
        ModelError: it is missing, empty, too large, not a regular file, or a Git LFS pointer.
    """
    with regular(path, path) as file:
        content = file.read()
    if not content:
        raise ModelError(path, "is empty", _EXPORT)
    if content.startswith(_LFS_POINTER):
        raise ModelError(path, "is a Git LFS pointer, not a model", "run: git lfs pull")
    return content


@contextlib.contextmanager
def regular(path: Path, source: Path, most: int = LARGEST) -> Iterator[BinaryIO]:
    """Open a regular file of a model for reading; opening or reading another kind could hang.

    Args:
        path: the ONNX file, for messages.
        source: the file to open, which may be one of its external data files.
        most: largest size in bytes.
    """
    what = "" if source == path else f"its external data {source.name!r} "

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | NO_WAIT)

    try:
        with open(source, "rb", opener=opener) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(
                    path, f"{what}is not a regular file", "give the path of an .onnx file"
                )
            if status.st_size > most:
                whole = "with its external data is" if what else "is"
                size = (LARGEST - most + status.st_size) / 1e9
                raise ModelError(
                    path,
                    f"{whole} larger than 2 GB ({size:.2f} GB), the most that ONNX holds in memory",
                    "give a smaller model, or gate its parts as models of their own",
                )
            yield file
    except FileNotFoundError:
        raise ModelError(path, f"{what}does not exist", "correct the path of the model") from None
    except (OSError, ValueError, MemoryError) as error:  # a ValueError is a NUL in the path
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ModelError(
            path, f"{what}cannot be read ({reason})", "give the path of a readable .onnx file"
        ) from error


def hash_into(state: hashlib._Hash, path: Path) -> hashlib._Hash:
    """Add the content of a file to a digest, a piece at a time."""
    with regular(path, path) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state


def parse(path: Path, content: bytes) -> ModelProto:
    """The message that an ONNX file holds.

    Raises:
        ModelError: it is truncated, damaged, or not an ONNX file.
    """
    from onnx import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception:
        # Every exporter writes ir_version (field 1) first; its tag is the byte 8.
        problem = "is truncated or damaged" if content[0] == 8 else "is not an ONNX file"
        raise ModelError(path, problem, _EXPORT) from None
    if not proto.graph.node:
        raise ModelError(
            path, "is truncated or not an ONNX model: it has no operators", "export the model again"
        )
    return proto


def pieces_of(path: Path, proto: ModelProto) -> list[Piece]:
    """Where the external data of a model is."""
    return external_pieces(path, tensors(parts(proto)))
