"""The golden baseline: missing, stale, edited, recorded elsewhere, refused in CI, unsound."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pytest_kycquant.context.cache import digest_of
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, embedder, write_npz

COMMAND = "pytest test_gate.py::TestFace --kycquant-update-golden"


def rewrite(path: Path, **changes: object) -> None:
    """Change a golden and its checksum, as if another machine had written it."""
    values = json.loads(path.read_text()) | changes
    values.pop("checksum")
    path.write_text(json.dumps({**values, "checksum": digest_of(values)}))


@pytest.fixture
def golden(project: Callable[..., None], pytester: pytest.Pytester) -> Path:
    project()
    return pytester.path / "golden" / "face.json"


def test_missing_is_an_error_with_the_command(golden: Path, run: Run) -> None:
    golden.unlink()
    result = run("--junitxml=j.xml")
    stopped(result, 6)
    result.stdout.fnmatch_lines(
        [f"*face.json: there is no golden baseline yet; record it with: {COMMAND}"]
    )
    # The first test explains; the others refer to it.
    refers = "this gate cannot run; see the error of test_gate.py::TestFace::test_finite[int8]"
    assert (golden.parent.parent / "j.xml").read_text().count(refers) >= 5
    assert not golden.exists()


def test_stale_model(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    onnx.save(embedder(seed=1), pytester.path / "models" / "face.onnx")
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(
        [f"*face.json: is stale: model sha256 changed since *accept it with: {COMMAND} *"]
    )


def test_stale_data(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    write_npz(pytester.path / "faces.npz", 330, 2, seed=9)
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.json: is stale: evaluation changed since *"])


def test_stale_preprocessing(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    gate = pytester.path / "test_gate.py"
    gate.write_text(gate.read_text().replace("mean=127.5", "mean=120.0"))
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.json: is stale: preprocess changed since *"])


def test_update_accepts_the_change(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    write_npz(pytester.path / "faces.npz", 330, 2, seed=9)
    before = golden.read_text()
    run("--kycquant-update-golden").assert_outcomes(passed=6)
    assert golden.read_text() != before
    run().assert_outcomes(passed=6)


def test_stale_labels(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    """The images are the same, but someone else is on them."""
    path = pytester.path / "selection.npz"
    with np.load(path) as stored:
        images, subjects = stored["images"], stored["subjects"]
    subjects[:60] = np.roll(subjects[:60], 2)
    np.savez(path, images=images, subjects=np.where(subjects == subjects[0], "new", subjects))
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.json: is stale: selection changed since *"])


def test_two_gates_that_share_a_golden_but_differ(
    golden: Path, run: Run, pytester: pytest.Pytester
) -> None:
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    second = text[text.index("class ") :].replace("TestFace", "TestOther")
    gate.write_text(text + "\n" + second.replace("FaceLimits(", "FaceLimits(far=0.002, "))
    result = run("--kycquant-update-golden")
    stopped(result, 6, passed=6)
    result.stdout.fnmatch_lines(
        [
            "*face.json: two gates of this run record it for different *; give one of them a "
            "different name*"
        ]
    )
    gate.write_text(
        gate.read_text()
        .replace('selection="selection.npz"),', 'selection="selection.npz"), name="other",', 2)
        .replace('name="other",', "", 1)
    )
    run("--kycquant-update-golden").assert_outcomes(passed=12)
    assert (golden.parent / "other.json").is_file()


def test_edited_threshold(golden: Path, run: Run) -> None:
    values = json.loads(golden.read_text())
    golden.write_text(golden.read_text().replace(str(values["threshold"]), "0.99"))
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.json: was edited by hand (its checksum does not match); *"])


def test_other_errors_than_recorded(golden: Path, run: Run) -> None:
    rates = json.loads(golden.read_text())["rates"]
    rates["FAR"]["errors"] += 1
    rewrite(golden, rates=rates)
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.json: FP32 FAR is * of * here, but the golden records *"])


def test_recorded_in_another_environment(golden: Path, run: Run) -> None:
    there = json.loads(golden.read_text())["environment"]
    rewrite(golden, environment=there | {"cpu": "Another CPU"})
    result = run()
    result.assert_outcomes(passed=6, warnings=1)
    result.stdout.fnmatch_lines(
        [f"*face.json was recorded in another environment (different: cpu)*: {COMMAND}"]
    )


def test_update_is_refused_in_ci(golden: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = golden.read_bytes()
    monkeypatch.setenv("CI", "true")
    result = run("--kycquant-update-golden")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--kycquant-update-golden is refused when *CI is set; *"])
    assert golden.read_bytes() == before


def test_broken_baseline_is_no_basis(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    """Wrong preprocessing: the images lose all contrast, and everyone looks alike."""
    gate = pytester.path / "test_gate.py"
    text = gate.read_text().replace('selection="selection.npz"', "threshold=0.5")
    gate.write_text(text.replace("mean=127.5", "mean=-100000.0"))
    before = golden.read_bytes()
    for options, message in (
        ((), "FP32 is better beyond doubt with Preprocess(mean=127.5, scale=1 / 127.5): FRR 0.00%"),
        (
            ("--kycquant-accept-preprocessing",),
            "FP32 itself fails its limits (FAIL * check channel",
        ),
    ):
        result = run("--kycquant-update-golden", *options)
        stopped(result, 6)
        result.stdout.fnmatch_lines([f"*{message}*"])
    assert golden.read_bytes() == before


def test_golden_folder_option(golden: Path, run: Run, pytester: pytest.Pytester) -> None:
    golden.parent.rename(pytester.path / "elsewhere")
    run("--kycquant-golden=elsewhere").assert_outcomes(passed=6)
    pytester.makeini("[pytest]\nkycquant_golden = elsewhere\n")
    run().assert_outcomes(passed=6)


def test_shuffled_labels_fail_the_baseline(
    golden: Path, run: Run, pytester: pytest.Pytester
) -> None:
    path = pytester.path / "faces.npz"
    with np.load(path) as stored:
        images, subjects = stored["images"], stored["subjects"]
    np.savez(path, images=images, subjects=np.random.default_rng(0).permutation(subjects))
    result = run("--kycquant-update-golden")
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*FP32 itself fails its limits (FAIL F?R = * the labels *"])
    # Whole photographs instead of aligned faces look like this, too.
    result.stdout.fnmatch_lines(
        ["*, whether the images are aligned faces (whole photographs need *"]
    )
