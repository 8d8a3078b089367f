"""Opening files that have not changed since they were hashed, in every format.

A file may be replaced while a run lasts. What was hashed is therefore opened, never the path a
second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..files import temporary_folder
from ..spec.runtime import Runtime
from . import library
from .formats import files_of, format_of, is_onnx
from .model_files import hash_into, parse, pieces_of, read_model, read_whole

if TYPE_CHECKING:
    from . import OpenModel


def read_verified(path: Path, sha256: str) -> bytes:
    """The content of a model file that has not changed since it was hashed.

    Args:
        path: the file, in a format without further files, or ONNX.
        sha256: hexadecimal digest of the file and of its external data files.

    Returns:
        The file; an ONNX model with external data is serialized with that data inside.

    Raises:
        ModelError: the file has another content now.
    """
    with _unchanged(path):
        content = read_whole(path)
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        if not is_onnx(path):
            raise ModelError(path, "its digest is another one", "")
        found = read_model(path)
        if found.digest != sha256 or len(found.files) == 1:
            raise ModelError(path, "its digest is another one", "")
        return bytes(found.proto.SerializeToString())


def check_unchanged(path: Path, sha256: str) -> None:
    """Check the same as `read_verified` without holding the files in memory.

    Raises:
        ModelError: the file has another content now.
    """
    with _unchanged(path):
        state = hash_into(hashlib.sha256(), path)
        if state.hexdigest() != sha256:
            for source in _beside(path):
                hash_into(state, source)
        if state.hexdigest() != sha256:
            raise ModelError(path, "its digest is another one", "")


def _beside(path: Path) -> tuple[Path, ...]:
    """The further files of a model, in the order in which they were hashed."""
    if not is_onnx(path):
        return files_of(path)[1:]
    return tuple(sorted({piece.source for piece in pieces_of(path, parse(path, read_whole(path)))}))


def open_verified(
    runtime: Runtime, path: Path, sha256: str, *, threads: int = 1, exact: bool = False
) -> OpenModel:
    """Open a model file that has not changed since it was hashed.

    Args:
        runtime: the runtime.
        path: the file.
        sha256: hexadecimal digest of the file and of those that belong to it.
        threads: number of threads within an operator.
        exact: whether INT8 is computed without saturation.

    Raises:
        ModelError: the file has another content now, or the runtime cannot load it.
    """
    opener = library(runtime)
    try:
        if len(files_of(path)) > 1:
            with copied(path, sha256) as copy:
                return opener.open(copy, threads=threads, exact=exact)
        content = read_verified(path, sha256)
        if not is_onnx(path) and (examine := format_of(path).examine):
            pkgutil.resolve_name(examine)(content)
        return opener.open(content, threads=threads, exact=exact)
    except ModelError as error:  # which cannot know where the content comes from
        raise ModelError(path, error.problem, error.remedy) from error


@contextlib.contextmanager
def copied(path: Path, sha256: str) -> Iterator[Path]:
    """A private copy of a model of several files that was hashed after it was copied."""
    with temporary_folder() as folder:
        with _unchanged(path):
            for file in files_of(path):
                try:
                    shutil.copyfile(file, folder / file.name)
                except OSError as error:
                    raise ModelError(file, f"cannot be read ({error.strerror})", "") from error
            check_unchanged(folder / path.name, sha256)
        yield folder / path.name


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Whatever is wrong with a file that was sound before: it has changed."""
    try:
        yield
    except ModelError as error:
        raise ModelError(
            path, f"changed while it was in use ({error.problem})", "run again"
        ) from error
