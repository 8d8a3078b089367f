"""Evaluation and selection images, rendered on demand into `data/` and kept there.

`python -m models.rendering.sets` renders all of them; the gates of this repository do the same
through `ensure` before they run. What lies there is thrown away when the renderer changes.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from filelock import FileLock

_HERE = Path(__file__).parent
_STAMP = ".renderer"
# Folder below `data/`: the module that renders it, and its function.
SETS = {
    f"{name}{suffix}": (f"models.rendering.{name}", function)
    for name in ("faces", "liveness", "documents")
    for suffix, function in (("", "write_evaluation"), ("-selection", "write_selection"))
} | {"applicants": ("models.rendering.applicants", "write_evaluation")}


def ensure(
    root: Path,
    sets: Mapping[str, tuple[str, str]] = SETS,
    stamp: str = "",
    workers: int = 2,
    say: Callable[[str], None] = print,
) -> None:
    """Render what is missing below `root`, or was rendered by other code.

    Processes that ask at the same time wait for each other; a set is published whole or not at
    all, so an interrupted run leaves nothing that a later one would take for images.

    Args:
        root: the folder `data/`.
        sets: what to render: folder, module and function, which is given the folder to fill.
        stamp: names the code that renders; by default the digest of this package.
        workers: processes to render with, a set each.
        say: is told what takes a while.
    """
    root.mkdir(parents=True, exist_ok=True)
    stamp = stamp or renderer_digest()
    with FileLock(root / ".lock"):
        missing = [name for name in sets if _stamp(root / name) != stamp]
        if not missing:
            return
        say(f"rendering {', '.join(missing)} into {root} (once, for about a minute)")
        with ProcessPoolExecutor(min(workers, len(missing))) as pool:
            for done in [pool.submit(_write, root / name, *sets[name], stamp) for name in missing]:
                done.result()


def renderer_digest() -> str:
    """SHA-256 over the code that renders: any change of it makes what it wrote stale."""
    sources = sorted(_HERE.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _write(target: Path, module: str, function: str, stamp: str) -> None:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    getattr(importlib.import_module(module), function)(partial)
    _stamp_file(target).unlink(missing_ok=True)
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
