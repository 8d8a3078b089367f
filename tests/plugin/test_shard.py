"""`--kycquant-shard`: whole gates, each in one shard, and reports that `merge` can unite."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kycquant.cli.main import main
from pytest_kycquant.plugin.shards import distribute
from tests.worlds.ci import leave_ci
from tests.worlds.population import FUNCTION, Run

CLASS = (
    FUNCTION
    + """
from pytest_kycquant import FaceGates

class TestFace(FaceGates):
    model, limits, fallback = MODEL, LIMITS, None
    precisions = (Recipe("int8-weights", name="w", bias_correction=False),)
"""
)
MARKED = (
    FUNCTION
    + """
from dataclasses import replace

gate = pytest.mark.kycquant(
    model=replace(MODEL, name="other"), precisions=("fp16",), limits=LIMITS, fallback=None
)

@gate
def test_size(candidate):
    candidate.check("size")

@gate
def test_far(candidate):
    candidate.check("far")
"""
)
PLAIN = "def test_one(): pass\ndef test_two(): pass\n"


@pytest.fixture
def gates(project: Callable[..., None], pytester: pytest.Pytester) -> Path:
    """A gate class, two functions that are one gate, and two tests of no gate."""
    project(golden=False)
    root = pytester.path
    (root / "test_gate.py").write_text(CLASS)
    (root / "test_marked.py").write_text(MARKED)
    (root / "test_of_no_gate.py").write_text(PLAIN)
    pytester.makeini("[pytest]\n")
    return root


def collected(run: Run, shard: str, *arguments: str) -> set[str]:
    result = run("--collect-only", "-q", f"--kycquant-shard={shard}", *arguments)
    return {line for line in result.outlines if "::" in line}


@pytest.mark.parametrize("of", [1, 2, 3])
def test_each_test_is_in_one_shard_and_gates_are_whole(gates: Path, run: Run, of: int) -> None:
    parts = [collected(run, f"{index}/{of}") for index in range(1, of + 1)]
    everything = {line for line in run("--collect-only", "-q").outlines if "::" in line}
    assert len(everything) == 10
    assert sum(map(len, parts)) == len(everything)
    assert set().union(*parts) == everything
    for part in parts:
        files = {test.partition("::")[0] for test in part}
        assert part == {test for test in everything if test.partition("::")[0] in files}
    plain = {test for test in everything if test.startswith("test_of_no_gate")}
    assert plain <= parts[0]


def test_neither_the_order_nor_other_options_matter(gates: Path, run: Run) -> None:
    files = ["test_of_no_gate.py", "test_marked.py", "test_gate.py"]
    known = [collected(run, f"{index}/2") for index in (1, 2)]
    assert [collected(run, f"{index}/2", *files) for index in (1, 2)] == known
    chosen = [collected(run, f"{index}/2", "-k", "size") for index in (1, 2)]
    assert chosen == [{test for test in part if "size" in test} for part in known]


def test_a_pipeline_goes_with_its_stages(
    pipeline_project: Callable[..., Path], run: Run, pytester: pytest.Pytester
) -> None:
    pipeline_project()
    files = ["test_pipeline.py", "face/gate.py"]
    pytester.makepyfile(test_of_no_gate=PLAIN)
    parts = [collected(run, f"{index}/2", *files, "test_of_no_gate.py") for index in (1, 2)]
    assert {test.partition("::")[0] for test in parts[0]} == {*files, "test_of_no_gate.py"}
    assert parts[1] == set()


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 5), st.randoms())
def test_shards_have_about_the_same_to_do(costs: list[int], of: int, chance: random.Random) -> None:
    named = [(cost, f"test_{place}") for place, cost in enumerate(costs)]
    found = dict(zip(named, distribute(named, of), strict=True))
    shuffled = chance.sample(named, len(named))
    assert dict(zip(shuffled, distribute(shuffled, of), strict=True)) == found
    load = [sum(cost for (cost, _), shard in found.items() if shard == one)
            for one in range(1, of + 1)]  # fmt: skip
    assert sum(load) == sum(costs)
    assert max(load) - min(load) <= max(costs, default=0)


@pytest.mark.parametrize(
    "value", ["0/2", "3/2", "x", "2", "1/0", "1/2/3", "-1/2", "1/", "1.0/2", "\u0661/\u0662"]
)
def test_a_wrong_value_is_one_error(pytester: pytest.Pytester, value: str) -> None:
    result = pytester.runpytest_inprocess(f"--kycquant-shard={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.strip()]
    assert line.startswith("ERROR: --kycquant-shard: ")
    assert line.endswith("is not a part of a run; give I/N with I from 1 to N, such as 2/3 for the "
                         "second of three")  # fmt: skip


@pytest.fixture
def judged(gates: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with its goldens."""
    leave_ci(monkeypatch)
    assert run("-k", "size", "--kycquant-update-golden", "-q").ret == 0
    return gates


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_the_shards_are_one_run(judged: Path, run: Run, workers: tuple[str, ...]) -> None:
    whole = run("--kycquant-report=whole.json", *workers)
    assert whole.ret == 0
    one = json.loads((judged / "whole.json").read_text())
    gates = []
    for index in (1, 2):
        part = run(f"--kycquant-shard={index}/2", f"--kycquant-report=part{index}.json", *workers)
        assert part.ret == 0
        others = "run here, in" if index == 1 else "run in"
        part.stdout.fnmatch_lines(
            [f"shard {index} of 2: 1 of 2 gates; 2 tests of no gate {others} shard 1; kycquant *"]
        )
        report = json.loads((judged / f"part{index}.json").read_text())
        assert (report["verdict"], report["problems"]) == ("INCOMPLETE", [])
        gates.append({gate["gate"] for gate in report["gates"]})
    assert sorted(map(len, gates)) == [1, 1]
    assert main(["merge", "part2.json", "part1.json", "--out", "merged.json"]) == 0
    merged = json.loads((judged / "merged.json").read_text())
    assert merged["verdict"] == one["verdict"] == "PASS"
    for key in ("scope", "problems", "errors", "provenance", "environment", "session_config"):
        assert merged[key] == one[key]
    for mine, theirs in zip(merged["gates"], one["gates"], strict=True):
        for key in ("gate", "key", "tests", "golden", "ship", "limits", "data", "incomplete"):
            assert mine[key] == theirs[key]
    assert main(["merge", "part1.json", "--out", "merged.json"]) == 1


