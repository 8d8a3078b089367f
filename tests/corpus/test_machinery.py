"""The instrument itself: it reports what it should report, and nothing else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kycquant.report.advice import NOTHING_PASSES
from pytest_kycquant.spec.profiles import NOTHING_CLEARED
from tests.corpus import runner
from tests.corpus.case import Case, attempt
from tests.corpus.catalogue import KINDS, cases_of, share
from tests.corpus.judge import (
    DESTROYED,
    FAILING,
    HANG,
    LEAKED,
    OTHER,
    PASSING,
    SAME_VERDICTS,
    TRACEBACK,
    UNCLEAR,
    WRONG_PASS,
    Expect,
    judge,
    refused,
    warned,
)
from tests.corpus.outcome import Outcome
from tests.corpus.trial import Trial, survey

ERROR = "/p/models/face.onnx: is damaged; export it again"
FAILED = "face: int8 FAIL far\nFAIL FAR = 3 % must be below 1 %\nTry something."
SOUND = {"gates/a/variants/int8/verdict": "PASS"}
REPORT = {"gates": [{"gate": "a", "variants": [{"variant": "int8", "verdict": "PASS"}]}]}


def block(text: str, section: str = "ERRORS") -> str:
    title = "____ ERROR at setup of TestFace.test_far[int8] ____"
    return f"==== {section} ====\n{title}\n{text}\n==== end ====\n"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    for name in ("project", "home", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "project" / "faces.npz").write_bytes(b"the user's")
    return Trial(tmp_path, timeout=1.0)


def kinds(expect: Expect, trial: Trial, outcome: Outcome) -> list[str]:
    """The kinds of what is wrong, if nothing happens to the files."""
    files = survey(trial)
    return [found.kind for found in judge(expect, trial, outcome, files, files, SOUND)]


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        (refused("face.onnx"), Outcome(1, block(ERROR))),
        (refused("face.onnx", says="damaged"), Outcome(1, block(ERROR) * 3)),
        (refused("--kycquant-cache"), Outcome(4, "ERROR: --kycquant-cache: is empty; give a path")),
        (
            refused("KycModel"),
            Outcome(2, block("test_gate.py:5: in <module>\nE   pytest_kycquant.errors.SpecError: "
                             "KycModel: has no argument 'nam'; did you mean 'name'?")),
        ),
        (FAILING, Outcome(1, block(FAILED, "FAILURES"))),
        (FAILING, Outcome(1, block("E       assert False", "FAILURES"))),
        (SAME_VERDICTS, Outcome(0, "6 passed", report=REPORT)),
        (PASSING, Outcome(0, "6 passed")),
        (warned("near-duplicate"), Outcome(0, "x.py:1: DataWarning: 3 near-duplicates; look")),
        (refused("face.onnx") | PASSING, Outcome(0, "6 passed")),
    ],
)  # fmt: skip
def test_what_must_happen_is_found_right(expect: Expect, outcome: Outcome, trial: Trial) -> None:
    assert kinds(expect, trial, outcome) == []


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (WRONG_PASS, Outcome(0, "6 passed", report=REPORT)),
        (WRONG_PASS, Outcome(1, block(ERROR) + "ship: int8 (0.3 of the size)")),
        (TRACEBACK, Outcome(1, "Traceback (most recent call last):\n  ...")),
        (TRACEBACK, Outcome(3, "INTERNALERROR> KeyError: 'x'")),
        (TRACEBACK, Outcome(1, block("x.py:3: in f\nE   KeyError: 'threshold'"))),
        (TRACEBACK, Outcome(1, block("E   onnxruntime.capi.x.InvalidArgument: [ONNX]"))),
        (TRACEBACK, Outcome(1, block('  File "/x/y.py", line 3, in f'))),
        (TRACEBACK, Outcome(1, block("x/y.py:120: InvalidArgument"))),
        (TRACEBACK, Outcome(-11, "")),
        (TRACEBACK, Outcome(139, "")),
        (HANG, Outcome(None, "")),
        (LEAKED, Outcome(1, block("face.onnx: has \x1b[2J; rename it"))),
        (LEAKED, Outcome(1, block("face.onnx: has \u202egnp; rename it"))),
        (LEAKED, Outcome(1, block("face.onnx: has \rok; rename it"))),
        (UNCLEAR, Outcome(1, block("/p/face.onnx: is damaged"))),
        (UNCLEAR, Outcome(1, block("the model is damaged; export it again"))),
        (UNCLEAR, Outcome(1, block("faces.npz: is damaged; make it again"))),
        (UNCLEAR, Outcome(1, block(f"face.onnx: has {'x' * 3_000}; rename it"))),
        (UNCLEAR, Outcome(1, block(ERROR) + block("faces.npz: is damaged; make it again"))),
        (UNCLEAR, Outcome(1, "1 failed")),
        (OTHER, Outcome(1, block(FAILED, "FAILURES"))),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported(kind: str, outcome: Outcome, trial: Trial) -> None:
    assert kinds(refused("face.onnx"), trial, outcome) == [kind]


@pytest.mark.parametrize(
    ("kind", "expect", "outcome"),
    [
        (WRONG_PASS, FAILING, Outcome(0, "6 passed")),
        (WRONG_PASS, warned("near-duplicate"), Outcome(0, "6 passed", report=REPORT)),
        (OTHER, SAME_VERDICTS, Outcome(0, "6 passed")),
        (OTHER, SAME_VERDICTS, Outcome(1, block(ERROR))),
        (OTHER, PASSING, Outcome(1, block(FAILED, "FAILURES"))),
    ],
)
def test_another_outcome_is_reported(
    kind: str, expect: Expect, outcome: Outcome, trial: Trial
) -> None:
    assert kinds(expect, trial, outcome) == [kind]


def test_a_clearance_of_what_may_clear_nothing_is_a_wrong_pass(trial: Trial) -> None:
    trial.clears_nothing = True
    assert kinds(PASSING, trial, Outcome(0, "ship: int8 (0.3 of the size)")) == [WRONG_PASS]


@pytest.mark.parametrize(
    "advice",
    [
        NOTHING_CLEARED,
        NOTHING_PASSES,
        "nothing yet: 1 test of this gate was deselected",
        "fp32 (no quantized variant passes: keep FP32)",
    ],
)
def test_what_names_nothing_to_ship(advice: str) -> None:
    assert Outcome(0, f"ship: {advice}").ships == ()


def test_the_same_error_in_two_workers_is_one() -> None:
    block = "{0}\n[gw{1}] linux -- Python 3.11.7 /bin/python\n/a/cache: was deleted; run again\n"
    blocks = (block.format(f"___ ERROR at setup of test_{i} ___", i) for i in range(2))
    text = "\n".join(["=== ERRORS ===", *blocks])
    assert Outcome(1, text).errors == ("/a/cache: was deleted; run again",)


def test_a_sound_model_may_be_named_though_the_report_cannot_be_written(trial: Trial) -> None:
    text = "ship: int8 (0.3 of the size)\nERROR: --kycquant-report: is a folder; name a file"
    assert kinds(refused("report", sound=True), trial, Outcome(1, text)) == []


def overwrite(trial: Trial) -> None:
    (trial.project / "faces.npz").write_bytes(b"the plugin's")


def delete(trial: Trial) -> None:
    (trial.project / "faces.npz").unlink()


def open_to_all(trial: Trial) -> None:
    (trial.project / "faces.npz").chmod(0o777)


def replace_by_link(trial: Trial) -> None:
    delete(trial)
    (trial.project / "faces.npz").symlink_to("other")


def leave_file(trial: Trial) -> None:
    (trial.root / "tmp" / "embeddings.npy").touch()


def leave_partial(trial: Trial) -> None:
    trial.may_appear.add("project/out")
    (trial.project / "out").mkdir()
    (trial.project / "out.partial").touch()


def open_cache(trial: Trial) -> None:
    trial.cache = trial.project / "cache"
    trial.cache.mkdir(mode=0o755)
    (trial.cache / "CACHEDIR.TAG").touch()


def leave_in_cache(trial: Trial) -> None:
    open_cache(trial)
    trial.cache.chmod(0o700)  # type: ignore[union-attr]
    (trial.project / "cache" / "partial-1").mkdir()


def telemetry(trial: Trial) -> None:
    (trial.home / ".cache").mkdir()


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        *((act, DESTROYED) for act in (overwrite, delete, open_to_all, replace_by_link)),
        *((act, LEAKED) for act in (leave_file, leave_partial, open_cache, leave_in_cache)),
        (telemetry, LEAKED),
    ],
)
def test_what_happens_to_files_is_reported(
    act: Callable[[Trial], None], kind: str, trial: Trial
) -> None:
    before = survey(trial)
    act(trial)
    outcome = Outcome(0, "6 passed")
    found = {one.kind for one in judge(PASSING, trial, outcome, before, survey(trial), {})}
    assert found == {kind}


def test_what_was_asked_for_is_not_reported(trial: Trial) -> None:
    before = survey(trial)
    trial.may_change.add("project/faces.npz")
    trial.may_appear.add("project/out")
    overwrite(trial)
    (trial.project / "out").mkdir()
    (trial.project / "out" / "face.onnx").touch()
    trial.report_file.touch()
    assert judge(PASSING, trial, Outcome(0, ""), before, survey(trial), {}) == []


def test_a_hang_is_ended_with_all_that_it_started(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = trial.root / "pid"
    code = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(started)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)"
    )
    monkeypatch.setattr(runner, "command", lambda trial: [sys.executable, "-c", code])
    outcome = runner.run(trial)
    assert outcome.status is None
    stat = Path(f"/proc/{started.read_text()}/stat")
    for _ in range(100):  # a signal takes effect when its process runs next
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if stat.read_text().split()[2] != "Z":
                time.sleep(0.1)
                continue
        return
    pytest.fail("the child of the run that hung is alive")


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_cases_are_unique(kind: str) -> None:
    names = [case.name for case in cases_of(kind, 1)]
    assert len(names) == len(set(names)) > 15


def test_there_are_many_and_another_seed_gives_others() -> None:
    first, second = ([c.name for kind in KINDS for c in cases_of(kind, s)] for s in (1, 2))
    assert len(first) > 300
    assert set(first) != set(second)


def test_the_share_has_every_kind() -> None:
    named = {kind: {case.name for case in cases_of(kind, 3)} for kind in KINDS}
    drawn = [case.name for case in share(3)]
    assert all(any(name in names for name in drawn) for names in named.values())
    assert not any(case.slow for case in share(3))


def test_an_input_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    class Nowhere:
        def copy(self, name: str, root: Path, seed: object) -> Trial:
            return Trial(tmp_path)

        def sound(self, name: str) -> dict[str, object]:
            return {}

    def damage(trial: Trial) -> None:
        raise ValueError("no such text")

    result = attempt(Case("x", "face", damage, PASSING), Nowhere(), 1)  # type: ignore[arg-type]
    assert [found.kind for found in result.findings] == [OTHER]
