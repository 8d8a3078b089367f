"""The marker: gates without a class, and every way to get its arguments wrong."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.worlds.population import FUNCTION, Run


def test_function_style(project: Callable[..., None], run: Run, pytester: pytest.Pytester) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
@pytest.mark.kycquant(model=MODEL, precisions=("fp16", "int8"), limits=LIMITS)
def test_gates(candidate, golden, quantize):
    for gate in candidate.gates:
        candidate.check(gate)
    assert candidate.golden is golden
    assert quantize(candidate.precision).sha256 == candidate.decision.record.sha256

@pytest.mark.kycquant(model=MODEL, limits=LIMITS, precisions=("int8",))
def test_quantize_needs_no_golden_precision(quantize):
    assert quantize("fp16").size < quantize("fp32").size
"""
    )
    run().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "model=MODEL, precission=('int8',)",
            "unknown argument 'precission'; did you mean 'precisions'?",
        ),
        ("precisions=('int8',)", "has no model; add model=KycModel(...)"),
        ("model='models/face.onnx'", "has no model, but 'models/face.onnx' in its place; add *"),
        ("MODEL", "the marker takes keyword arguments only; *"),
        (
            "model=MODEL, precisions=('int7',)",
            "*.precisions: 'int7' is unknown; did you mean 'int8'? choose from *",
        ),
        ("model=MODEL, precisions=('mixed',)", "*does not say which operators stay in FP32; *"),
        ("model=MODEL, precisions=()", "*.precisions: [[][]] are empty or not distinct; *"),
        ("model=MODEL, precisions=('int8', 'int8')", "*are empty or not distinct; *"),
        (
            "model=MODEL, precisions=('fp32',)",
            "fp32 cannot be gated on onnxruntime: it is *; leave it out*",
        ),
        ("model=MODEL, precisions=5", "precisions: 5 is not a sequence; *"),
        ("model=MODEL, precisions=(Recipe('int8', name='fp32'),)", "*'fp32' is reserved*"),
        ("model=MODEL, precisions=(Recipe('int8', name='FP32'),)", "*'FP32' is reserved*"),
        ("model=MODEL, precisions=(Recipe('int8', name='\uff26p32'),)", "*p32' is reserved*"),
        ("model=MODEL, precisions=(Recipe('int8', name='FP16'),)", "*'FP16' is reserved*"),
        ("model=MODEL, precisions=(Recipe('int8', name='Int8-Weights'),)", "*is reserved*"),
        ("model=MODEL, precisions=(Recipe('fp16', name='FP32-optimized'),)", "*is reserved*"),
        ("model=MODEL, precisions=('int8', Recipe('fp16', name='INT8'))", "*not distinct; *"),
        ("model=MODEL, precisions=(Recipe('int8', name='a>b'),)", "*'a>b' is reserved*"),
        (
            "model=MODEL, precisions=(Prequantized('fp16.onnx'),)",
            "*'fp16' is reserved *: Prequantized(..., name=*",
        ),
        (
            "model=MODEL, precisions=(Recipe('fp16', keep_fp32='first'),)",
            "the label 'fp16' is reserved for a fallback *; give it another one: *",
        ),
        (
            "model=MODEL, precisions=(Recipe('fp32-optimized', rewrites='prelu'),)",
            "the label 'fp32-optimized' is reserved for *",
        ),
        ("model=MODEL, fallback='none'", "*.fallback: 'none' is unknown; choose *fp32-optimized*"),
        ("model=MODEL, inconclusive='skip'", "*.inconclusive: 'skip' is unknown; choose *"),
        (
            "model=MODEL, limits=FaceLimits",
            "*.limits: are a class, not FaceLimits; *",
        ),
        (
            "model=MODEL, limits={'far': 1}",
            "*.limits: are dict, not FaceLimits; give limits=FaceLimits(...)",
        ),
    ],
)
def test_wrong_arguments(pytester: pytest.Pytester, arguments: str, message: str) -> None:
    pytester.makepyfile(
        FUNCTION + f"@pytest.mark.kycquant({arguments})\ndef test_it(candidate):\n    pass\n"
    )
    result = pytester.runpytest_inprocess("-Wdefault")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*{message}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_wrong_arguments_where_no_candidate_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        FUNCTION + "@pytest.mark.kycquant(modell=MODEL)\ndef test_it():\n    pass\n"
    )
    result = pytester.runpytest_inprocess("-Wdefault")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*unknown argument 'modell'; did you mean 'model'?"])


def test_fixture_without_a_model(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(golden):\n    pass\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*::test_it: uses a kycquant fixture but has no model; *"])


def test_candidate_without_a_model(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(candidate):\n    pass\n")
    result = pytester.runpytest_inprocess()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*::test_it: uses a kycquant fixture but has no model; *"])


def test_class_without_a_model(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from pytest_kycquant import FaceGates\nclass TestIt(FaceGates):\n    pass\n"
    )
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*TestIt* has no model; add model=KycModel(...)"])


def test_marker_is_registered(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.kycquant(model, precisions=('fp16', 'int8')*"])


def test_closer_markers_override_argument_by_argument(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
@pytest.mark.kycquant(model=MODEL, limits=LIMITS, precisions=("int8",), strict=True)
class TestIt:
    @pytest.mark.kycquant(inconclusive="warn")
    def test_strict_still_holds(self, candidate):
        assert not candidate.fell_back
        assert candidate.inconclusive == "warn"

    @pytest.mark.kycquant(strict=False)
    def test_or_not(self, candidate):
        assert candidate.fell_back
        assert candidate.inconclusive == "fail"
"""
    )
    assert run().parseoutcomes() == {"passed": 1, "fallback": 1}


def test_candidate_asked_for_too_late(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "test_gate.py").write_text(
        FUNCTION
        + """
@pytest.mark.kycquant(model=MODEL, limits=LIMITS)
def test_it(request):
    request.getfixturevalue("candidate")
"""
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*name `candidate` as an argument of the test"])


def test_a_function_in_a_folder_with_brackets_keeps_its_name(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "test_gate.py").unlink()
    folder = pytester.path / "a[1]"
    folder.mkdir()
    gate = "@pytest.mark.kycquant(model=MODEL, precisions=('int8',), limits=LIMITS)\n"
    (folder / "test_fn.py").write_text(
        f"{FUNCTION}\n{gate}def test_all(candidate):\n    candidate.check('size')\n"
    )
    result = run("--kycquant-export=ship")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["face, *a?1?/test_fn.py::test_all", "exported: *"])


def test_a_project_where_numpy_raises_is_judged(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "conftest.py").write_text("import numpy\nnumpy.seterr(all='raise')\n")
    with np.errstate():  # the project runs in this process
        run().assert_outcomes(passed=6)