def test_a_shard_without_tests_is_no_failure(judged: Path, run: Run) -> None:
    (judged / "part.json").write_text((judged / "golden" / "face.json").read_text())
    assert run("--kycquant-shard=3/3", "--kycquant-report=part.json").ret == 4  # is no report
    (judged / "part.json").unlink()
    for workers in ((), ("-n", "1")):
        result = run("--kycquant-shard=3/3", "--kycquant-report=part.json", *workers)
        assert result.ret == 0
        result.stdout.fnmatch_lines(["shard 3 of 3: 0 of 2 gates; 2 tests of no gate run in *"])
        report = json.loads((judged / "part.json").read_text())
        assert (report["verdict"], report["gates"]) == ("INCOMPLETE", [])
        assert report["shard"]["index"] == 3
    nothing = run("--kycquant-shard=3/3", "golden")
    assert nothing.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_waivers_of_other_shards(judged: Path, run: Run) -> None:
    waiver = """
[[waiver]]
gate = "{gate}"
variant = "w"
check = "size"
reason = "known"
ticket = "K-1"
expires = 2999-01-01
"""
    (judged / "waivers.toml").write_text(waiver.format(gate="TestFace"))
    for index in (1, 2):
        assert run(f"--kycquant-shard={index}/2", "-q").ret == 0
    (judged / "waivers.toml").write_text(waiver.format(gate="TestNobody"))
    for index in (1, 2):
        result = run(f"--kycquant-shard={index}/2", "-q")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["ERROR: *TestNobody waives nothing*"])


def test_exports_are_those_of_one_run(judged: Path, run: Run) -> None:
    run("--kycquant-export=whole", "-q")
    for index in (1, 2):
        result = run(f"--kycquant-shard={index}/2", "--kycquant-export=parts", "-q")
        assert "was judged" not in result.stdout.str()
    names = sorted(path.name for path in (judged / "whole").iterdir())
    assert len(names) == 4
    assert sorted(path.name for path in (judged / "parts").iterdir()) == names


def test_other_settings_are_another_run(
    judged: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--kycquant-shard=1/2", "--kycquant-report=part1.json", "-q")
    run("--kycquant-shard=2/2", "--kycquant-report=part2.json", "-q", "--kycquant-strict")
    assert main(["merge", "part1.json", "part2.json"]) == 1
    assert "tests or settings of the run" in capsys.readouterr().err
