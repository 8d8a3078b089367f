"""Evaluation and selection images, rendered on demand into `data/` and kept there.

`python -m models.rendering.sets` renders all of them; the gates of this repository do the same
through `ensure` before they run. What lies there is thrown away when the renderer changes.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from filelock import FileLock

_HERE = Path(__file__).parent
_STAMP = ".renderer"
# Folder below `data/`, the module that renders it, and its function.
SETS = {
    "faces": ("faces", "write_evaluation"),
    "faces-selection": ("faces", "write_selection"),
    "liveness": ("liveness", "write_evaluation"),
    "liveness-selection": ("liveness", "write_selection"),
    "documents": ("documents", "write_evaluation"),
    "documents-selection": ("documents", "write_selection"),
}


def ensure(root: Path, workers: int = 2) -> None:
    """Render what is missing below `root`, or was rendered by other code.

    Processes that ask at the same time wait for each other; a set is published whole or not at
    all, so an interrupted run leaves nothing that a later one would take for images.

    Args:
        root: the folder `data/`.
        workers: processes to render with, a set each.
    """
    root.mkdir(parents=True, exist_ok=True)
    wanted = renderer_digest()
    with FileLock(root / ".lock"):
        missing = [name for name in SETS if _stamp(root / name) != wanted]
        if not missing:
            return
        with ProcessPoolExecutor(min(workers, len(missing))) as pool:
            for done in [pool.submit(_write, name, root, wanted) for name in missing]:
                done.result()


def renderer_digest() -> str:
    """SHA-256 over the code that renders: any change of it makes what it wrote stale."""
    sources = sorted(_HERE.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _write(name: str, root: Path, stamp: str) -> None:
    module, function = SETS[name]
    target, partial = root / name, root / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    getattr(importlib.import_module(f"models.rendering.{module}"), function)(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    # Written last and beside the images, where no loader looks for labels.
    _stamp_file(target).write_text(stamp, encoding="ascii")


def _stamp(folder: Path) -> str:
    file = _stamp_file(folder)
    return file.read_text(encoding="ascii") if file.exists() and folder.is_dir() else ""


def _stamp_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{_STAMP}")


if __name__ == "__main__":
    ensure(_HERE.parents[1] / "data")
