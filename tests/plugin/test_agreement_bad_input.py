"""Bad input to a gate without labels gives one line with the place, the cause and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from tests.worlds import scenery
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, people
from tests.worlds.unlabelled import pixels, write_unlabelled


def model_of(root: Path) -> Path:
    return root / "models" / "model.onnx"


def change_weights(root: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one weight of the model."""
    model = onnx.load(model_of(root))
    (weight,) = (w for w in model.graph.initializer if w.name == name)
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)), name))
    onnx.save(model, model_of(root))


def constant_output(root: Path) -> None:
    change_weights(root, "gemm.w", lambda weights: weights * np.float32(1e-9))
    change_weights(root, "gemm.b", lambda bias: bias + np.float32(1))


def overflow(root: Path) -> None:
    change_weights(root, "gemm.w", lambda weights: weights * np.float32(1e37))
    change_weights(root, "fifth.w", lambda weights: weights * np.float32(1e6))


def blind(root: Path) -> None:
    onnx.save(scenery.detector(blind=True), model_of(root))


def twice(root: Path) -> None:
    images = pixels("faces", 40, 3)
    np.savez(root / "images.npz", images=images[[*range(40), 7]])


def single(root: Path) -> None:
    np.savez(root / "images.npz", images=pixels("faces", 1, 3))


def one_person(root: Path) -> None:
    np.savez(root / "images.npz", images=people(1, 40, seed=3)[0])


def empty_folder(root: Path) -> None:
    (root / "images.npz").unlink()
    (root / "images.npz").mkdir()


def stranger(root: Path) -> None:
    empty_folder(root)
    Image.fromarray(pixels("faces", 1, 3)[0]).save(root / "images.npz" / "one.png")
    (root / "images.npz" / "labels.xlsx").write_bytes(b"x")


def gone(root: Path) -> None:
    (root / "images.npz").unlink()


def calibrated_on(root: Path) -> None:
    images = pixels("faces", 110, 1)
    np.savez(root / "images.npz", images=np.concatenate([pixels("faces", 40, 3), images[:1]]))


def searched_on(root: Path) -> None:
    edit(root, "threshold=0.7", 'threshold=0.7, selection="other.npz"')
    np.savez(root / "other.npz", images=pixels("faces", 400, 3)[:40])


def tiny_share(root: Path) -> None:
    np.savez(root / "images.npz", images=pixels("faces", 3, 3))
    edit(root, "threshold=0.7", "threshold=0.7, selection=0.3")


