"""The run as one HTML page: self-contained, without scripts, made of the JSON report alone.

Drawn by matplotlib and written through Jinja templates, which only this report needs: the extra
``[html]``. Both are what the field uses for reports that must be read without a network or a
script; Plotly, Bokeh and Vega put megabytes of JavaScript into every page.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import SettingsError, printable
from ...spec.flags import HTML

if TYPE_CHECKING:
    from ..document import Report
    from ..records import Collected
    from .view import Pictures

_NEEDS = ("jinja2", "matplotlib")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|MB|kB|GB|bits?)(?!\w))")
"""The space between a figure and its unit."""


def require(option: str = HTML) -> None:
    """Make sure that a page can be made.

    Raises:
        SettingsError: a library that draws or writes it is not installed.
    """
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            option,
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'pytest-kycquant[html]'",
        )


def render(collected: Collected, *, verbose: bool = False) -> str:
    """The page of a run; see `report.Report`. `verbose` makes no difference."""
    from ..json_report import report_of
    from .view import key_of

    report = report_of(collected)
    pictures = {
        key_of(entry): gate.pictures
        for entry, gate in zip(report.gates, collected.gates, strict=True)
    }
    return page(report, pictures)


def page(report: Report, pictures: Pictures | None = None) -> str:
    """The page of a report.

    Args:
        report: the report of a run.
        pictures: the pictures to show; None for a page without, as faces are personal data.

    Raises:
        SettingsError: see `require`.
    """
    require()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from ...plain import plain
    from .. import MARK
    from .bars import limit_text
    from .failures import failures
    from .pipelines import pipeline_cards
    from .verdicts import headline
    from .view import cards

    environment = Environment(
        loader=PackageLoader("pytest_kycquant.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "seconds": _seconds,
        "limit": limit_text,
        "score": lambda value: "-" if value is None else f"{value:.4f}",
        "percent": lambda value: "-" if value is None else f"{100 * value:.3g} %",
        "plainly": _plainly,
    }
    text = environment.get_template("page.html").render(
        mark=MARK,
        report=report,
        headline=headline(report),
        cards=list(cards(report, pictures or {})),
        pipelines=list(pipeline_cards(report)),
        failures=failures(report),
        slowest=_slowest(report.times.tests),
        machine=plain(report.environment) if report.environment else {},
    )
    return f"{text}\n"


def _shown(value: Any) -> Any:
    """Text without control characters but line breaks; what is already HTML stays as it is.

    No line ends between a figure and its unit.
    """
    if type(value) is not str:
        return value
    return _UNIT.sub("\N{NO-BREAK SPACE}", "\n".join(map(printable, value.split("\n"))))


def _plainly(value: Any) -> str:
    """A value of any kind in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plainly(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plainly, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _seconds(value: float) -> str:
    """A duration for readers."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{math.floor(value / 60)} min {value % 60:.0f} s"


def _slowest(tests: Mapping[str, float]) -> list[tuple[str, float]]:
    """The ten tests that took longest."""
    return sorted(tests.items(), key=lambda item: -item[1])[:10]
