"""Bad metrics, limits and data of a custom gate give one line that says what is wrong."""

import re
from collections.abc import Callable

import pytest

from tests.worlds.documents import FIGURE, VALUES
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run

Project = Callable[..., None]
BODY = "def misread(outputs, labels):\n    return {}\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            "outputs.argmax(axis=1)[:5]",
            "metric misread: returned int64 of shape (5,) for 990 images",
        ),
        (
            "outputs[:, 3] > 0",
            "metric misread: raised IndexError on line 6 of test_gate.py: index 3",
        ),
        ("None", "metric misread: returned None for 990 images; return a bool array (N,) of error"),
        (
            "np.random.default_rng().random(len(labels))",
            "metric misread: does not return the same result for the same outputs and labels; fix "
            "its ",
        ),
        ("outputs.argmax(axis=1) == labels", "FP32 itself fails its limits (FAIL misread = 100 %"),
        (
            "np.where(labels == 0, np.nan, outputs[:, 0])",
            "FAIL mean misread must be below 0.02: not finite: documents.npz[1], documents.npz[4]",
        ),
    ],
)
def test_metrics(document_project: Project, run: Run, answer: str, message: str) -> None:
    document_project(golden=False, metric=BODY.format(answer))
    result = run("--kycquant-update-golden")
    stopped(result, 5)
    text = result.stdout.str()
    assert message in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ('pytest.skip("later")', "Skipped"),
        ('pytest.xfail("later")', "XFailed"),
        ('pytest.exit("later", returncode=0)', "Exit"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_metric_that_wants_to_skip_fails_its_gate(
    document_project: Project, run: Run, statement: str, kind: str
) -> None:
    metric = f"import pytest\n\ndef misread(outputs, labels):\n    {statement}\n"
    document_project(golden=False, metric=metric)
    result = run("--kycquant-update-golden")
    stopped(result, 5)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*metric misread: raised {kind} on line * of test_*.py: *"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": FIGURE}, "FP32 itself fails its limits (FAIL accuracy = 1 "),
        ({"task": 'direction="higher"'}, "metric misread: returned bools, which mark errors"),
        ({"limits": "metric=2, degradation=0.5"}, "CustomLimits.metric: 2.0 is not a rate, but "),
        ({"limits": "metric=0.02, degradation=1"}, "CustomLimits.degradation: 1.0 is not a rate"),
        ({"task": 'labels="labels.csv"'}, "labels.csv does not exist; give a path "),
        ({"task": 'outputs="logits"'}, "has no output 'logits'; its outputs are output"),
        (
            {"selection": '"documents.npz"'},
            "330 of its identities for evaluation are also used for ",
        ),
    ],
)
def test_gate_files(
    document_project: Project, run: Run, options: dict[str, str], message: str
) -> None:
    document_project(golden=False, **options)
    result = run("--kycquant-update-golden", "-k", "degradation")
    result.assert_outcomes(errors=1, deselected=4)
    assert message in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": "metric=0.02"}, "CustomLimits.degradation: has no default"),
        ({"limits": "metric=0.02, degradation=0"}, "CustomLimits.degradation: 0.0 can never be m"),
        ({"task": "selection_labels=3"}, "CustomTask.selection_labels: 3 is not a path"),
        ({"task": 'direction="up"'}, "CustomTask.direction: 'up' is unknown"),
    ],
)
def test_collection(
    document_project: Project, run: Run, options: dict[str, str], message: str
) -> None:
    document_project(golden=False, selection="None", **options)
    result = run()
    result.assert_outcomes(errors=1)
    assert message in result.stdout.str()


def test_no_limits(document_project: Project, run: Run, pytester: pytest.Pytester) -> None:
    document_project(golden=False)
    gate = pytester.path / "test_gate.py"
    gate.write_text(re.sub(r"    limits = .*\n", "", gate.read_text()))
    result = run()
    result.assert_outcomes(errors=1)
    text = "CustomLimits.metric: has no default, because it depends on the metric; give limits = "
    assert text in result.stdout.str()


def test_a_variant_on_which_the_metric_raises(document_project: Project, run: Run) -> None:
    """FP32 is fine; each test of the variant shows the metric's error."""
    claim = "    assert (outputs.argmax(axis=1) == labels).mean() > 0.99, 'too bad'\n"
    picky = VALUES.replace("    return", f"{claim}    return")
    document_project(metric=picky, limits="metric=3, degradation=0.2", fragile=True, fallback=None)
    result = run("-k", "metric")
    result.assert_outcomes(errors=1, deselected=4)
    assert (
        "metric distance: raised AssertionError on line 6 of test_gate.py: too bad"
        in result.stdout.str()
    )
