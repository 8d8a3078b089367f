"""An error in a pipeline is reported in one line and never becomes a pass."""

import functools
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_kycquant import PipelineGates  # noqa: F401 - for the texts of classes
from pytest_kycquant.errors import SpecError
from tests.worlds.outcomes import stopped
from tests.worlds.pipelines import write_gate
from tests.worlds.population import Run

Project = Callable[..., Path]


def no_photos(root: Path) -> None:
    for photo in (root / "photos").iterdir():
        photo.unlink()


def no_folder(root: Path) -> None:
    shutil.rmtree(root / "photos")


def damaged(root: Path) -> None:
    (root / "photos" / "03.png").write_bytes((root / "photos" / "03.png").read_bytes()[:900])


def no_faces(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    for photo in (root / "photos").iterdir():
        Image.fromarray(noise).save(photo)


def no_golden(root: Path) -> None:
    (root / "golden" / "liveness.json").unlink()


def other_data(root: Path) -> None:
    first_people(root, 320)


def first_people(root: Path, count: int) -> None:
    with np.load(root / "face" / "faces.npz") as people:
        kept = {name: people[name][: 2 * count] for name in people.files}
    np.savez(root / "face" / "faces.npz", **kept)


def no_model(root: Path) -> None:
    (root / "face" / "models" / "face.onnx").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_photos, "*photos: contains no images; add JPEG or PNG images"),
        (no_folder, "*TestPipeline images: */photos does not exist; give a path *"),
        (damaged, "*03.png: cannot be decoded *; replace it with an intact image *"),
        (no_faces, "*photos: FP32 reaches every stage on none of its 170 images "
                   "(liveness, embedder skipped on 170); give images in which the detector *"),
        (no_golden, "*golden/liveness.json: *; * pytest liveness/gate.py --kycquant-update-*"),
        (other_data, "*golden/face.json: *; * pytest face/gate.py --kycquant-update-golden*"),
        (no_model, "KycModel.path: models/face.onnx is neither at * nor at *"),
    ],
)  # fmt: skip
def test_error(
    pipeline_project: Project, run: Run, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(pipeline_project())
    result = run()
    stopped(result, 4)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("pipeline, *")


def test_nothing_ships(pipeline_project: Project, run: Run) -> None:
    """With 30 people no claim about faces is possible, not even for FP32."""
    root = pipeline_project()
    first_people(root, 30)
    result = run("--kycquant-update-golden", "--kycquant-inconclusive=warn")
    stopped(result, 4)
    result.stdout.fnmatch_lines(
        [
            "*embedder (face): no variant passes its own gates, not even FP32; see why with: "
            "pytest face/gate.py"
        ]
    )


def test_a_precision_that_cannot_be_made_does_not_ship(pipeline_project: Project, run: Run) -> None:
    root = pipeline_project()
    gate = root / "face" / "gate.py"
    recipe = 'Recipe("mixed", name="lost", keep_fp32=("no such operator",)), "int8"'
    gate.write_text(gate.read_text().replace('("int8",)', f"({recipe},)"))
    result = run("-k", "complete")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["detector * fp32 * fp32", "liveness * fp32 * int8", "embedder * fp32 * int8"]
    )


def test_a_marker_says_nothing_to_a_pipeline(pipeline_project: Project, run: Run) -> None:
    root = pipeline_project()
    gate = root / "test_pipeline.py"
    marked = "import pytest\n\n@pytest.mark.kycquant(strict=True)\nclass TestPipeline"
    gate.write_text(gate.read_text().replace("class TestPipeline", marked))
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*TestPipeline: is a pipeline, which ignores the marker kycquant*"]
    )


def test_wrong_attributes_are_refused_on_collection(pipeline_project: Project, run: Run) -> None:
    pipeline_project("runs = 10")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TestPipeline.runs: 10 is too small; give a whole number *"])


def test_fixture_outside_of_a_pipeline(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(kyc_pipeline): pass")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*uses `kyc_pipeline` outside a pipeline class; subclass *"])


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("pytest.skip('later')", "raised Skipped on line 15 of test_pipeline.py: later"),
        ("pytest.xfail('later')", "raised XFailed on line 15 of test_pipeline.py: later"),
        ("raise SystemExit(0)", "raised SystemExit on line 15 of test_pipeline.py: 0"),
        (r"raise ValueError('\x1b[2J')", r"raised ValueError on line 15 of test_pipeline.py: \x1b"),
        ("stages.detect(None)", "raised AttributeError on line 15 of test_pipeline.py: 'NoneType'"),
        ("stages.crop('x', 'y', 'z')", "raised AttributeError on line 15 of test_pipeline.py: "),
    ],
)
def test_a_process_that_raises(
    pipeline_project: Project, run: Run, statement: str, message: str
) -> None:
    body = f"def process(self, stages, photo):\n    import pytest\n    {statement}\n"
    write_gate(pipeline_project(), body)
    result = run()
    stopped(result, 4)
    text = result.stdout.str()
    assert f"process: {message}" in text
    assert re.search(r"for the image \d+\.png; correct process\(\)", text)
    assert "Traceback" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("process = 5", "is not a method"),
        ("process = None", "is not a method"),
        ("process = property(print)", "is not a method"),
        ("def process(self): pass", "cannot be called with 2 arguments"),
        ("def process(self, stages): pass", "cannot be called with 2 arguments"),
        ("def process(stages, photo): pass", "cannot be called with 2 arguments"),
        ("def process(self, stages, photo, more): pass", "cannot be called with 2 arguments"),
        ("@classmethod\ndef process(cls, stages): pass", "cannot be called with 2 arguments"),
        ("async def process(self, stages, photo): pass", "is asynchronous"),
        ("def process(self, stages, photo): yield", "is a generator"),
    ],
)
def test_a_process_that_cannot_work_is_refused_when_collected(body: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"TestIt.process: {message}.*; write def process"):
        exec(f"class TestIt(PipelineGates):\n{textwrap.indent(body, '    ')}", {**globals()})


def ran(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that runs a generator to its end, and gives it more."""

    @functools.wraps(function)
    def run(self: Any, stages: Any, photo: Any) -> None:
        list(function(self, stages, photo, 1))

    return run


@pytest.mark.parametrize(
    "body",
    [
        "def process(self, stages, photo): pass",
        "def process(self, *args): pass",
        "@staticmethod\ndef process(stages, photo, more=0): pass",
        "@classmethod\ndef process(cls, stages, photo): pass",
        "process = staticmethod(print)",
        "@ran\ndef process(self, stages, photo, more): yield",
        "process = functools.partialmethod(lambda self, more, stages, photo: None, 1)",
        "process = functools.partial(lambda more, stages, photo: None, 1)",
    ],
)
def test_every_way_to_write_a_process(body: str) -> None:
    exec(f"class TestIt(PipelineGates):\n{textwrap.indent(body, '    ')}", {**globals()})
