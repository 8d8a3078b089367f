"""Gates whose variants run on LiteRT, from a float file that the user gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_kycquant.errors import SpecError
from pytest_kycquant.spec.model import KycModel
from tests.worlds.outcomes import stopped
from tests.worlds.population import FUNCTION, Run, write_npz
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401

pytest.importorskip("litert_quantizer", reason="pip install -e .[litert]")

from tests.worlds.litert import embedder, embedder_content
from tests.worlds.litert_fragile import write_fragile

GATE = (
    FUNCTION.replace("task=FaceV", 'litert="models/face.tflite",\n    task=FaceV')
    + """
from pytest_kycquant import FaceGates

class TestFace(FaceGates):
    model, limits, fallback = MODEL, LIMITS, {fallback!r}
    precisions = ({precisions},)
"""
)


@pytest.fixture
def gate(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.Pytester]:
    """Write a project with a model in both formats, and a gate of these precisions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "nothing"))  # no converter

    def write(
        precisions: str,
        *,
        fallback: str | None = None,
        litert: bytes | None = None,
        fragile: bool = False,
    ) -> pytest.Pytester:
        root = pytester.path
        if fragile:
            write_fragile(root / "models")
        else:
            embedder(root / "models" / "face.onnx")
            content = embedder_content() if litert is None else litert
            (root / "models" / "face.tflite").write_bytes(content)
        write_npz(root / "calibration.npz", 40, 2, seed=1)
        write_npz(root / "selection.npz", 330, 2, seed=2)
        write_npz(root / "faces.npz", 330, 2, seed=3)
        text = GATE.replace("{precisions}", precisions).replace("{fallback!r}", repr(fallback))
        (root / "test_gate.py").write_text(text)
        return pytester

    return write


def recorded(run: Run, *options: str) -> pytest.RunResult:  # noqa: F811
    """Run the gate with a golden that is recorded first."""
    run("--kycquant-update-golden", "-q", "-k", "test_size")
    return run(*options)


def test_verdicts(gate: Callable[..., pytest.Pytester], run: Run) -> None:  # noqa: F811
    folder = gate('Recipe("int8", runtime="litert", float_fallback=False)').path
    result = recorded(run, "-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["int8-litert * PASS", "remark on *int8-litert*: runs on litert 2.*"]
    )
    result.stdout.fnmatch_lines(["ship: int8-litert (*"])
    (found,) = json.loads((folder / "report.json").read_text())["gates"]
    variants = {each["variant"]: each for each in found["variants"]}
    assert set(variants) == {"fp32", "int8-litert", "fp32-litert"}
    options = variants["int8-litert"]["options"]
    assert options["reason"] == "made from face.tflite"
    assert options["float_fallback"] is False
    assert variants["int8-litert"]["runtime"]["runtime"] == "litert"


