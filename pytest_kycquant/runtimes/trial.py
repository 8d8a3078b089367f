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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import KycquantError, ModelError
from ..files import temporary_folder
from ..plain import from_plain, plain
from ..spec.runtime import Runtime
from . import NAMELESS, library, time_limit
from .interface import takes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from . import Port

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_kycquant.runtimes import trial; trial.child(*sys.argv[2:])"
)
_CODE = 16 * 2**30  # bytes of address space; libraries map more than they use
_REFUSED = 3  # exit status for a file that the runtime refuses, which says why itself
_SOUND: set[tuple[str, str]] = set()  # runtimes and digests that this process need not try again


def try_out(
    runtime: Runtime, path: Path, digest: str, samples: Sequence[NDArray[Any]] = ()
) -> None:
    """Check that a file can be opened and run on a runtime without harm to this process.

    Files on onnxruntime are not tried: its runs are stopped in this process.

    Args:
        runtime: the runtime.
        path: the file.
        digest: of the file and of those that belong to it.
        samples: what FP32 is fed in one run. It is fed to the inputs whose shapes fit, beside
            zeros and noise, and says what to feed where dimensions are free.

    Raises:
        ModelError: the runtime refuses the file, or the process that tried it crashed or took too
            long.
    """
    opener = library(runtime)
    tried = opener.describe(), digest
    if opener.stops or tried in _SOUND:
        return
    opener.load()  # a mistake in the options is no fault of the file
    import numpy as np

    limit = time_limit.RUN_SECONDS
    with temporary_folder() as folder:
        np.savez(folder / "samples.npz", *samples)
        given = str(path), str(folder / "samples.npz"), json.dumps(plain(runtime))
        try:
            done = subprocess.run(
                [sys.executable, "-c", _START, json.dumps(sys.path), *given],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=limit,
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


def child(path: str, samples: str, runtime: str) -> None:
    """Open a file and run it on several inputs; this runs in the other process."""
    import numpy as np

    with np.load(samples) as file:
        arrays = list(file.values())
    _limit_memory()
    try:
        model = library(from_plain(Runtime, json.loads(runtime))).open(Path(path))
    except KycquantError as error:
        sys.stdout.write(f"\n{json.dumps([error.problem, error.remedy])}")
        sys.stdout.flush()
        sys.exit(_REFUSED)
    fed = [_feeds(port, arrays) for port in model.input_ports]
    for values in zip(*fed, strict=True):
        # These may be inputs that the model refuses; what must not happen is a crash.
        with contextlib.suppress(Exception):
            model.run(dict(zip(model.inputs, values, strict=True)))


def _feeds(port: Port, samples: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """What to try as an input: zeros, noise of both signs, and a sample if one fits.

    Where dimensions are free, they are those of a sample, perhaps with its channels last.
    """
    import numpy as np

    wanted, kind = port.shape or (), np.dtype(port.dtype)
    turned = [np.moveaxis(each, 1, -1) for each in samples if each.ndim > 2]
    fitting = [each for each in [*samples, *turned] if takes(wanted, each.shape)]
    shape = fitting[0].shape if fitting else tuple(size or 1 for size in wanted)
    noise = np.random.default_rng(0).random(shape)
    yield np.zeros(shape, kind)
    if kind.kind in "iu":  # pixels, or as many steps to both sides
        most = min(np.iinfo(kind).max, 255)
        yield (noise * most).astype(kind)
        yield (noise * max(np.iinfo(kind).min, -most)).astype(kind)
        yield (noise * 0 + most).astype(kind)
    else:
        yield noise.astype(kind)
        yield (-noise).astype(kind)
        yield (fitting[0] if fitting else 1 - noise).astype(kind)


def _limit_memory() -> None:
    """Let this process have as much address space as the machine has memory, and for code."""
    with contextlib.suppress(Exception):  # not on every system
        import resource

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        resource.setrlimit(resource.RLIMIT_AS, (memory + _CODE, memory + _CODE))
