"""One object for each pytest session; the hooks in `hooks.py` forward to it.

Every suite makes one, so whatever only gates need is imported and opened by the first gate.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..spec import flags
from .gated import is_gated
from .options import make_settings, parse_options

if TYPE_CHECKING:
    from ..bench.run import Run
    from ..context.progress import Progress
    from ..pipeline.run import PipelineJudge
    from ..report.found import Found, Origin
    from ..report.records import Collected
    from ..report.run_entries import Shard
    from ..spec.settings import Settings
    from .collection import GateTests

RUN_ID = "kycquant_run_id"
GATES = "kycquant_gates"
MODELS = "kycquant_models"
RECORDED = "kycquant.golden_recorded"  # property of a test; its value is the golden's path
SHARD: pytest.StashKey[Shard] = pytest.StashKey()  # of pytest's session
CHOSEN = "kycquant_shard"
NOTED = "kycquant.golden_note"  # property beside it: what the golden does not vouch for
FOUND: pytest.StashKey[Found] = pytest.StashKey()
BROKEN: pytest.StashKey[tuple[str, str]] = pytest.StashKey()
NO_GOLDEN: pytest.StashKey[str] = pytest.StashKey()  # path of the golden that does not exist
REASON: pytest.StashKey[tuple[str, str]] = pytest.StashKey()  # problem and remedy of that error
REPEATED: pytest.StashKey[BaseException] = pytest.StashKey()  # another test shows it in full
_SENT: pytest.StashKey[Found] = pytest.StashKey()


class KycquantSession:
    """Settings, the run (opened when the first gate needs it) and the results.

    Args:
        config: the pytest configuration of this process, which may be the only one, a controller or
            a worker of pytest-xdist.

    Raises:
        SettingsError: an option or ini value is invalid, or a file that it names, whether or not
            there are gates.
        CacheError: the cache cannot be cleared.
        GoldenError: goldens would be recorded in CI.
    """

    def __init__(self, config: pytest.Config) -> None:
        # The only place that checks whether this is a worker: xdist sets the attribute on workers.
        worker: Mapping[str, Any] = getattr(config, "workerinput", {})
        self.is_worker = bool(worker)
        self.worker_id = str(worker.get("workerid", "main"))
        # Not xdist's own id, which a user may reuse in another run.
        self.run_id = str(worker.get(RUN_ID, os.urandom(16).hex()))
        self._workers = int(worker.get("workercount", 1))
        self._config = config
        self._given = parse_options(config)
        self.tests: dict[object, GateTests] = {}
        self.introduced = False  # whether the head of the run named the machine
        if self._given[flags.UPDATE_GOLDEN]:
            from ..bench.golden import refuse_in_ci

            refuse_in_ci(self.settings.golden)
        if self._given[flags.WAIVERS] is not None:
            self._check_waivers()
        if self.writes_files and not self.is_worker:
            self._check_targets()
        self._prepare_cache(clear=config.getoption("cacheclear", False) and not self.is_worker)

    def _prepare_cache(self, *, clear: bool) -> None:
        """Refuse a folder that cannot be the cache, or is something else; clear it if wanted."""
        if not clear and self._given[flags.CACHE] is None:
            return
        from ..context.folder import CacheFolder, refuse

        settings = self.settings
        places = {"pytest's rootdir": self._config.rootpath, "the goldens": settings.golden}
        if settings.export is not None:
            places["the export"] = settings.export
        with contextlib.suppress(RuntimeError):  # there is no home
            places["your home"] = Path.home()
        refuse(settings.cache, places)
        if clear:
            CacheFolder(settings.cache).clear()

    def _check_waivers(self) -> None:
        """Refuse a file of waivers that is wrong; one that is not named waits for a gate."""
        from ..spec.waivers import load_waivers

        assert self.settings.waivers is not None  # it was named
        load_waivers(self.settings.waivers)

    def _check_targets(self) -> None:
        """Refuse a report or an export that cannot be written, before any work is done."""
        from ..report import refuse_folder, refuse_target

        if self.settings.html is not None:
            from ..report.page import require

            require()
        for flag, path in self.settings.reports.items():
            refuse_target(path, flag)
        if self.settings.export is not None:
            refuse_folder(self.settings.export, flags.EXPORT)

    @property
    def shard(self) -> tuple[int, int] | None:
        """The part of the run that is wanted, from 1, and of how many; None for all of it."""
        given: tuple[int, int] | None = self._given[flags.SHARD]
        return given

    @property
    def writes_files(self) -> bool:
        """Whether a report or an export was requested."""
        wanted = (flags.REPORT, flags.HTML, flags.MARKDOWN, flags.CODE_QUALITY, flags.EXPORT)
        return any(self._given[flag] is not None for flag in wanted)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the run."""
        return make_settings(self._given, self._config, workers=self._workers)

    @cached_property
    def run(self) -> Run:
        """The state that all gates share."""
        from ..bench.run import Run
        from ..bench.workspace import Workspace

        root = self._config.rootpath
        pytest_cache = getattr(self._config, "cache", None)
        if pytest_cache is not None and not self.settings.cache.parent.exists():
            # Makes its folder with a .gitignore, which pytest does not add to one that exists.
            pytest_cache.set("kycquant/used", True)
        return Run(Workspace(self.settings, root, self.run_id, self._progress()))

    @cached_property
    def pipelines(self) -> PipelineJudge:
        """The state that all pipeline gates share."""
        from ..pipeline.run import PipelineJudge

        return PipelineJudge(self.run)

    @cached_property
    def collected(self) -> Collected:
        """The results that tests reported, from all workers."""
        from ..report.records import Collected

        return Collected()

    def origin(self) -> Origin:
        """Return where figures come from, for the report."""
        from ..report.found import Origin

        workspace = self.run.workspace
        return Origin(
            environment=workspace.context.environment,
            exact=self.settings.exact,
            worker=self.worker_id,
            reused=len(workspace.cache.reused),
            built=len(workspace.cache.built),
        )

    def _progress(self) -> Progress:
        from ..context.progress import Progress
        from ..report.spans import line, text_of, wrapped
        from .writing import LEAST_WIDTH, on_one_line, width_of
        from .writing import write as write_lines

        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None or self._config.get_verbosity() < 0:
            return Progress()
        if self.is_worker:
            # A worker has no terminal, but the controller's standard error.
            def shout(text: str) -> None:
                told = wrapped([line(f"kycquant: {text}")], LEAST_WIDTH)
                with capture.global_and_fixture_disabled():
                    print("\n".join(map(text_of, told)), file=sys.stderr, flush=True)

            return Progress(announce=shout)
        if reporter is None:
            return Progress()
        live = bool(reporter.isatty) and not self.is_worker

        def write(text: str) -> None:
            with capture.global_and_fixture_disabled():
                if not live:
                    announce(text)
                    return
                if reporter.currentfspath is not None:
                    reporter.ensure_newline()
                shown = on_one_line(text, reporter._tw.fullwidth - 1)
                reporter._tw.write(f"\r\x1b[2K{shown}", flush=True)

        def announce(text: str) -> None:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                write_lines(reporter, wrapped([line(f"kycquant: {text}")], width_of(reporter)))

        return Progress(write, live=live, announce=announce)


