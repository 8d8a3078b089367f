"""Images that are the same as others, or nearly, and people that are the same as others."""

from __future__ import annotations

import io
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tests.corpus.case import Case
from tests.corpus.judge import refused, warned
from tests.corpus.trial import Trial


def _again(path: Path, target: Path) -> None:
    """The same pixels in a file of other bytes."""
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "another file")
    Image.open(path).save(target, pnginfo=note, compress_level=1)


def _copies(trial: Trial) -> None:
    """Every evaluation image twice more, in other files."""
    for path in sorted(trial.file("faces").rglob("*.png")):
        for index in (3, 4):
            number = 2 * index + int(path.stem[-1])
            _again(path, path.with_name(f"{path.stem[:-1]}{number}.png"))
    trial.edit("test_gate.py", ', pairs="pairs.csv"', "")
    trial.update_golden()


def _copied(source: str, to: str) -> Callable[[Trial], None]:
    """Some images also lie in another place, as another person's or in another split."""

    def damage(trial: Trial) -> None:
        chosen = trial.rng.sample(sorted(trial.file(source).rglob("*.png")), 3)
        folders = sorted(path for path in trial.file(to).iterdir() if path.is_dir())
        for index, path in enumerate(chosen):
            others = [f for f in folders if f.name != path.parent.name] or [trial.file(to)]
            folder = trial.rng.choice(others)
            _again(path, folder / f"{folder.name}_{900 + index:04d}.png")
        trial.update_golden()

    return damage


def _as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


def _derived(how: Callable[[Image.Image], Image.Image]) -> Callable[[Trial], None]:
    """Calibration consists of edited evaluation images."""

    def damage(trial: Trial) -> None:
        _natural(trial)
        shutil.rmtree(trial.file("calibration"))
        trial.file("calibration").mkdir()
        sources = sorted(trial.file("faces").rglob("*.png")) + sorted(
            trial.file("selection").rglob("*.png")
        )
        for index, path in enumerate(sources[:100]):
            how(Image.open(path)).save(trial.file("calibration") / f"{index:03d}.png")
        trial.update_golden()

    return damage


def _natural(trial: Trial) -> None:
    """Smooth images of 64 x 64 pixels: of noise of 16 x 16, an edit would leave nothing."""
    for index, path in enumerate(sorted(trial.project.rglob("*.png"))):
        owner = path if path.parent.name == "calibration" else path.parent
        person = zlib.crc32(owner.name.encode())
        coarse = np.random.default_rng(person).normal(128, 60, (6, 6, 3))
        coarse += np.random.default_rng(index).normal(0, 25, (6, 6, 3))
        small = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    trial.edit("test_gate.py", "far=0.2, frr=0.2", "far=0.99, frr=0.99")
    trial.edit(
        "test_gate.py",
        "far_degradation=0.2, frr_degradation=0.2",
        "far_degradation=0.9, frr_degradation=0.9",
    )
    trial.edit("test_gate.py", "selection_far=0.03", "threshold=0.5")


def _same_person(first: str, second: str) -> Callable[[Trial], None]:
    """A person of the evaluation is also in the selection, under a name that differs in nothing."""

    def damage(trial: Trial) -> None:
        source = trial.rng.choice(sorted(trial.file("faces").iterdir()))
        mine, other = source.with_name(first), trial.file("selection") / second
        source.rename(mine)
        trial.rng.choice(sorted(trial.file("selection").iterdir())).rename(other)
        trial.edit("test_gate.py", ', pairs="pairs.csv"', "")
        trial.edit("test_gate.py", 'groups="groups.csv",', "")
        trial.edit("test_gate.py", "group_far_degradation=0.9, group_frr_degradation=0.9, ", "")
        trial.update_golden()

    return damage


_REFUSED = refused("faces", "selection", "calibration")
_EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "jpeg": _as_jpeg,
    "half-size": lambda image: image.resize((32, 32), Image.Resampling.LANCZOS),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "brighter": lambda image: image.point(lambda value: min(255, value + 12)),
}


def cases(rng: random.Random) -> Iterator[Case]:
    """Equal pixels in other files, edited copies as calibration, names that differ in nothing."""
    yield Case("copy-all-thrice", "folders", _copies, _REFUSED)
    for source, to in (("faces", "faces"), ("faces", "selection"), ("selection", "faces"),
                       ("faces", "calibration"), ("selection", "calibration")):  # fmt: skip
        yield Case(
            f"copy-{source}-{to}",
            "folders",
            _copied(source, to),
            _REFUSED,
        )
    for name, edit in _EDITS.items():
        says = r"duplicate|same picture|derived|alike|near"
        yield Case(f"copy-derived-{name}", "folders", _derived(edit), warned(says))
    for name, first, second in (
        ("upper-case", "Anna Berg", "ANNA BERG"),
        ("spaces", "Anna Berg", "Anna Berg "),
        ("decomposed", "Andr\u00e9", "Andre\u0301"),
        ("sharp-s", "Stra\u00dfer", "STRASSER"),
        ("width", "Anna", "\uff21nna"),
        ("no-break-space", "Anna Berg", "Anna\u00a0Berg"),
    ):
        expect = refused("faces", "selection")
        yield Case(f"copy-name-{name}", "folders", _same_person(first, second), expect)