def edit(root: Path, old: str, new: str) -> None:
    gate = root / "test_gate.py"
    assert old in gate.read_text()
    gate.write_text(gate.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("world", "damage", "message"),
    [
        ("faces", constant_output, "*model.onnx: FP32 itself accepts 100.0% of all pairs of *"),
        ("faces", one_person, "*FP32 itself accepts * of all pairs of 40 images *different people"),
        ("liveness", constant_output, "*model.onnx: FP32 itself scores all 400 images alike*"),
        ("faces", overflow, "*model.onnx: FP32 itself fails its limits (FAIL images with NaN*"),
        ("liveness", overflow, "*model.onnx: FP32 itself fails its limits (FAIL images with NaN*"),
        ("detection", blind, "*model.onnx: FP32 itself finds no face in 400 images at a conf*"),
        ("faces", twice, "*images.npz: the same image appears twice: images.npz[[]7] (a copy)*"),
        ("faces", single, "*images.npz: has a single image for evaluation; add images*"),
        ("faces", empty_folder, "*images.npz: contains no images; add JPEG or PNG images"),
        ("faces", stranger, "*images.npz: contains files of an unknown kind: labels.xlsx; *"),
        ("faces", gone, "*FaceVerification.data: *images.npz does not exist; *"),
        ("faces", calibrated_on, "*1 of its images for calibration are also used for evaluation*"),
        ("faces", searched_on, "*40 of its images for * are also used for *"),
        ("faces", tiny_share, "*has a single image for selection; add images*"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_clear_error(
    pytester: pytest.Pytester,
    run: Run,
    world: str,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    write_unlabelled(pytester.path, world, precisions='"fp16"')
    damage(pytester.path)
    result = run("--kycquant-update-golden", "-k", "test_finite or test_agreement")
    stopped(result, 2, deselected=2)
    result.stdout.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "class TestAgreement(AgreementGates)",
            "from pytest_kycquant import FaceGates\nclass TestAgreement(FaceGates)",
            "*TestAgreement: judges errors, but FaceVerification(labelled=False) has no labels; "
            "subclass AgreementGates, or label the images",
        ),
        (
            "labelled=False, ",
            "",
            "*TestAgreement: judges agreement without labels, but the images of FaceVerification "
            "are labelled; subclass FaceGates, which is stricter, or *",
        ),
        (
            "FaceLimits(",
            "LivenessLimits(",
            "*.limits: are LivenessLimits, not FaceLimits; give limits=FaceLimits(...)",
        ),
        (
            ", threshold=0.7",
            "",
            "*FaceVerification.threshold: is missing, and cannot be chosen without labels; *",
        ),
    ],
)
def test_refused_at_collection(
    pytester: pytest.Pytester, run: Run, old: str, new: str, message: str
) -> None:
    write_unlabelled(pytester.path, "faces")
    edit(pytester.path, old, new)
    result = run("--collect-only")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_marker_cannot_bring_labels_in(pytester: pytest.Pytester, run: Run) -> None:
    """Nor can it bring a model without labels to gates that need them."""
    write_unlabelled(pytester.path, "faces")
    with (pytester.path / "test_gate.py").open("a") as file:
        file.write(
            "\nimport dataclasses, pytest\n"
            "labelled = dataclasses.replace(TestAgreement.model.task, labelled=True)\n"
            "model = dataclasses.replace(TestAgreement.model, task=labelled)\n"
            "TestAgreement = pytest.mark.kycquant(model=model)(TestAgreement)\n"
        )
    result = run("--collect-only")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TestAgreement: judges agreement without labels*"])


def test_a_gate_that_needs_labels_is_no_gate_here(pytester: pytest.Pytester, run: Run) -> None:
    write_unlabelled(pytester.path, "faces", precisions='"fp16"')
    with (pytester.path / "test_gate.py").open("a") as file:
        file.write("    def test_far(self, candidate):\n        candidate.check('far')\n")
    result = run("--kycquant-update-golden", "-k", "test_far")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(
        ["*candidate.check: 'far' is unknown; choose from 'finite', 'agreement', 'latency', 'size'"]
    )


def test_the_marker_works_without_a_class(pytester: pytest.Pytester, run: Run) -> None:
    write_unlabelled(pytester.path, "faces", precisions='"fp16"')
    with (pytester.path / "test_gate.py").open("a") as file:
        file.write(
            "\nimport pytest\n"
            "@pytest.mark.kycquant(model=TestAgreement.model, precisions='fp16',\n"
            "                      limits=TestAgreement.limits)\n"
            "def test_alone(candidate):\n    candidate.check('agreement')\n"
        )
    run("--kycquant-update-golden", "-k", "test_alone").assert_outcomes(passed=1, deselected=4)


def test_a_folder_of_any_depth(pytester: pytest.Pytester, run: Run) -> None:
    write_unlabelled(pytester.path, "faces", precisions='"fp16"')
    edit(pytester.path, "images.npz", "photos")
    for index, image in enumerate(pixels("faces", 300, 3)):
        folder = pytester.path / "photos" / f"{index % 3}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:03d}.png")
    (pytester.path / "photos" / "README.md").write_text("where these come from")
    run("--kycquant-update-golden", "-k", "test_agreement").assert_outcomes(passed=1, deselected=3)


def test_a_share_of_images_goes_to_the_search(pytester: pytest.Pytester, run: Run) -> None:
    """One more image moves at most one other to the other side; the golden notices it."""
    write_unlabelled(pytester.path, "faces", precisions='"fp16"', options="selection=0.5")
    run("--kycquant-update-golden", "-k", "test_finite").assert_outcomes(passed=1, deselected=3)
    np.savez(pytester.path / "images.npz", images=pixels("faces", 401, 3))
    run("-k", "test_finite").stdout.fnmatch_lines(["*is stale: * changed since it was recorded*"])