def test_the_evidence_says_how_to_feed_the_file(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    folder = gate('Recipe("int8", runtime="litert", integer_io=True)').path
    result = recorded(run, "--kycquant-export=out")
    evidence = json.loads((folder / "out/face.json").read_text())
    row = next(each for each in evidence["found"]["variants"] if each["variant"] == "int8-litert")
    held = Interpreter(str(next((folder / "out").glob("*.tflite"))))
    held.allocate_tensors()
    for side, found in (
        ("inputs", held.get_input_details()),
        ("outputs", held.get_output_details()),
    ):
        (port,) = row["ports"]["face"][side]
        assert port["dtype"] == "int8"
        assert port["shape"] == found[0]["shape"].tolist()
        assert (port["scale"], port["zero"]) == pytest.approx(found[0]["quantization"])
    (fed,) = row["ports"]["face"]["inputs"]
    sizes = "x".join(map(str, fed["shape"]))
    result.stdout.fnmatch_lines(
        [
            f"feed face: {fed['name']} takes int8 {sizes}, *round(x / *, clipped to -128..127, *",
            "read face: * gives output in int8 1x48, (q *) [*] *",
        ]
    )
    assert row["preprocess"]["face"]["size"] == [16, 16]
    assert row["preprocess"]["face"]["pad"] == 114


def test_it_is_made_once(gate: Callable[..., pytest.Pytester], run: Run) -> None:  # noqa: F811
    gate('Recipe("int16x8", runtime="litert")')
    recorded(run, "-q", "-k", "finite").assert_outcomes(passed=1, deselected=5)
    again = run("-v", "-k", "finite")
    again.stdout.fnmatch_lines(["artefacts: 0 built, * taken from the cache"])


def test_the_fallback_stays_on_litert(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    folder = gate('Recipe("int4-weights", runtime="litert")', fallback="mixed").path
    text = (folder / "test_gate.py").read_text()
    (folder / "test_gate.py").write_text(
        text.replace("size_ratio=10.0)", "size_ratio=10.0, mean_cosine=0.9999, p1_cosine=0.9995)")
    )
    result = recorded(run, "-v")
    result.stdout.fnmatch_lines(
        ["fallback of int4-weights-litert: int8-weights-litert", "ship: int8-weights-lit*"]
    )
    result.stdout.no_fnmatch_line("*rewrites of*")


def test_the_search_judges_candidates_on_litert(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    folder = gate('Recipe("int8", runtime="litert")', fallback="mixed", fragile=True).path
    result = recorded(run, "-v", "--kycquant-report=report.json")
    result.stdout.fnmatch_lines(
        [
            "int8-litert>mixed * PASS",
            "int8-litert>mixed keeps 2 of 6 operators with weights in FP32: third, second*",
            "ship: int8-litert>mixed *",
        ]
    )
    (found,) = json.loads((folder / "report.json").read_text())["gates"]
    variants = {each["variant"]: each for each in found["variants"]}
    mixed = variants["int8-litert>mixed"]
    assert mixed["runtime"]["runtime"] == "litert"
    assert mixed["options"]["reason"] == "made from face.tflite"
    (decision,) = found["decisions"]
    (search,) = decision["searches"]
    assert search["minimal"]
    assert [name for name, _ in search["ranking"][:2]] == ["third", "second"]
    again = run("-q")
    again.stdout.fnmatch_lines(["ship: int8-litert>mixed *"])


def test_operators_that_a_gate_file_keeps(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    gate(
        'Recipe("mixed", runtime="litert", keep_fp32=("second", "third")), '
        'Recipe("mixed", runtime="litert", keep_fp32=("secnd",), name="wrong")',
        fragile=True,
    )
    result = recorded(run, "-v")
    stopped(result, 6, passed=6)
    result.stdout.fnmatch_lines(
        ["mixed-litert * PASS", "*keeps 2 operators in FP32: second, third"]
    )
    result.stdout.fnmatch_lines(
        ["*'secnd', which is not an operator of the .tflite file; did you *"]
    )


@pytest.mark.parametrize(
    ("precision", "why"),
    [
        ('Recipe("int8", runtime="litert", float_fallback=False)', "* must not compute in float*"),
        ('Recipe("int16x8", runtime="litert")', "its activations have 8 bits, and those of * 16"),
    ],
)
def test_precisions_whose_operators_cannot_be_kept(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
    precision: str,
    why: str,
) -> None:
    folder = gate(precision, fallback="mixed", fragile=True).path
    text = (folder / "test_gate.py").read_text()
    strict = "size_ratio=10.0, mean_cosine=0.9999999)" if "16" in precision else "size_ratio=10.0)"
    (folder / "test_gate.py").write_text(text.replace("size_ratio=10.0)", strict))
    recorded(run).stdout.fnmatch_lines([f"*mixed was not tried: {why}"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no model at all", "is not in the format that its ending says (LiteRT)"),
        (embedder_content()[:200], "LiteRT cannot load it"),
        (embedder_content(seed=5), "gives other outputs than FP32: they differ * not this model"),
        (embedder_content(outputs=40), "its outputs cannot be matched * 1x40; FP32 has * 1x48"),
        (embedder_content(broken=True), "gives other outputs than FP32: they differ by inf"),
    ],
    ids=["text", "truncated", "other weights", "other output", "broken"],
)  # fmt: skip
def test_a_float_file_that_is_not_the_model(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
    content: bytes,
    message: str,
) -> None:
    gate('Recipe("int8", runtime="litert")', litert=content)
    result = recorded(run, "-k", "finite")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines([f"*face.tflite: *{message}*"])


def test_a_quantized_file_in_the_place_of_a_float_one(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    from tests.quantize.test_litert_ladder import made

    gate(
        'Recipe("int8", runtime="litert")', litert=made(embedder_content(), "int8-weights").content
    )
    result = recorded(run, "-k", "finite")
    result.stdout.fnmatch_lines(["*face.tflite: is not a float32 model: *int8; give the file *"])


def test_nothing_is_installed_by_a_gate(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    folder = gate('Recipe("int8", runtime="litert")').path
    text = (folder / "test_gate.py").read_text()
    (folder / "test_gate.py").write_text(text.replace('litert="models/face.tflite",', ""))
    result = recorded(run, "-k", "finite")
    result.stdout.fnmatch_lines(["*there is no environment with onnx2tf 2.6.9; run: python -m *"])
    assert not (folder / "nothing").exists()


def test_a_file_that_somebody_else_quantized(
    gate: Callable[..., pytest.Pytester],
    run: Run,  # noqa: F811
) -> None:
    from tests.quantize.test_litert_ladder import made

    folder = gate('Prequantized("models/quantized.tflite", name="theirs")').path
    (folder / "models" / "quantized.tflite").write_bytes(made(embedder_content(), "int8").content)
    text = (folder / "test_gate.py").read_text()
    text = text.replace("import FaceGates", "import FaceGates, Prequantized")
    (folder / "test_gate.py").write_text(text)
    result = recorded(run)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["theirs * PASS", "ship: theirs (*"])


def test_what_a_gate_file_says() -> None:
    from pytest_kycquant import FaceVerification, Preprocess

    common = {
        "preprocess": Preprocess(size=(16, 16)), "task": FaceVerification("faces.npz"),
    }  # fmt: skip
    assert KycModel("a.onnx", litert="a.tflite", **common).litert_paths == ("a.tflite",)
    assert KycModel("a.onnx", **common).litert_paths == (None,)
    with pytest.raises(SpecError, match=r"KycModel\.litert: names 2 files for 1 of the model"):
        KycModel("a.onnx", litert=("a.tflite", "b.tflite"), **common)
    with pytest.raises(SpecError, match=r"KycModel\.litert: 3 is not a path"):
        KycModel("a.onnx", litert=3, **common)


def test_the_world_is_the_same_in_both_formats(tmp_path: Path) -> None:
    from pytest_kycquant.runtimes import library
    from pytest_kycquant.spec.runtime import Runtime

    image = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype("f4")
    (ours,) = (
        library(Runtime("litert"))
        .open(embedder_content())
        .run({"input": np.ascontiguousarray(image.transpose(0, 2, 3, 1))})
    )
    (theirs,) = library().open(embedder(tmp_path / "m.onnx")).run({"input": image})
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