SESSION = pytest.StashKey[KycquantSession]()


def attach(
    item: pytest.Item, report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException] | None
) -> None:
    """Mark the reports of a gate's test, and attach what it found to the first that follows.

    The call may never come: a fixture can skip the test once the verdict is known. What is attached
    is text, because pytest-xdist can transfer it.

    Args:
        item: the test.
        report: the report of one of its phases.
        raised: what that phase raised, whatever the report makes of it.
    """
    if raised is not None and _tears_down(report, raised):
        report.kycquant_torn = True  # type: ignore[attr-defined]
    if is_gated(item):
        report.kycquant_gated = True  # type: ignore[attr-defined]
        if raised is not None and raised.typename == "Waived":
            report.kycquant_waived = raised.value.ships  # type: ignore[attr-defined]
        if raised is not None and hasattr(raised.value, "kycquant_undecided"):
            report.kycquant_undecided = True  # type: ignore[attr-defined]
    if broken := item.stash.get(BROKEN, None):
        report.kycquant_broken = list(broken)  # type: ignore[attr-defined]
    if reason := item.stash.get(REASON, None):
        report.kycquant_reason = list(reason)  # type: ignore[attr-defined]
    if path := item.stash.get(NO_GOLDEN, ""):
        report.kycquant_no_golden = path  # type: ignore[attr-defined]
    if raised is not None and raised.value is item.stash.get(REPEATED, None):
        report.kycquant_repeated = True  # type: ignore[attr-defined]
    found = item.stash.get(FOUND, None)
    if found is None:
        return
    if found is not item.stash.get(_SENT, None):
        item.stash[_SENT] = found
        report.kycquant = found.dump()  # type: ignore[attr-defined]
    if report.when == "call" and found.fallback:
        report.kycquant_fallback = found.fallback  # type: ignore[attr-defined]


def _tears_down(report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether an error may come from the teardown of a fixture that other tests share.

    pytest reports it on the test that ran last, or, if the fixture has another parameter next, in
    the setup of the test that wants that one.
    """
    if report.when == "setup":
        return any(
            entry.name == "finish" and "_pytest" in Path(entry.path).parts
            for entry in raised.traceback
        )
    return report.when == "teardown"
