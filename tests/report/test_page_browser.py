"""The HTML page in a real browser: what is seen, at which width, and that nothing is fetched."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kycquant.plain import plain
from pytest_kycquant.report.json_report import report_of
from pytest_kycquant.report.page import page as write_page
from tests.worlds import pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.skipif(_BROWSER is None, reason="no Chromium is installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="playwright is not installed"
    ),
]
_QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@functools.cache
def written() -> tuple[str, dict[str, Any]]:
    """A page, and the JSON of the same run."""
    report = report_of(pages.collected())
    return write_page(report), plain(report)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of this module."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=_BROWSER, args=_QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(written()[0], encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")], ids=str)
def seen(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page as it is opened, on a desk and on a phone; whatever it asks for is an error."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url))
    opened.goto(address)
    yield opened
    assert complaints == [address]
    context.close()


def inside(view: Page, selector: str) -> bool:
    """Whether the first such element lies within the first screen."""
    box = view.locator(selector).first.bounding_box()
    assert box is not None
    size = view.viewport_size
    assert size is not None
    return bool(
        box["y"] >= 0
        and box["y"] + box["height"] <= size["height"]
        and box["x"] + box["width"] <= size["width"]
    )


def test_the_first_screen_answers(seen: Page) -> None:
    assert seen.locator("h1").inner_text().startswith("PASS")
    assert inside(seen, "h1 .verdict")
    assert inside(seen, "#what-ships tbody tr:first-child")
    width = seen.evaluate("document.documentElement.scrollWidth")
    assert width == seen.viewport_size["width"]  # type: ignore[index]


def rank(entry: dict[str, Any]) -> int:
    """How bad a verdict is; the worst is first."""
    return ("FAIL", "INCONCLUSIVE", "WAIVED", "PASS").index(entry["verdict"])


def test_figures_are_those_of_the_json(seen: Page) -> None:
    """What a browser shows in the tables of checks, number by number."""
    _, values = written()
    for summary in seen.locator("details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()
    shown = seen.evaluate(
        """[...document.querySelectorAll('table.checks tbody tr')].map(row => ({
            name: row.querySelector('th').innerText,
            verdict: row.querySelector('.verdict').innerText,
            numbers: (row.querySelector('.figure').innerText.match(/-?[0-9][0-9.,e-]*/g) || [])
              .map(text => parseFloat(text.replaceAll(',', ''))),
            percent: row.querySelector('.figure').innerText.includes('%'),
            visible: row.getBoundingClientRect().height > 0,
        }))"""
    )
    checks = [
        check
        for gate in values["gates"]
        for variant in sorted(
            gate["variants"], key=lambda one: (rank(one), one["variant"] == "fp32")
        )
        for result in variant["gates"].values()
        for check in sorted(result["checks"], key=rank)
    ]
    checks += [
        check
        for pipeline in values["pipelines"]
        for result in pipeline["gates"].values()
        for check in result["checks"]
    ]
    assert len(shown) == len(checks) > 25
    for row, check in zip(shown, checks, strict=True):
        assert row["visible"]
        assert (row["name"], row["verdict"]) == (check["name"], check["verdict"])
        known = [check[key] for key in ("value", "lower", "upper") if check[key] is not None]
        scale = 100 if row["percent"] else 1
        for number, figure in zip(row["numbers"], known, strict=False):
            assert number == pytest.approx(scale * figure, rel=6e-3, abs=6e-5)
        assert bool(row["numbers"]) == (check["value"] is not None)


def test_bars_stand_where_their_figures_are(seen: Page) -> None:
    """The interval of each bar, as it is drawn, lies on the right side of the limit."""
    _, values = written()
    verdicts = [
        check["verdict"]
        for pipeline in values["pipelines"]
        for result in pipeline["gates"].values()
        for check in result["checks"]
    ]
    drawn = seen.evaluate(
        """[...document.querySelectorAll('#pipeline-1 table.checks svg.bar')].map(bar => {
            const box = name => bar.querySelector(name).getBoundingClientRect();
            const whole = bar.getBoundingClientRect(), interval = box('.interval');
            return {low: interval.left, high: interval.right, limit: box('.limit').left,
                    left: whole.left, right: whole.right, height: whole.height};
        })"""
    )
    assert len(drawn) == len(verdicts) == 1
    assert verdicts == ["INCONCLUSIVE"]
    for bar in drawn:
        assert bar["left"] <= bar["low"] < bar["limit"] < bar["high"] <= bar["right"]
        assert bar["height"] > 0


def test_plots_are_drawn_and_readable(seen: Page) -> None:
    for label in seen.locator("figure svg[role=img]").all():
        box = label.bounding_box()
        if box is None:  # in a part that is folded away
            continue
        assert box["width"] > 200
        assert box["height"] > 50
    colours = seen.evaluate(
        """['--ink', '--fp32', '--variant', '--good', '--bad'].map(name => {
            const probe = document.createElement('i');
            probe.style.color = `var(${name})`; document.body.append(probe);
            const text = getComputedStyle(probe).color; probe.remove();
            return text.match(/[0-9.]+/g).map(Number);
        }).concat([getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)])"""
    )
    *inks, paper = (luminance(colour) for colour in colours)
    for ink in inks:  # WCAG 2.2, success criterion 1.4.3: text needs 4.5 to 1
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5


def test_words_in_plots_are_large_enough(seen: Page) -> None:
    """Plots that stand side by side on a desk are not small on a phone, but below each other."""
    sizes = seen.evaluate(
        """[...document.querySelectorAll('figure svg[role=img]')]
             .filter(svg => svg.getBoundingClientRect().width > 0)
             .flatMap(svg => [...svg.querySelectorAll('text')].map(text =>
                parseFloat(getComputedStyle(text).fontSize)
                  * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))"""
    )
    assert len(sizes) > 50
    assert min(sizes) >= 7
    tops = seen.evaluate(
        """[...document.querySelector('#model-1 .panels').children]
             .map(svg => Math.round(svg.getBoundingClientRect().top))"""
    )
    assert len(tops) == 2
    assert (tops[0] == tops[1]) == (seen.viewport_size["width"] > 760)  # type: ignore[index]


def test_every_figure_stands_beside_its_limit(seen: Page) -> None:
    """In its cell, or in the heading of its column where that is shown."""
    cells = seen.evaluate(
        """[...document.querySelectorAll('table.variants tbody td')]
             .filter(cell => cell.querySelector('svg.bar'))
             .map(cell => {
                const head = cell.closest('table').tHead.rows[0].cells[cell.cellIndex];
                return {cell: /limit [<≥]/.test(cell.innerText),
                        head: head.getBoundingClientRect().width > 5
                              && /[<≥]/.test(head.innerText)};
             })"""
    )
    assert len(cells) > 10
    narrow = seen.viewport_size["width"] < 760  # type: ignore[index]
    for one in cells:
        assert one["cell"] or (one["head"] and not narrow)
    assert narrow or not all(one["cell"] for one in cells)  # nothing is said twice


def luminance(colour: list[float]) -> float:
    """Relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    parts = (value / 255 for value in colour[:3])
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_verdict_needs_no_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address)
    assert opened.locator("h1 .verdict").is_visible()
    assert opened.locator("#model-1 table.variants").is_visible()
    assert opened.locator("#model-1 details.variant[open] figure svg").first.is_visible()
    context.close()


def test_paper_shows_what_is_folded_away(browser: Browser, address: str, tmp_path: Path) -> None:
    from pypdf import PdfReader

    context = browser.new_context()
    opened = context.new_page()
    opened.goto(address)
    opened.pdf(path=tmp_path / "page.pdf", format="A4")
    context.close()
    paper = PdfReader(tmp_path / "page.pdf")
    text = " ".join("\n".join(each.extract_text() for each in paper.pages).split())
    assert 2 <= len(paper.pages) <= 30
    for expected in (
        "PASS",
        "int8>mixed",
        "FAR, FP32 gallery",
        "a note on the pipeline",
        "cd" * 32,
    ):
        assert expected in text
