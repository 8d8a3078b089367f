"""The folder of a cache: whose it is, who may read it, and what may be deleted in it.

It holds biometric templates, and whoever can write it decides verdicts. So it is private to its
owner, and a folder that does not carry the tag of this plugin is neither written nor deleted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import CacheError, SettingsError
from ..files import WINDOWS, read_regular, remove_partials, write_whole
from ..spec.flags import CACHE

# https://bford.info/cachedir/
_TAG_NAME = "CACHEDIR.TAG"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Embeddings of images: keep them private.\n"
_ATTEMPTS, _PAUSE = 10, 0.05  # in seconds
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
KEY = re.compile(r"[0-9a-f]{32}")  # names of entries, of runs and of digests of code
_PARTIAL = re.compile(r"partial-([0-9a-f]{32})(-[0-9a-f]{8})?")
_SPACE = f"free some space or name another folder with {CACHE} DIR"
_ANOTHER = f"name a new or empty folder with {CACHE} DIR"
MANIFEST = "manifest.json"  # what every whole entry has
# What a cache has without its tag, to say what a folder may be: it is not used as a cache.
_NAMES = {
    *(".gitignore", "code", "locks", "machine.db", "runs"),
    *(
        "activations",
        "channels",
        "conversion",
        "extremes",
        "footprint",
        "given",
        "inputs",
        "litert",
        "litert-calibration",
        "near-duplicates",
        "outputs",
        "pipeline",
        "pixels",
        "ports",
        "rewrites",
    ),
    *("search", "sensitivity", "variant"),
}


class CacheFolder:
    """A folder that is made when it is needed, and is the plugin's own.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: tuple[int, int] | None = None

    def made(self) -> Path:
        """Return the folder, created, tagged and private; it may have been deleted meanwhile.

        Raises:
            CacheError: it is not a cache of this plugin, or cannot be written.
        """
        if self._known is not None and (self.root / _TAG_NAME).exists():
            return self.root
        if problem := self._objection():
            raise CacheError(self.root, f"the cache {problem}", _remedy(problem))
        with storage(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_private(self.root)
            write_whole(self.root / _TAG_NAME, _TAG, private=True)
            write_whole(self.root / ".gitignore", "*\n", private=True)
            self._known = _identity(self.root)
        return self.root

    def _objection(self) -> str:
        """Say why it cannot be used; a folder that this process has made stays its own."""
        if self._known is not None and self._known == _identity(self.root):
            return ""
        return _lasting_objection(self.root)

    def inside(self, name: str) -> Path:
        """Return a private folder in it, which is created."""
        folder = self.made() / name
        with storage(self.root):
            folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def partials(self) -> Iterator[tuple[Path, str]]:
        """Yield the folders of unfinished entries, each with the name of the lock of its builder.

        Temporary files of `write_whole` that nobody holds are removed.
        """
        remove_partials(self.root)
        for folder in self._folders():
            remove_partials(folder)
            for path in _listed(folder):
                if (found := _PARTIAL.fullmatch(path.name)) and _is_folder(path):
                    yield path, f"{folder.name}-{found[1]}"
                elif folder.name == "runs" and _is_folder(path):
                    remove_partials(path)

    def clear(self) -> None:
        """Delete every artefact in it, and nothing else. Locks stay, since others may hold them.

        Raises:
            CacheError: it is not a cache of this plugin.
        """
        if not self.root.exists():
            return
        if problem := _lasting_objection(self.root):
            raise CacheError(self.root, f"the cache {problem}", _remedy(problem))
        for folder in self._folders():
            for path in _listed(folder):
                ours = folder.name in ("code", "runs") or (path / MANIFEST).is_file()
                if ours and KEY.fullmatch(path.name) and not path.is_symlink():
                    with contextlib.suppress(OSError):  # another process deletes it, too
                        discard(path)

    def _folders(self) -> list[Path]:
        return [path for path in _listed(self.root) if _is_folder(path) and path.name != "locks"]


def _lasting_objection(root: Path) -> str:
    """Say why a folder cannot be used as a cache; "" if it can be. Nothing is written.

    While another process makes or deletes a cache, its tag is missing for a moment.
    """
    problem = _objection(root)
    for _ in range(_ATTEMPTS):
        if problem not in (_FOREIGN, _REMAINS):
            break
        time.sleep(_PAUSE)
        problem = _objection(root)
    return problem


def _objection(root: Path) -> str:
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            return "is not a folder"
    except (FileNotFoundError, NotADirectoryError):
        return "is a link to nothing" if root.is_symlink() else _no_room(root)
    except OSError as error:
        return f"cannot be used ({error.strerror or error})"
    names: set[str] = set()  # stays empty if the folder is deleted at this moment
    try:
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            return "cannot be read and written"
        with os.scandir(root) as listed:
            names = {entry.name for entry in listed if not entry.name.startswith(".kycquant-")}
        if names and read_regular(root / _TAG_NAME, 4096) != _TAG.encode():
            return _FOREIGN
    except FileNotFoundError:
        return _REMAINS if names <= _NAMES else _FOREIGN
    except ValueError:
        return _FOREIGN
    except OSError as error:
        return f"cannot be used ({error.strerror or error})"
    return ""


_FOREIGN = f"is a folder of something else (it is not empty and has no {_TAG_NAME} of this plugin)"
_REMAINS = f"has no {_TAG_NAME}, and seems to be what is left of a cache deleted during a run"


def _remedy(problem: str) -> str:
    return f"delete it, or {_ANOTHER}" if problem == _REMAINS else _ANOTHER


def refuse(root: Path, places: Mapping[str, Path]) -> None:
    """Refuse a folder as a cache before anything is done.

    Args:
        root: the folder.
        places: folders, by what they are, that must not lie in a cache.

    Raises:
        SettingsError: it is not usable as a cache, or contains one of those places.
    """
    real = Path(os.path.realpath(root))
    for what, place in places.items():
        if Path(os.path.realpath(place)).is_relative_to(real):
            raise SettingsError(CACHE, f"{root} contains {what} ({place})", _ANOTHER)
    if problem := _lasting_objection(root):
        raise SettingsError(CACHE, f"{root} {problem}", _remedy(problem))


def discard(path: Path) -> None:
    """Delete something that this plugin has made in its cache; a link is not followed."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def storage(root: Path) -> Iterator[None]:
    """Report a fault of the cache's storage in the one error that says so."""
    try:
        yield
    except OSError as error:
        raise fault(root, error) from error


def fault(root: Path, error: BaseException) -> CacheError:
    """Return the error for storage that does not work."""
    if isinstance(error, FileNotFoundError) and root.parent.exists():
        return deleted(root)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CacheError(root, f"the cache cannot be written ({reason})", _SPACE)


def deleted(path: Path) -> CacheError:
    """Return the error for a cache, or an entry of it, that vanished under the run."""
    return CacheError(
        path,
        "the cache was deleted or changed while the run used it",
        "run the gates again, and delete the cache between runs",
    )


def _no_room(root: Path) -> str:
    """Say why a folder cannot be created; "" if it can be."""
    above = next(parent for parent in root.parents if os.path.lexists(parent))
    if not above.is_dir():
        return f"cannot be created: {above} is not a folder"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"cannot be created: {above} is read-only"
    return ""


def _make_private(root: Path) -> None:
    """Take from others what earlier versions left open to them."""
    # On Windows the bits say nothing: who may read a folder follows from the folder above it.
    if WINDOWS or not stat.S_IMODE(root.stat().st_mode) & _OTHERS:
        return
    try:
        root.chmod(0o700)
    except PermissionError as error:
        raise CacheError(
            root,
            "the cache belongs to another user, who decides what is in it",
            _ANOTHER,
        ) from error
    for folder, _, files in os.walk(root):
        for path, mode in ((Path(folder), 0o700), *((Path(folder, name), 0o600) for name in files)):
            with contextlib.suppress(FileNotFoundError):
                if not path.is_symlink():
                    path.chmod(mode)


def _identity(root: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = root.stat()
        return found.st_dev, found.st_ino
    return None


def _listed(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
