"""Bad input to a whole run gives one line with the file, the cause and the remedy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from tests.worlds.population import Run, embedder, people, write_folders


def model_of(root: Path) -> Path:
    return root / "models" / "face.onnx"


def truncate(root: Path) -> None:
    content = model_of(root).read_bytes()
    model_of(root).write_bytes(content[: len(content) // 2])


def empty_model(root: Path) -> None:
    model_of(root).write_bytes(b"")


def nan_weight(root: Path) -> None:
    model = embedder()
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0, 0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "first.w"))
    onnx.save(model, model_of(root))


def missing_external_data(root: Path) -> None:
    onnx.save(
        embedder(), model_of(root), save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    (root / "models" / "weights.bin").unlink()


def wrong_shape(root: Path) -> None:
    gate = root / "test_gate.py"
    gate.write_text(gate.read_text().replace("size=(16, 16)", "size=(24, 16)"))


def one_identity(root: Path) -> None:
    pixels, _ = people(1, 4, seed=3)
    np.savez(root / "faces.npz", images=pixels, subjects=np.asarray(["ann"] * 4))


def pickled(root: Path) -> None:
    np.savez(root / "faces.npz", images=np.asarray([object()]), subjects=np.asarray(["ann"]))


def no_calibration_images(root: Path) -> None:
    (root / "calibration.npz").unlink()
    (root / "calibration.npz").mkdir()


def broken_image(root: Path) -> None:
    (root / "faces.npz").unlink()
    folder = write_folders(root / "faces.npz", 330, 2, seed=3)
    (folder / "person3_000" / "person3_000_0001.png").write_bytes(b"no image")


def image_of_16_bits(root: Path) -> None:
    (root / "faces.npz").unlink()
    folder = write_folders(root / "faces.npz", 330, 2, seed=3)
    deep = Image.fromarray(np.zeros((16, 16), np.uint16))
    deep.save(folder / "person3_000" / "person3_000_0001.png")


def leaked(root: Path) -> None:
    with np.load(root / "faces.npz") as faces, np.load(root / "calibration.npz") as calibration:
        images = np.concatenate([calibration["images"], faces["images"][:3]])
    np.savez(root / "calibration.npz", images=images)


def missing_data(root: Path) -> None:
    (root / "faces.npz").unlink()


def missing_pairs(root: Path) -> None:
    gate = root / "test_gate.py"
    text = gate.read_text().replace('"faces.npz",', '"faces.npz", pairs="pairs.csv",')
    gate.write_text(text)
    (root / "pairs.csv").write_text("left,right,same\nnobody.jpg,faces.npz[1],1\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "*models/face.onnx: is truncated or damaged; export or download *"),
        (empty_model, "*models/face.onnx: * empty*; *"),
        (nan_weight, "*models/face.onnx: *first.w*NaN*; *"),
        (missing_external_data, "*models/face.onnx: *weights.bin*; *"),
        (
            wrong_shape,
            "*models/face.onnx: input 'input' is 1x3x16x16 but preprocessing makes 1x3x24x16; *",
        ),
        (one_identity, "*faces.npz: has fewer than two identities to compare; add images of *"),
        (pickled, "*faces.npz: *pickled Python objects*; *"),
        (no_calibration_images, "*calibration.npz: *; *"),
        (broken_image, "*person3_000/person3_000_0001.png: is not an image: *; replace it *"),
        (image_of_16_bits, "*person3_000/person3_000_0001.png: *16*; *"),
        (leaked, "*calibration.npz: 3 of its images for calibration are also used for evaluation*"),
        (missing_data, "*FaceVerification.data: */faces.npz does not exist; give a path *"),
        (missing_pairs, "*pairs.csv: *nobody.jpg*; *"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_one_line(
    project: Callable[..., None],
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
    lines = result.stdout.lines
    start = next(i for i, line in enumerate(lines) if "ERROR at setup" in line)
    assert lines[start + 2].startswith("====")  # the message is a single line
    assert not (pytester.path / "golden").exists()
