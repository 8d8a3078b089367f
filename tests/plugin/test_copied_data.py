"""Evidence that only looks like more evidence: a gate refuses it or warns."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pytest_kycquant.data.images import ImageSet
from tests.worlds.population import Run, write_folders

Project = Callable[..., None]


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def tripled(root: Path) -> None:
    """Every evaluation image is saved twice more, with another text chunk."""
    (root / "faces.npz").unlink()
    folder = write_folders(root / "faces.npz", 330, 2, seed=3)
    for file in list(folder.rglob("*.png")):
        for number in range(2):
            info = PngInfo()
            info.add_text("copy", str(number))
            Image.open(file).save(file.with_stem(f"{file.stem}_{number}"), pnginfo=info)


def upper_case(root: Path) -> None:
    """The selection holds the evaluation's people, photographed again, in upper case."""
    faces = arrays(root / "faces.npz")
    noise = np.random.default_rng(0).integers(0, 9, faces["images"].shape)
    images = (faces["images"].astype(int) + noise).clip(0, 255).astype(np.uint8)
    np.savez(root / "selection.npz", images=images, subjects=np.char.upper(faces["subjects"]))


def calibrated_on_copies(root: Path) -> None:
    """The calibration images are evaluation images in another format."""
    faces = arrays(root / "faces.npz")["images"]
    (root / "calibration.npz").unlink()
    for number in range(120):
        save(root / "calibration.npz" / f"{number:03d}.bmp", faces[number])


def cut(root: Path) -> None:
    """One image has lost nine tenths of its data, but not its end marker."""
    (root / "faces.npz").unlink()
    folder = write_folders(root / "faces.npz", 330, 2, seed=3)
    victim = folder / "person3_000" / "person3_000_0001.png"
    buffer = io.BytesIO()
    Image.open(victim).resize((64, 64)).save(buffer, "JPEG", quality=95)
    content, start = buffer.getvalue(), buffer.getvalue().index(b"\xff\xda")
    kept = start + 14 + (len(content) - start) // 10
    victim.with_suffix(".jpg").write_bytes(content[:kept] + b"\xff\xd9")
    victim.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (tripled, "*faces.npz: the same image appears twice: *_0001.png = *; keep one copy *"),
        (upper_case, "*faces.npz: 330 of its identities for evaluation are also used for *"),
        (calibrated_on_copies, "*calibration.npz: 120 of its images for calibration are also *"),
        (cut, "*person3_000_0001.jpg: cannot be decoded (*premature end*); replace it *"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_refused(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    project(golden=False)
    damage(pytester.path)
    result = run("--kycquant-update-golden", "-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines([message])


def note_of(report: Path) -> str:
    (gate,) = json.loads(report.read_text())["gates"]
    return "; ".join(gate["variants"][0]["notes"])


def mirrored_calibration(root: Path) -> None:
    faces = arrays(root / "faces.npz")["images"][:120]
    np.savez(root / "calibration.npz", images=faces[:, :, ::-1])


def turned_selection(root: Path) -> None:
    selection, faces = arrays(root / "selection.npz"), arrays(root / "faces.npz")
    selection["images"][:3] = np.rot90(faces["images"][:3], 1, (1, 2))
    np.savez(root / "selection.npz", **selection)


def same_face_twice(root: Path) -> None:
    faces = arrays(root / "faces.npz")
    images = faces["images"].astype(float)
    images[10] = images[0] * 0.9 + 8
    faces["images"] = images.astype(np.uint8)
    np.savez(root / "faces.npz", **faces)


@pytest.mark.parametrize(
    ("edit", "warning", "note"),
    [
        (
            mirrored_calibration,
            "*NearDuplicateWarning: */faces.npz: 120 of its images for evaluation are, but for an "
            "edit (*), also used for calibration (*/calibration.npz): faces.npz?0? = "
            "calibration.npz?0?, * and 115 more; use other photographs for calibration",
            "evaluation images have near-duplicates: 120 pairs with calibration images",
        ),
        (
            turned_selection,
            "*/faces.npz: 3 of its images for evaluation are, but *, also used for selection *",
            "evaluation images have near-duplicates: 3 pairs with selection images",
        ),
        (
            same_face_twice,
            "*/faces.npz: 1 pair of its images for evaluation are, but for an edit (*), the same "
            "image, and count as different people: faces.npz?0? = faces.npz?10?; keep *",
            "evaluation images have near-duplicates: 1 pair with evaluation images",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_edited_copies_warn_and_are_counted(
    project: Project,
    run: Run,
    pytester: pytest.Pytester,
    edit: Callable[[Path], None],
    warning: str,
    note: str,
) -> None:
    project(golden=False)
    edit(pytester.path)
    result = run("--kycquant-update-golden", "--kycquant-report=r.json", "-k", "size")
    result.stdout.fnmatch_lines([warning])
    assert note_of(pytester.path / "r.json") == note


def test_nothing_is_said_about_other_photographs(
    project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    result = run("--kycquant-update-golden", "--kycquant-report=r.json", "-k", "size")
    result.stdout.no_fnmatch_line("*NearDuplicateWarning*")
    assert note_of(pytester.path / "r.json") == ""


def test_warm_cache_decodes_samples_only(
    project: Project, run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project()
    run("-k", "size").assert_outcomes(passed=1, deselected=5)
    decoded = set()
    pixels_of = ImageSet.pixels

    def counted(images: ImageSet, index: int) -> np.ndarray:
        decoded.add(images.where(index))
        return pixels_of(images, index)

    monkeypatch.setattr(ImageSet, "pixels", counted)
    run("-k", "size").assert_outcomes(passed=1, deselected=5)
    # Of 1,380 images, a sample of each of three sets, and of those that FP32 ran on.
    assert 0 < len(decoded) <= 5 * 8
