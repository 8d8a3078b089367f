"""The HTML page of a run: made of its JSON; pictures of people only if they are asked for."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable

import pytest

from tests.worlds.population import Run

_FACTS = re.compile(r'<p class="facts">.*?</p>|<footer>.*</footer>', re.DOTALL)


def test_the_page_of_a_run(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    from pytest_kycquant.report.page import page
    from pytest_kycquant.report.reading import read_report

    project(fragile=True, precisions='"fp16", "int8"')
    result = run("--kycquant-html=out/page.html", "--kycquant-report=report.json")
    assert result.ret == pytest.ExitCode.OK
    text = (pytester.path / "out" / "page.html").read_text(encoding="utf-8")
    report = json.loads((pytester.path / "report.json").read_text())
    (gate,) = report["gates"]
    assert gate["ship"] == "int8>mixed"
    for variant in gate["variants"]:
        assert (variant["curves"] is None) == (variant["variant"] == "fp32")
    curves = gate["variants"][1]["curves"]
    assert len(curves["rounds"]) == 20
    assert [kind["kind"] for kind in curves["scores"]["kinds"]] == ["impostor", "genuine"]
    assert "data:image" not in text
    again = page(read_report(pytester.path / "report.json"))
    assert _FACTS.sub("", again) == _FACTS.sub("", text)


def test_without_a_report_nothing_is_drawn(
    project: Callable[..., None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of all pairs take time, which a run without a report of them does not spend."""
    project()

    def never(*given: object, **named: object) -> None:
        raise AssertionError("nobody asked for plots")

    monkeypatch.setattr("pytest_kycquant.tasks.face.comparison.score_plot", never)
    run().assert_outcomes(passed=6)


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=str)
def test_pictures(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, workers: list[str]
) -> None:
    project()
    run("--kycquant-html=page.html", "--kycquant-html-images", *workers)
    text = (pytester.path / "page.html").read_text(encoding="utf-8")
    pictures = re.findall(
        r'<img src="data:image/jpeg;base64,[^"]+" alt="(faces\.npz\[\d+\])"', text
    )
    assert len(pictures) >= 10


def test_pictures_are_not_in_the_json(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    run("--kycquant-report=report.json", "--kycquant-html-images")
    assert "base64" not in (pytester.path / "report.json").read_text()


def test_a_missing_library_is_said_before_any_work(
    project: Callable[..., None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(golden=False)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name in ("jinja2", "matplotlib") else real(name, *more),
    )
    result = run("--kycquant-html=page.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--kycquant-html: jinja2 and matplotlib are not installed*kycquant?html?*"]
    )


def test_nothing_else_is_replaced(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    (pytester.path / "page.html").write_text("my notes", encoding="utf-8")
    result = run("--kycquant-html=page.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*page.html exists and is not a report*"])
    assert (pytester.path / "page.html").read_text(encoding="utf-8") == "my notes"


def words_of(text: str) -> str:
    """What a page says, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_without_a_golden_one_error_is_told(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """As many errors as the terminal counts, and not six messages of which five name the first."""
    project(golden=False)
    outcomes = run("--kycquant-html=page.html", "-p", "no:randomly").parseoutcomes()
    assert (outcomes["errors"], outcomes["unjudged"]) == (1, 5)
    text = (pytester.path / "page.html").read_text(encoding="utf-8")
    assert "Tests: 1 error, 5 unjudged" in text
    assert "see the error of" not in text
    assert len(re.findall(r"<pre>", text)) == 1


def test_what_else_goes_wrong_in_an_unjudged_test_is_told(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(golden=False)
    gate = pytester.path / "test_gate.py"
    fixture = (
        "\n    @__import__('pytest').fixture(autouse=True)\n"
        "    def mess(self, request):\n        yield\n"
        "        assert 'test_size' not in request.node.name, 'left behind'\n"
    )
    gate.write_text(gate.read_text() + fixture)
    outcomes = run("--kycquant-html=page.html", "-p", "no:randomly").parseoutcomes()
    assert (outcomes["errors"], outcomes["unjudged"]) == (2, 5)
    words = words_of((pytester.path / "page.html").read_text(encoding="utf-8"))
    assert "Tests: 2 errors, 5 unjudged" in words
    assert "::test_size[int8] a teardown failed after this test" in words


def test_some_gates_alone_are_named_with_the_verdict(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    run("-k", "size", "--kycquant-html=page.html").stdout.fnmatch_lines(["*PASS (only size)*"])
    words = words_of((pytester.path / "page.html").read_text(encoding="utf-8"))
    assert words.count("int8 PASS (only size)") == 2
    assert not re.search(r"int8 PASS (?!\(only size\))", words)
    assert "Ships: nothing yet" in words
