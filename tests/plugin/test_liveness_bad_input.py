"""Bad input to a liveness gate gives one line that says what is wrong and what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.population import Run
from tests.worlds.presentations import presentations

Project = Callable[..., None]


def resave(path: Path, **changed: object) -> None:
    with np.load(path) as stored:
        arrays = dict(stored) | changed
    np.savez(path, **arrays)


def no_live(root: Path) -> None:
    pixels, labels, species, subjects = presentations(330, seed=3)
    attacks = species != ""
    np.savez(
        root / "captures.npz", images=pixels[attacks], labels=labels[attacks],
        species=species[attacks], subjects=subjects[attacks],
    )  # fmt: skip


def one_species_missing_in_selection(root: Path) -> None:
    with np.load(root / "selection.npz") as stored:
        kept = stored["species"] != "screen"
        arrays = {key: value[kept] for key, value in stored.items()}
    np.savez(root / "selection.npz", **arrays)


def same_people(root: Path) -> None:
    with np.load(root / "captures.npz") as stored:
        resave(root / "selection.npz", subjects=stored["subjects"])


def same_captures(root: Path) -> None:
    with np.load(root / "captures.npz") as stored:
        arrays = {key: value for key, value in stored.items() if key != "subjects"}
    np.savez(root / "selection.npz", **arrays)


def calibration_of_evaluation(root: Path) -> None:
    with np.load(root / "captures.npz") as stored:
        np.savez(root / "calibration.npz", images=stored["images"][:150])


def unknown_label(root: Path) -> None:
    labels = presentations(330, seed=3)[1].copy()
    labels[7] = "maybe"
    resave(root / "captures.npz", labels=labels)


def swapped_labels(root: Path) -> None:
    with np.load(root / "captures.npz") as stored:
        kinds = np.where(np.arange(len(stored["species"])) % 2, "print", "screen")
        species = np.where(stored["species"] == "", kinds, "")
        labels = np.where(species == "", "live", "attack")
    resave(root / "captures.npz", labels=labels, species=species)


def one_species(root: Path) -> None:
    for name in ("captures.npz", "selection.npz"):
        with np.load(root / name) as stored:
            species = np.where(stored["species"] == "screen", "print", stored["species"])
        resave(root / name, species=species)


def few_for_selection(root: Path) -> None:
    with np.load(root / "selection.npz") as stored:
        arrays = {key: value[:90] for key, value in stored.items()}
    np.savez(root / "selection.npz", **arrays)


CASES: list[tuple[Callable[[Path], None], str]] = [
    (no_live, "captures.npz: contains no live captures; add them"),
    (
        one_species_missing_in_selection,
        "selection.npz: has no attacks of the species screen, which ",
    ),
    (one_species, "captures.npz: has attacks of only one species (print), and a model that "),
    (same_people, "330 of its identities for evaluation are also used for selection"),
    (same_captures, "990 of its images for evaluation are also used for selection"),
    (calibration_of_evaluation, "150 of its images for calibration are also used for evaluation"),
    (unknown_label, "captures.npz[7] has the unknown label 'maybe'; write live or attack"),
    (
        few_for_selection,
        "threshold selection: even at the strictest threshold, with 0 errors in 30 attacks of "
        "the species print on 30 subjects, the upper bound of APCER is ",
    ),
    (
        swapped_labels,
        "FP32 itself scores attacks higher than live faces (AUC 0.000), so its score seems to be "
        "that of an attack; set LivenessDetection(live_class=2), with which its AUC is 0.746, or "
        "check the labels, and channel order, mean and scale of the preprocessing",
    ),
]


@pytest.mark.parametrize(("break_it", "message"), CASES)
def test_data(
    liveness_project: Project,
    run: Run,
    pytester: pytest.Pytester,
    break_it: Callable[[Path], None],
    message: str,
) -> None:
    liveness_project(golden=False)
    break_it(pytester.path)
    result = run("--kycquant-update-golden", "-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    assert message in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "live_class=0"}, "FP32 itself scores attacks higher than live faces (AUC 0."),
        ({"task": "live_class=3"}, "has 3 values, so there is no class 3; set LivenessDetection("),
        ({"task": "threshold=0.999999"}, "FP32 itself fails its limits (FAIL BPCER = 100 %"),
        (
            {"probabilities": True},
            'already probabilities (each row sums to 1); set LivenessDetection(scores="pr',
        ),
        ({"task": 'scores="probabilities"'}, "are not probabilities; set LivenessDetection(scores"),
        ({"task": 'output="logits"'}, "has no output 'logits'; its outputs are output"),
        ({"preprocess": "mean=0.0, scale=1.0"}, "is better beyond doubt with Preprocess(mean="),
        (
            {"task": 'boxes="boxes.csv", crop_scale=2.7'},
            "boxes.csv does not exist; give a path ",
        ),
    ],
)
def test_gate_file(
    liveness_project: Project, run: Run, options: dict[str, object], message: str
) -> None:
    liveness_project(golden=False, **options)
    result = run("--kycquant-update-golden", "-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    assert message in result.stdout.str()


def test_live_class_is_checked_on_outputs_from_the_cache(
    liveness_project: Project, run: Run
) -> None:
    liveness_project()
    liveness_project(task="live_class=3", golden=False)
    result = run("--kycquant-update-golden", "-k", "finite")
    assert "so there is no class 3" in result.stdout.str()
