"""Trying a ``.tflite`` file in another process before this one opens it.

LiteRT checks the structure of a file, but not what follows from it: a damaged file may ask for more
memory than there is, or for a computation that never ends, and nothing can stop it in the same
process. So each file is opened and run once in a process that can be killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from ..errors import ModelError
from ..files import temporary_folder
from . import NAMELESS, time_limit
from .litert import LACKS, reason

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_kycquant.runtimes import litert_probe; litert_probe.child(sys.argv[2])"
)
_REFUSED = 3  # exit status for a file that LiteRT refuses, which says why itself
_SOUND: set[str] = set()  # digests of the files that this process need not try again


def examine(content: bytes) -> None:
    """Check that a ``.tflite`` file can be opened and run without harm to this process.

    Raises:
        ModelError: LiteRT refuses the file, or the process that tried it crashed or took too long.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest in _SOUND:
        return
    with temporary_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(content)
        start = [sys.executable, "-c", _START, json.dumps(sys.path), str(path)]
        limit = time_limit.RUN_SECONDS
        try:
            done = subprocess.run(
                start, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=limit,
                env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _harmful(f"keeps LiteRT busy for more than {limit:g} s") from None
    if done.returncode == _REFUSED:
        said = done.stdout.decode(errors="replace")
        raise ModelError(NAMELESS, f"LiteRT cannot load it ({said})", LACKS)
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise _harmful(f"crashes LiteRT ({how})")
    _SOUND.add(digest)


def _harmful(problem: str) -> ModelError:
    return ModelError(NAMELESS, problem, "it is damaged: convert or download it again")


def child(path: str) -> None:
    """Open a file and run it once on zeros; this runs in the other process."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    _limit_memory()
    try:
        made = Interpreter(model_path=path, num_threads=1)
        made.allocate_tensors()
    except Exception as error:  # whatever LiteRT says
        sys.stdout.write(reason(error, Path(path).read_bytes()))
        sys.stdout.flush()
        sys.exit(_REFUSED)
    # Zeros may be inputs that the model refuses; what must not happen is a crash.
    with contextlib.suppress(Exception):
        for each in made.get_input_details():
            made.set_tensor(each["index"], np.zeros(each["shape"], each["dtype"]))
        made.invoke()


def _limit_memory() -> None:
    """Let this process have as much address space as the machine has memory."""
    with contextlib.suppress(Exception):  # not on every system
        import resource

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
