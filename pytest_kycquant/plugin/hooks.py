"""The plugin: its hooks, and its fixtures, which pytest finds here."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ..errors import KycquantError, KycquantWarning, SpecError
from .collection import (
    COLLECTED,
    applies,
    look_for_shadowed,
    note_collected,
    warn_in_conftest,
    warn_uncollected,
    warn_unjudged,
)
from .fixtures import (
    candidate,
    golden,
    kyc_pipeline,
    quantize,
)
from .gated import MARKER, is_gated
from .options import add_options
from .session import CHOSEN, GATES, MODELS, SESSION, KycquantSession, attach
from .summary import Summary

__all__ = ["candidate", "golden", "kyc_pipeline", "quantize"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini values."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and parse the settings."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(model, precisions=('fp16', 'int8'), limits=None, fallback='mixed', "
        "strict=None, inconclusive=None, profile=None, ship_by=None): gate a quantized model with "
        "the fixtures `candidate`, `golden` and `quantize`.",
    )
    try:
        session = config.stash[SESSION] = KycquantSession(config)
    except KycquantError as error:
        raise pytest.UsageError(str(error)) from None
    if not session.is_worker:
        config.pluginmanager.register(Summary(session), "kycquant-summary")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item] | None:
    """Warn of gates that pytest does not collect, and leave out tests that do not apply."""
    look_for_shadowed(collector)
    warn_uncollected(collector, name, obj)
    return None if applies(collector, name) else []


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Warn of gates in a file of pytest's own, unless pytest collects it like any other."""
    collectors = yield
    if file_path.name == "conftest.py" and not collectors:
        warn_in_conftest(parent, file_path)
    return collectors


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Remember all tests of gates, whatever will be deselected."""
    report = yield
    note_collected(collector, report)
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test item for each precision of the gate; refuse an invalid marker early."""
    if not is_gated(metafunc.definition):
        return
    from .definitions import refuse_defaults
    from .gate_run import precisions_of

    try:
        refuse_defaults(metafunc.function, metafunc.definition.nodeid)
        recipes = precisions_of(metafunc.definition)
    except KycquantError as error:
        from .lines import at_line

        raise pytest.Collector.CollectError(at_line(metafunc.definition, error)) from None
    if recipes and "candidate" in metafunc.fixturenames:
        metafunc.parametrize("candidate", recipes, ids=[r.name for r in recipes], indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of gate classes, so that `-m kycquant` selects all gates alike."""
    if is_gated(item) and item.get_closest_marker(MARKER) is None:
        item.add_marker(MARKER)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselect what belongs to other shards, after all other plugins have made their choice."""
    own = config.stash[SESSION]
    if own.shard is not None:
        from .shards import choose

        choose(own, session, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Warn of gates that no test can judge."""
    warn_unjudged(session)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Print where and how gates will run, if there are any."""
    if not any(is_gated(item) for item in items):
        return []
    from ..report.spans import line, text_of, wrapped
    from ..runtimes.environment import describe_machine
    from .gate_run import profiles_of
    from .writing import LEAST_WIDTH, width_of

    session = config.stash[SESSION]
    profiles = profiles_of(session, items)
    session.introduced = True
    said = describe_machine(), f"{session.settings.mode}; {profiles}"
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    width = LEAST_WIDTH if reporter is None else width_of(reporter)
    return [text_of(one) for one in wrapped((line(f"kycquant: {text}") for text in said), width)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Refuse a gate whose fixture has been replaced."""
    if is_gated(item):
        from .gate_run import check_fixtures, noted

        with noted(item):
            check_fixtures(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the plugin's own errors in one line, and attach figures to the report."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if (
        call.excinfo
        and isinstance(error, (KycquantError, KycquantWarning))
        and not item.config.getoption("fulltrace", False)
    ):
        shown = call.excinfo.getrepr(style="value", chain=False)
        if isinstance(error, SpecError):  # something that a test or a fixture of the user's wrote
            from .lines import is_users

            frames = call.excinfo.traceback.filter(lambda entry: is_users(entry.path))
            if frames := frames.filter(call.excinfo):
                call.excinfo.traceback = frames
                shown = call.excinfo.getrepr(style="short", chain=False)
        if shown.reprcrash is not None:
            shown.reprcrash.message = str(error)  # without the class name in front
        report.longrepr = shown
    attach(item, report, call.excinfo)
    return report


def pytest_exception_interact(
    node: pytest.Item | pytest.Collector,
    call: pytest.CallInfo[Any],
    report: pytest.CollectReport | pytest.TestReport,
) -> None:
    """Show the plugin's own errors in a gate file by its lines and the message, not as a chain."""
    excinfo = call.excinfo
    if not isinstance(report, pytest.CollectReport) or excinfo is None:
        return
    cause = getattr(excinfo.value, "cause", None)  # of an error in a conftest.py
    if isinstance(cause, BaseException):
        excinfo = pytest.ExceptionInfo.from_exception(cause)
    known = (KycquantError, KycquantWarning)
    if isinstance(excinfo.value, known) or isinstance(excinfo.value.__cause__, ModuleNotFoundError):
        from .lines import show_collection_error

        show_collection_error(node, excinfo, report)


def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport,
) -> tuple[str, str, Any] | None:
    """Mark a gate that passed on a fallback, one that is waived, and one that was not judged.

    What stops a gate is an error of its first test. All others are counted, and not listed.
    """
    if getattr(report, "kycquant_repeated", False) and report.failed:
        return "unjudged", "E", ("NOT JUDGED", {"red": True})
    if hasattr(report, "kycquant_waived") and report.skipped:
        return "waived", "w", ("WAIVED", {"yellow": True})
    variant = getattr(report, "kycquant_fallback", "")
    if not (variant and report.passed):
        return None
    return "fallback", "f", (f"FALLBACK {variant}", {"yellow": True})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller of pytest-xdist which gates this worker collected."""
    own = session.config.stash.get(SESSION, None)
    if own is None or not own.is_worker:
        return
    output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]
    if own.shard is not None:
        from .shards import chosen_in

        if (chosen := chosen_in(session)) is not None:
            output[CHOSEN] = chosen.dump()
    if session.stash.get(COLLECTED, []):
        from .present import model_names, present_gates

        output[MODELS] = model_names(session)
        if own.writes_files:
            output[GATES] = present_gates(session).dump()
