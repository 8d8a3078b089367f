"""`-m kycquant` selects gates however they are written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.worlds.population import FUNCTION, Run

MARKED = """

@pytest.mark.kycquant(model=MODEL, precisions=("int8",), limits=LIMITS)
def test_marked(candidate):
    pass

def test_of_something_else():
    pass
"""


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [("kycquant", True), ("not kycquant", False)],
)
def test_marker_selects_classes_and_functions(
    project: Callable[..., None],
    run: Run,
    pytester: pytest.Pytester,
    expression: str,
    *,
    chosen: bool,
) -> None:
    project(golden=False)
    (pytester.path / "test_marked.py").write_text(FUNCTION + MARKED)
    result = run("--collect-only", "-q", "-m", expression)
    found = {line.partition("::")[2] for line in result.outlines if "::" in line}
    gates = {f"TestFace::test_{name}[int8]" for name in ("finite", "far", "frr", "size")}
    gates |= {f"TestFace::test_{name}[int8]" for name in ("degradation", "latency")}
    gates.add("test_marked[int8]")
    assert found == (gates if chosen else {"test_of_something_else"})


def test_marker_selects_pipelines(pipeline_project: Callable[..., object], run: Run) -> None:
    pipeline_project()
    chosen = run("--collect-only", "-q", "-m", "kycquant", "--strict-markers")
    rest = run("--collect-only", "-q", "-m", "not kycquant")
    assert "TestPipeline::test_complete" in chosen.stdout.str()
    assert "TestPipeline" not in rest.stdout.str()
