"""The plugin: its hooks, and its fixtures, which pytest finds here."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..errors import KycquantError, KycquantWarning, SpecError, printable
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
from .session import (
    GATES,
    MODELS,
    NOTED,
    RECORDED,
    RUN_ID,
    SESSION,
    KycquantSession,
    attach,
)

__all__ = ["candidate", "golden", "kyc_pipeline", "quantize"]


_REMEDY = "run the test of that gate, neither skipped nor expected to fail, or set its limit"


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
        config.pluginmanager.register(_Summary(session), "kycquant-summary")


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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Warn of gates that no test can judge."""
    warn_unjudged(session)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Print where and how gates will run, if there are any."""
    if not any(is_gated(item) for item in items):
        return []
    from ..runtimes.environment import describe_machine
    from .gate_run import profiles_of

    session = config.stash[SESSION]
    profiles = profiles_of(session, items)
    lines = describe_machine(), f"{session.settings.mode}; {profiles}"
    return [f"kycquant: {printable(line)}" for line in lines]


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
    """Mark a gate that passed on a fallback, and one that does not pass but is waived."""
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
    if session.stash.get(COLLECTED, []):
        from .gate_run import model_names, present_gates

        output[MODELS] = model_names(session)
        if own.writes_files:
            output[GATES] = present_gates(session).dump()


class _Summary:
    """Collects the results that tests reported, from all workers, and prints them at the end.

    It is registered in every process except the workers of pytest-xdist.
    """

    def __init__(self, session: KycquantSession) -> None:
        self._session = session
        self._any = False
        self._lines: list[str] = []
        # Kept here because most suites have no gates, and must not load what gates need.
        self._uncollected: list[str] = []
        self._torn: list[str] = []
        self._recorded: dict[str, str] = {}  # notes by path of the golden
        self._broken: dict[str, str] = {}
        self._present = ""
        self._started = datetime.now(UTC)
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, str] = {}
        self._models: list[str] = []
        self._report: Path | None = None  # once it is written

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist which run it belongs to."""
        node.workerinput[RUN_ID] = self._session.run_id

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn from a worker of pytest-xdist which gates there are; all collect the same."""
        output = getattr(node, "workeroutput", {})
        self._present = output.get(GATES, self._present)
        self._models = output.get(MODELS, self._models)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what cannot be collected: nobody knows which rules are in it."""
        if report.failed:
            self._uncollected.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the outcome of a gate's test, and the figures that came with it."""
        if getattr(report, "kycquant_torn", False):
            self._torn.append(report.nodeid)
        told = {name: str(v) for name, v in report.user_properties if name in (RECORDED, NOTED)}
        if RECORDED in told:
            self._recorded[told[RECORDED]] = told.get(NOTED, "")
        if broken := getattr(report, "kycquant_broken", None):
            self._broken.setdefault(*broken)
        gated = getattr(report, "kycquant_gated", False)
        # pytest-xdist reports the test of a crashed worker itself, without our mark.
        if not (gated or report.failed):
            return
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = str(getattr(crash, "message", "") or report.longreprtext)
            self._errors.setdefault(report.nodeid, "\n".join(map(printable, text.splitlines())))
        collected = self._session.collected
        cleared = report.skipped and getattr(report, "kycquant_waived", False)
        collected.outcomes.add(
            report.nodeid,
            "passed" if cleared else report.outcome,
            expected=hasattr(report, "wasxfail"),
            phase=report.when,
        )
        payload = getattr(report, "kycquant", None)
        if payload is not None:
            from ..report.found import Found

            self._any = True
            collected.add(Found.load(payload))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the requested files, whether or not there is a terminal.

        A run in which something was judged and did not pass is not green, whatever its tests say.
        """
        if not (self._any or self._broken or self._session.writes_files):
            return
        if session.config.getoption("collectonly", False):
            return  # nothing was judged, and what earlier runs found stays
        self._note(session)
        self._look_for_orphans(session)
        self._check_waivers(session)
        if session.exitstatus == pytest.ExitCode.OK:
            for line in self._session.collected.unanswered():
                self._lines.append(f"ERROR: no test failed, but {line}; {_REMEDY}")
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self._session.writes_files:
            return
        from ..files import from_here
        from ..report import write
        from ..report.export import export

        settings, collected = self._session.settings, self._session.collected
        failed = False
        if settings.export is not None:
            done = export(collected, settings.export)
            self._lines += done.lines
            failed = done.failed
        if settings.report is not None and collected.is_empty and settings.report.exists():
            self._lines.append(f"{settings.report} stays as it was: this run judged no gate")
        elif settings.report is not None:
            try:
                write(collected, settings.report)
                self._report = Path(from_here(settings.report, settings.start))
            except (OSError, KycquantError) as error:
                remedy = "; make room there, or name another place"
                more = remedy if isinstance(error, OSError) else ""
                self._lines.append(f"ERROR: the report cannot be written: {error}{more}")
                failed = True
        if failed:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _note(self, session: pytest.Session) -> None:
        """Add what concerns the run as a whole to what its tests reported."""
        from ..report.found import Present
        from .gate_run import present_gates

        collected, writes = self._session.collected, self._session.writes_files
        collected.broken, collected.errors = self._broken, self._errors
        collected.started = self._started.isoformat(timespec="seconds")
        collected.seconds = {test: round(spent, 3) for test, spent in self._seconds.items()}
        if writes:
            from ..report.commit import commit_of

            collected.commit = commit_of(session.config.rootpath)
        collected.outcomes.uncollected, collected.outcomes.torn = self._uncollected, self._torn
        if self._present:
            collected.present = Present.load(self._present)
        elif writes and not session.config.pluginmanager.has_plugin("dsession"):
            # With pytest-xdist only workers collect; if none could say what, nothing is known.
            collected.present = present_gates(session)

    def _look_for_orphans(self, session: pytest.Session) -> None:
        """Name the goldens that no gate uses, once everything was collected and gates ran."""
        from .full_run import is_full, orphan_goldens
        from .gate_run import model_names

        config = session.config
        if self._any and is_full(config) and not self._uncollected:
            models = self._models or model_names(session)  # of a worker, or of this process
            folder, here = self._session.settings.golden, config.invocation_params.dir
            self._lines += orphan_goldens(folder, models, here) if models else ()

    def _check_waivers(self, session: pytest.Session) -> None:
        """Name the waivers that a run shows to be wrong, which fails it, or to be unnecessary."""
        if not self._any or self._session.settings.waivers is None:
            return
        from .full_run import check_waivers, is_full

        full = is_full(session.config) and not self._uncollected
        notes, errors = check_waivers(self._session.settings, self._session.collected, full=full)
        self._lines += [*notes, *(f"ERROR: {line}" for line in errors)]
        if errors and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table; print nothing if no gate ran."""
        if not (self._any or self._lines or self._recorded):
            return
        from ..report import render
        from ..report.terminal import next_command
        from .full_run import recorded

        collected = self._session.collected
        terminalreporter.section("kycquant")
        verbose = terminalreporter.config.get_verbosity() > 0
        report = render("terminal", collected, verbose=verbose)
        for line in (*report.splitlines(), *map(printable, self._lines)):
            terminalreporter.write_line(line)
        for path, note in sorted(self._recorded.items()):
            here = terminalreporter.config.invocation_params.dir
            terminalreporter.write_line(printable(recorded(Path(path), here)))
            if note:
                terminalreporter.write_line(printable(f"golden: {note}"))
        stats = terminalreporter.stats
        failed = len(stats.get("failed", [])) + len(stats.get("error", []))
        terminalreporter.write_line(next_command(collected, failed, self._report))
