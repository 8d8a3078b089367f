"""What all workers reported, written and printed at the end of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import KycquantError, printable
from .session import CHOSEN, GATES, MODELS, NOTED, RECORDED, RUN_ID, KycquantSession

if TYPE_CHECKING:
    from ..report.spans import Line

_REMEDY = "run the test of that gate, neither skipped nor expected to fail, or set its limit"


class Summary:
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
        self._no_golden: dict[str, str] = {}  # paths by gate
        self._reasons: dict[str, tuple[str, str]] = {}  # problems and remedies by gate
        self._present = ""
        self._started = datetime.now(UTC)
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, str] = {}
        self._models: list[str] = []
        self._report: Path | None = None  # once it is written
        self._elsewhere: tuple[str, ...] = ()  # gates of other shards
        self._chosen = ""  # by a worker, of --kycquant-shard

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
        self._chosen = output.get(CHOSEN, self._chosen)

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
            if reason := getattr(report, "kycquant_reason", None):
                self._reasons.setdefault(broken[0], tuple(reason))
            if path := getattr(report, "kycquant_no_golden", ""):
                self._no_golden.setdefault(broken[0], path)
        gated = getattr(report, "kycquant_gated", False)
        # pytest-xdist reports the test of a crashed worker itself, without our mark.
        if not (gated or report.failed):
            return
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        # pytest-xdist reports the test of a crashed worker in a phase of its own.
        if report.failed and (gated or str(report.when) == "???"):
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
            undecided=getattr(report, "kycquant_undecided", False),
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
        if self._session.shard is not None:
            self._look_at_shard(session)
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
        self._tell_github()
        if not self._session.writes_files:
            return
        from ..files import from_here
        from ..report import write
        from ..report.export import export
        from ..spec.flags import REPORT

        settings, collected = self._session.settings, self._session.collected
        failed = False
        if settings.export is not None:
            done = export(collected, settings.export)
            self._lines += done.lines
            failed = done.failed
        for flag, path in settings.reports.items():
            # A shard without gates tells `merge` so, and what cannot be collected may be a gate.
            whole = self._session.shard is None and not self._uncollected
            if collected.is_empty and whole and path.exists():
                self._lines.append(f"{path} stays as it was: this run judged no gate")
                continue
            try:
                write(collected, path, flag)
            except (OSError, KycquantError) as error:
                remedy = "; make room there, or name another place"
                more = remedy if isinstance(error, OSError) else ""
                self._lines.append(f"ERROR: the report cannot be written: {error}{more}")
                failed = True
            else:
                shown = from_here(path, settings.start)
                if flag == REPORT:
                    self._report = Path(shown)
                if not collected.is_empty:
                    self._lines.append(f"written: {shown}")
        if failed:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _look_at_shard(self, session: pytest.Session) -> None:
        """Say what this shard has of the run; one that has nothing is no error."""
        from .shards import Chosen, chosen_in

        chosen = Chosen.load(self._chosen) if self._chosen else chosen_in(session)
        if chosen is None:  # nothing could be collected
            return
        self._elsewhere = chosen.elsewhere
        self._lines.append(f"{chosen.line}; kycquant merge unites the reports of all shards")
        if chosen.dropped and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    def _tell_github(self) -> None:
        """Append what was found to the summary of a job of GitHub Actions."""
        summary, collected = os.environ.get("GITHUB_STEP_SUMMARY", ""), self._session.collected
        if not summary or collected.is_empty:
            return
        from ..report import append

        try:
            append(collected, Path(summary))
        except OSError as error:
            self._lines.append(f"GITHUB_STEP_SUMMARY cannot be written: {error}")

    def _note(self, session: pytest.Session) -> None:
        """Add what concerns the run as a whole to what its tests reported."""
        from ..files import from_here
        from ..report.found import Present
        from .present import present_gates

        collected, writes = self._session.collected, self._session.writes_files
        collected.broken, collected.errors = self._broken, self._errors
        collected.reasons = self._reasons
        collected.no_golden = {
            name: from_here(path, self._here) for name, path in self._no_golden.items()
        }
        collected.root = session.config.rootpath
        collected.started = self._started.isoformat(timespec="seconds")
        collected.seconds = {test: round(spent, 3) for test, spent in self._seconds.items()}
        if writes or "GITHUB_STEP_SUMMARY" in os.environ:
            from ..report.commit import commit_of

            collected.commit = commit_of(session.config.rootpath)
        collected.outcomes.uncollected = sorted(set(self._uncollected))
        collected.outcomes.torn = sorted(set(self._torn))
        if self._present:
            collected.present = Present.load(self._present)
        elif writes and not session.config.pluginmanager.has_plugin("dsession"):
            # With pytest-xdist only workers collect; if none could say what, nothing is known.
            collected.present = present_gates(session)

    def _look_for_orphans(self, session: pytest.Session) -> None:
        """Name the goldens that no gate uses, once everything was collected and gates ran."""
        from .full_run import is_full, orphan_goldens
        from .present import model_names

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
        notes, errors = check_waivers(
            self._session.settings, self._session.collected, self._elsewhere, full=full
        )
        self._lines += [*notes, *(f"ERROR: {line}" for line in errors)]
        if errors and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what was found; print nothing if no gate ran."""
        if not (self._any or self._lines or self._recorded or self._broken):
            return
        from ..report.advice import next_step
        from ..report.spans import wrapped
        from ..report.terminal import lines
        from .writing import width_of, write

        collected, config = self._session.collected, terminalreporter.config
        width, verbosity = width_of(terminalreporter), config.get_verbosity()
        verbose, introduce = verbosity > 0, verbosity == 0 and not self._session.introduced
        terminalreporter.ensure_newline()
        terminalreporter.section("kycquant")
        found = lines(collected, width, verbose=verbose, introduce=introduce)
        write(terminalreporter, found)
        write(terminalreporter, wrapped(self._said(), width))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            from ..report.annotations import github

            for command in github(collected):  # each must begin its line, and be one
                terminalreporter.write_line(command)
        stats = terminalreporter.stats
        failed = len(stats.get("failed", [])) + len(stats.get("error", []))
        step = next_step(collected, failed, self._report)
        write(terminalreporter, wrapped([step], width))

    def _said(self) -> Iterator[Line]:
        """What is to be said of the run as a whole."""
        from ..report.spans import line
        from .full_run import recorded

        yield from map(line, self._lines)
        for path, note in sorted(self._recorded.items()):
            yield recorded(Path(path), self._here)
            if note:
                yield line(f"golden: {note}")

    @property
    def _here(self) -> Path:
        """The folder in which commands are typed."""
        return self._session.settings.start or Path()
