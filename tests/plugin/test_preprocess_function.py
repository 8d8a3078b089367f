"""A gate whose images are prepared by a function of its own."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.worlds.population import Run

Project = Callable[..., None]
RECORD = ("--kycquant-update-golden", "-q")
SPEC = 'Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, channels="RGB")'
FUNCTION = """
import numpy as np
import shades

MEAN = 127.5

def prepare(pixels):
    return shades.centred(pixels, MEAN).transpose(2, 0, 1)[np.newaxis]
"""
SHADES = """
import numpy as np

def centred(pixels, mean):
    return (pixels.astype(np.float32) - np.float32(mean)) * np.float32(1 / 127.5)
"""


@pytest.fixture
def own(project: Project, pytester: pytest.Pytester) -> Callable[..., None]:
    """Let a function prepare the images of the gate, in other words as before."""

    def write(function: str = FUNCTION, name: str = "prepare") -> None:
        gate = pytester.path / "test_gate.py"
        if not gate.exists():
            project(golden=False)
        text = gate.read_text()
        assert SPEC in text
        gate.write_text(
            function + text.replace(SPEC, f"Preprocess(size=(16, 16), function={name})")
        )
        (pytester.path / "shades.py").write_text(SHADES)
        pytester.syspathinsert()

    return write


def rates(pytester: pytest.Pytester) -> object:
    return json.loads((pytester.path / "golden" / "face.json").read_text())["rates"]


def test_it_judges_what_the_same_words_would(
    project: Project, own: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    known = rates(pytester)
    own()
    run(*RECORD, "-k", "size")
    assert rates(pytester) == known
    run().assert_outcomes(passed=6)
    result = run("-n", "2")
    result.assert_outcomes(passed=6)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("test_gate.py", "MEAN = 127.5", "MEAN = 127.0"), ("shades.py", "1 / 127.5", "1 / 128")],
)
def test_a_change_of_what_it_uses_makes_the_golden_stale(
    own: Callable[..., None], run: Run, pytester: pytest.Pytester, file: str, old: str, new: str
) -> None:
    own()
    run(*RECORD, "-k", "size")
    path = pytester.path / file
    path.write_text(path.read_text().replace(old, new))
    result = run("-q", "-k", "size")
    result.stdout.fnmatch_lines(["*face.json: is stale: preprocess changed since it was recorded*"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return np.random.default_rng().normal(size=(3, 16, 16))", "does not return the same"),
        ("return pixels", "Preprocess.function returned uint8 of shape (16, 16, 3); return"),
        ("raise RuntimeError('no face')", "raised RuntimeError on line 3 of test_gate.py: no face"),
        (
            "assert pixels.std() > 1, 'flat'; return pixels.transpose(2, 0, 1) / 255",
            "black: Preprocess.function raised AssertionError",
        ),
        ("return LINES", "uses LINES of module test_gate (generator), whose state cannot be read"),
    ],
)
def test_a_bad_function_is_one_clear_error(
    own: Callable[..., None], run: Run, body: str, message: str
) -> None:
    head = "import numpy as np\ndef prepare(pixels):\n"
    lines = "LINES = (line for line in 'ab')\n" if "LINES" in body else ""
    own(f"{head}    {body}\n{lines}")
    result = run(*RECORD, "-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    assert message in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_what_ran_before_does_not_count(own: Callable[..., None], run: Run) -> None:
    """A table that is filled when it is needed may be filled by any gate, or by none."""
    lazy = FUNCTION.replace("MEAN = 127.5", "TABLES = {}").replace(
        "    return shades", "    MEAN = TABLES.setdefault('mean', 127.5)\n    return shades"
    )
    first = "def test_first():\n    prepare(np.zeros((16, 16, 3), np.uint8))\n    assert TABLES\n"
    own(f"{lazy}\n{first}")
    run(*RECORD, "-k", "size").assert_outcomes(passed=1, deselected=6)
    run("-k", "first or size").assert_outcomes(passed=2, deselected=5)


def test_closures_of_one_factory_are_two_gates(
    own: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    factory = """
def prepare_by(mean):
    def prepare(pixels):
        return (pixels.transpose(2, 0, 1).astype("float32") - mean) / 127.5
    return prepare
"""
    own(factory, "prepare_by(127.5)")
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    other = text[text.index("class TestFace") :].replace("TestFace", "TestOther")
    other = other.replace("127.5)", "100.0)").replace(
        '"models/face.onnx",', '"models/face.onnx", name="b",'
    )
    gate.write_text(f"{text}\n{other}")
    run(*RECORD, "--kycquant-accept-preprocessing", "-k", "size")  # 100 is not the right mean
    first, second = (
        json.loads((pytester.path / "golden" / f"{name}.json").read_text())
        for name in ("face", "b")
    )
    assert first["inputs"]["preprocess"] != second["inputs"]["preprocess"]
    run("-n", "2").assert_outcomes(passed=12)
