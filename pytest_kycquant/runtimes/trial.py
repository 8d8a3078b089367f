"""Trying a file of somebody else's in another process before this one opens it.

onnxruntime can be told to end a run, and LiteRT, OpenVINO and torch cannot: a damaged or a strange
file may ask for more memory than there is, or for a computation that never ends, and nothing can
stop it in the same process. So each file is first opened and run in a process that can be killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import KycquantError, ModelError
from ..files import temporary_folder
from ..plain import from_plain, plain
from ..spec.runtime import Runtime
from . import NAMELESS, library, time_limit

if TYPE_CHECKING:
    from . import Port

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_kycquant.runtimes import trial; trial.child(*sys.argv[2:])"
)
_CODE = 16 * 2**30  # bytes of address space; libraries map more than they use
_REFUSED = 3  # exit status for a file that the runtime refuses, which says why itself
_SOUND: set[tuple[str, str]] = set()  # runtimes and digests that this process need not try again


def try_out(
    runtime: Runtime, path: Path, digest: str, shapes: Sequence[tuple[int, ...]] = ()
) -> None:
    """Check that a file can be opened and run on a runtime without harm to this process.

    Files on onnxruntime are not tried: its runs are stopped in this process.

    Args:
        runtime: the runtime.
        path: the file.
        digest: of the file and of those that belong to it.
        shapes: what is fed where the file leaves dimensions free; (1, C, H, W) for images.

    Raises:
        ModelError: the runtime refuses the file, or the process that tried it crashed or took too
            long.
    """
    opener = library(runtime)
    tried = opener.describe(), digest
    if opener.stops or tried in _SOUND:
        return
    opener.load()  # a mistake in the options is no fault of the file
    asked = json.dumps([plain(runtime), list(shapes)])
    start = [sys.executable, "-c", _START, json.dumps(sys.path), str(path), asked]
    limit = time_limit.RUN_SECONDS
    try:
        done = subprocess.run(
            start, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=limit,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _harmful(path, f"keeps {runtime.name} busy for more than {limit:g} s") from None
    if done.returncode == _REFUSED:
        raise ModelError(path, *json.loads(done.stdout.decode().splitlines()[-1]))
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise _harmful(path, f"crashes {runtime.name} ({how})")
    _SOUND.add(tried)


def examine(content: bytes, where: object = NAMELESS) -> None:
    """Check a ``.tflite`` file before anything reads it.

    Args:
        content: the file.
        where: the file, for messages.

    Raises:
        ModelError: see `try_out`.
    """
    with temporary_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(content)
        try:
            try_out(Runtime("litert"), path, hashlib.sha256(content).hexdigest())
        except ModelError as error:
            raise ModelError(where, error.problem, error.remedy) from error


def _harmful(path: Path, problem: str) -> ModelError:
    return ModelError(
        path, problem, "it is damaged, or has a loop that never ends: convert or download it again"
    )


def child(path: str, asked: str) -> None:
    """Open a file and run it on zeros and on noise; this runs in the other process."""
    import numpy as np

    known, shapes = json.loads(asked)
    _limit_memory()
    try:
        model = library(from_plain(Runtime, known)).open(Path(path))
    except KycquantError as error:
        sys.stdout.write(f"\n{json.dumps([error.problem, error.remedy])}")
        sys.stdout.flush()
        sys.exit(_REFUSED)
    rng = np.random.default_rng(0)
    # These may be inputs that the model refuses; what must not happen is a crash.
    with contextlib.suppress(Exception):
        sizes = {port.name: _shape(port, shapes) for port in model.input_ports}
        kinds = {port.name: port.dtype for port in model.input_ports}
        model.run({name: np.zeros(size, kinds[name]) for name, size in sizes.items()})
        model.run({name: rng.random(size).astype(kinds[name]) for name, size in sizes.items()})


def _shape(port: Port, shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """A shape for an input: what is free is as in one of the shapes, or its pixels come last."""
    wanted = port.shape or ()
    for given in [*shapes, *((*each[:1], *each[2:], *each[1:2]) for each in shapes)]:
        if len(given) == len(wanted) and all(
            size in (None, known) for size, known in zip(wanted, given, strict=True)
        ):
            return tuple(given)
    return tuple(size or 1 for size in wanted)


def _limit_memory() -> None:
    """Let this process have as much address space as the machine has memory, and for code."""
    with contextlib.suppress(Exception):  # not on every system
        import resource

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        resource.setrlimit(resource.RLIMIT_AS, (memory + _CODE, memory + _CODE))
