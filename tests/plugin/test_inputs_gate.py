"""A model of uint8 pixels, channels last, eight at once, with a fixed input: gates as usual."""

import json
import re
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.worlds.inputs import mixing, of_pixels, trained_by
from tests.worlds.population import Run

Project = Callable[..., None]
PREPROCESS = "size=(16, 16), mean=127.5, scale=1 / 127.5"


def rewrite(
    pytester: pytest.Pytester, change: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> None:
    path = pytester.path / "models" / "document.onnx"
    onnx.save(change(onnx.load(path)), path)


def edit(pytester: pytest.Pytester, **changes: str) -> None:
    """Edit the preprocessing and the constants of the gate file."""
    gate = pytester.path / "test_gate.py"
    text = gate.read_text().replace(PREPROCESS, changes["preprocess"])
    constants = f"constants={changes['constants']}, calibration="
    gate.write_text(re.sub(r"(constants=.*, )?calibration=", constants, text))


@pytest.fixture
def pixels_project(document_project: Project, pytester: pytest.Pytester) -> Project:
    def write(**options: str) -> None:
        document_project(golden=False, people=120, **options)
        rewrite(pytester, lambda m: trained_by(of_pixels(m, "uint8", "NHWC", 8, "float16")))
        edit(
            pytester,
            preprocess='size=(16, 16), layout="NHWC"',
            constants='{"phase_train": False}',
        )

    return write


def test_every_gate_passes_and_what_ships_is_a_drop_in(
    pixels_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    pixels_project(precisions='"fp16", "int8"', limits="metric=0.05, degradation=0.05")
    told = ("--kycquant-export=out", "--kycquant-report=r.json", "-v")
    result = run("--kycquant-update-golden", *told)
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(
        [
            "note on *fp16: contains phase_train=False, and no longer has this input*",
            "remark on fp32: each run takes 8 images, and latency is that of a run; copies of *",
        ]
    )
    (golden,) = (pytester.path / "golden").glob("*.json")
    facts = json.loads(golden.read_text())
    assert facts["inputs"]["preprocess"]["constants"] == {"phase_train": False}
    # The rates are those of the FP32 file, run here image by image in batches of copies.
    session = onnxruntime.InferenceSession(pytester.path / "models" / "document.onnx")
    with np.load(pytester.path / "documents.npz") as stored:
        pixels, labels = stored["images"], stored["labels"]
    classes = ("print", "live", "screen")
    wrong = 0
    for photograph, label in zip(pixels, labels, strict=True):
        feed = {"input": np.stack([photograph] * 8), "phase_train": np.array(False)}
        wrong += classes[session.run(None, feed)[0][0].argmax()] != label
    assert facts["rates"]["misread"]["errors"] == wrong
    assert facts["rates"]["misread"]["trials"] == len(pixels)
    shipped = onnxruntime.InferenceSession(next((pytester.path / "out").glob("*.onnx")))
    (only,) = shipped.get_inputs()
    assert (only.name, only.type, only.shape) == ("input", "tensor(uint8)", [8, 16, 16, 3])
    # Another value is another model.
    edit(pytester, preprocess="", constants='{"phase_train": True}')
    stale = run("-k", "finite and fp16")
    stale.assert_outcomes(errors=1)
    stale.stdout.fnmatch_lines(["*is stale: *constants*"])


def test_what_cannot_be_right_is_one_error(
    pixels_project: Project, run: Run, pytester: pytest.Pytester
) -> None:
    pixels_project(precisions='"fp16"')

    def error() -> str:
        result = run("--kycquant-update-golden", "-k", "finite", "-q")
        result.assert_outcomes(errors=1)
        assert "Traceback" not in result.stdout.str()
        return result.stdout.str()

    rewrite(pytester, mixing)
    assert "other outputs among other images of its batch" in error()
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    gate.write_text(text.replace("16), layout", "16), mean=127.5, layout"))
    assert "input 'input' is uint8: the model normalizes pixels itself" in error()
    gate.write_text(text.replace('"phase_train"', '"phase_trian"'))
    assert "did you mean 'phase_train'?" in error()
    gate.write_text(text.replace('constants={"phase_train": False}, ', ""))
    assert 'KycModel(constants={"phase_train": ...})' in error()
