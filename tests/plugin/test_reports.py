"""The reports of a run: JSON, JUnit properties, and a header that says where it ran."""

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from tests.worlds.population import Run


def test_json_report(project: Callable[..., None], run: Run, pytester: pytest.Pytester) -> None:
    project(precisions='"fp16", "int8"')
    run("--kycquant-report=out/report.json")
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert report["schema"] == 8
    assert report["environment"]["onnxruntime"]
    (face,) = report["gates"]
    assert (face["model"], face["gate"]) == ("face", "test_gate.py::TestFace")
    assert face["ship"] == "int8"
    assert [variant["variant"] for variant in face["variants"]] == ["fp32", "fp16", "int8"]
    int8 = face["variants"][2]
    assert int8["verdict"] == "PASS"
    assert set(int8["gates"]) == {"finite", "far", "frr", "degradation", "latency", "size"}
    far = int8["gates"]["far"]["checks"][0]
    assert far["lower"] <= far["value"] <= far["upper"] < far["limit"] == 0.001
    assert int8["options"]["reason"]
    assert int8["figures"]["cosine_mean"] > 0.99
    for variant in face["variants"]:
        assert variant["figures"]["load_ms"] > 0
        assert 0 < variant["figures"]["memory_mb"] < 100
    assert int8["figures"]["wall_p95_ms"] >= int8["figures"]["wall_p50_ms"] > 0
    assert {decision["requested"] for decision in face["decisions"]} == {"fp16", "int8"}


def test_costs_are_shown_with_v(project: Callable[..., None], run: Run) -> None:
    """Memory needs a process for each variant, so it is measured only for the report."""
    project()
    plain, verbose = run(), run("-v")
    known = "int8: wall clock *.?? ms, 95 % of runs within *.?? ms"
    plain.stdout.no_fnmatch_line("int8: wall clock *")
    verbose.stdout.fnmatch_lines([known])
    verbose.stdout.no_fnmatch_line("* MB")
    with_report = run("-v", "--kycquant-report=report.json")
    with_report.stdout.fnmatch_lines([f"{known}, opens in * ms, takes * MB"])


def test_json_report_of_a_fallback(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    run("--kycquant-report=report.json")
    (face,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    (decision,) = face["decisions"]
    assert decision["ships"] == face["ship"] == "int8>mixed"
    assert decision["tried"] == ["int8", "int8>mixed"]
    assert decision["reasons"][0].startswith("int8 does not pass ")
    (search,) = decision["searches"]
    assert set(search["keep"]) == {"second", "third"}
    assert search["blocks"] == ["third", "second"]
    assert search["of"] == len(search["ranking"]) == 6
    assert search["minimal"]
    assert search["note"] == ""
    assert 0.9 < search["quantized_share"] < 1
    # The set that passed, and the set without each of its two members.
    found = [(a["kept"], a["stored"], a["passed"]) for a in search["attempts"]]
    assert found == [
        (1, "float32", False),
        (2, "float32", True),
        (1, "float32", False),
        (2, "int8", False),
        (2, "float16", True),
    ]
    assert search["stored"] == "float16"
    assert all(attempt["seconds"] >= 0 for attempt in search["attempts"])
    assert all(bool(attempt["reason"]) != attempt["passed"] for attempt in search["attempts"])
    int8 = next(v for v in face["variants"] if v["variant"] == "int8")
    assert int8["verdict"] == "FAIL"


def test_junit_properties(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    run("--junitxml=junit.xml")
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    properties = {
        case.get("name"): {p.get("name"): p.get("value", "") for p in case.iter("property")}
        for case in cases
    }
    found = properties["test_far[int8]"]
    assert found["kycquant.variant"] == "int8>mixed"
    assert found["kycquant.fallback_reason"].startswith("int8 does not pass")
    assert found["kycquant.far"].startswith("PASS FAR = ")
    assert 0 < float(found["kycquant.size_ratio"]) < 1
    assert found["kycquant.far.verdict"] == "PASS"
    lower, value, upper, limit = (
        float(found[f"kycquant.far.{name}"]) for name in ("lower", "value", "upper", "limit")
    )
    assert lower <= value <= upper < limit == 0.001
    # The test itself is inherited: its own location is a line of the plugin.
    lines = (pytester.path / found["kycquant.file"]).read_text().splitlines()
    assert lines[int(found["kycquant.line"]) - 1].startswith("class TestFace")


def test_report_where_nothing_ran(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run("--kycquant-report=report.json")
    result.assert_outcomes(passed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    assert (report["gates"], report["verdict"]) == ([], "INCOMPLETE")
    result.stdout.no_fnmatch_line("*= kycquant =*")


def test_what_was_not_judged_is_in_the_report(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """Who reads only the report must not take one good gate for a good project."""
    project()
    gate = pytester.path / "test_gate.py"
    text = gate.read_text()
    second = text[text.index("class Test") :].replace("TestFace", "TestOther")
    named = second.replace('"models/face.onnx",', '"models/face.onnx", name="other",')
    gate.write_text(f"{text}\n{named}")
    (pytester.path / "test_broken.py").write_text("import nothing_of_this_name\n")
    run("--kycquant-report=r.json", "--continue-on-collection-errors")
    report = json.loads((pytester.path / "r.json").read_text())
    (judged,) = report["gates"]
    assert judged["model"] == "face"
    assert (judged["inconclusive"], judged["fallback"]) == ("fail", "mixed")
    texts = "\n".join(report["problems"])
    assert "test_gate.py::TestOther was not judged: " in texts
    assert "no golden baseline" in texts
    assert "test_broken.py was not collected" in texts


def test_what_an_auditor_needs(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """Limits, images, the commit, errors and times, and one verdict of the whole run."""
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@example.org")
    project()
    for command in (("init", "-q"), ("add", "test_gate.py"), ("commit", "-qm", "gate")):
        subprocess.run([*git, *command], cwd=pytester.path, check=True)
    run("--kycquant-report=report.json", "-k", "not latency")
    first = json.loads((pytester.path / "report.json").read_text())
    sha = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=pytester.path, capture_output=True, check=True, text=True
    ).stdout.strip()
    assert first["provenance"]["commit"] == {"sha": sha, "changed": False}
    assert first["provenance"]["plugin"]
    (face,) = first["gates"]
    limits = {limit["name"]: limit for limit in face["limits"]}
    assert limits["far"] == {"name": "far", "value": 0.001, "direction": "below", "unit": "rate"}
    assert limits["latency_ms"]["value"] is None
    assert set(face["data"]) == {"evaluation", "calibration"} | set(face["data"])
    assert all(each["images"] > 1 and len(each["sha256"]) == 64 for each in face["data"].values())
    assert (first["verdict"], first["errors"]) == ("INCOMPLETE", [])
    assert [test.partition("::test_")[2] for test in face["not_run"]] == ["latency[int8]"]
    assert set(first["times"]["tests"]) >= {"test_gate.py::TestFace::test_far[int8]"}
    with (pytester.path / "test_gate.py").open("a") as file:
        file.write("\n# another line\n")
    run("--kycquant-report=report.json", "-k", "not latency")
    second = json.loads((pytester.path / "report.json").read_text())
    assert second["provenance"]["commit"]["changed"]
    for report in (first, second):
        for key in ("times", "digest", "provenance"):
            del report[key]
    assert first == second


def test_errors_are_in_the_report(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True, fallback=None)
    run("--kycquant-report=report.json")
    report = json.loads((pytester.path / "report.json").read_text())
    assert report["verdict"] == "FAIL"
    failed = {error["test"]: error["message"] for error in report["errors"]}
    assert "FAIL" in failed["test_gate.py::TestFace::test_frr[int8]"]
    (pytester.path / "models" / "face.onnx").unlink()
    run("--kycquant-report=report.json")
    report = json.loads((pytester.path / "report.json").read_text())
    assert report["verdict"] == "ERROR"
    assert any("models/face.onnx" in error["message"] for error in report["errors"])


@pytest.mark.parametrize("arguments", [("--collect-only",), ("-k", "nothing"), ("-m", "nothing")])
def test_a_run_that_judges_nothing_keeps_the_report(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    project()
    path = pytester.path / "report.json"
    run("--kycquant-report=report.json", "-k", "finite")
    before = path.read_bytes()
    result = run("--kycquant-report=report.json", *arguments)
    assert path.read_bytes() == before
    if arguments != ("--collect-only",):
        result.stdout.fnmatch_lines(["*report.json stays as it was: this run judged no gate"])


def test_markdown_and_the_summary_of_a_job(
    project: Callable[..., None],
    run: Run,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project()
    summary = pytester.path / "summary.md"
    summary.write_text("# another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run("--kycquant-markdown=out/report.md", "-k", "not latency")
    first = (pytester.path / "out" / "report.md").read_text()
    assert first.splitlines()[1] == "## kycquant: INCOMPLETE"
    assert summary.read_text() == f"# another step\n{first}"
    result = run("--kycquant-markdown=out/report.md")
    result.stdout.fnmatch_lines(["written: out/report.md", "next: *"])
    second = (pytester.path / "out" / "report.md").read_text()
    assert second.splitlines()[1] == "## kycquant: PASS"
    assert summary.read_text() == f"# another step\n{first}{second}"
    run("--collect-only")
    assert summary.read_text().endswith(second)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path))
    result = run("-k", "finite")
    result.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY cannot be written: *"])
    assert result.ret == 0


def test_markdown_overwrites_no_other_file(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "README.md").write_text("# mine\n")
    result = run("--kycquant-markdown=README.md")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--kycquant-markdown: *README.md exists and is not a report; name another file*"]
    )
    assert (pytester.path / "README.md").read_text() == "# mine\n"


@pytest.mark.parametrize("arguments", [(), ("-n", "1")])
def test_annotations_stand_at_the_gate_class(
    project: Callable[..., None],
    run: Run,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project(fragile=True, fallback=None)
    result = run("--kycquant-code-quality=quality.json", *arguments)
    text = (pytester.path / "test_gate.py").read_text().splitlines()
    line = 1 + next(at for at, each in enumerate(text) if each.startswith("class TestFace"))
    result.stdout.fnmatch_lines(
        [
            f"::error file=test_gate.py,line={line},title=TestFace%3A degradation of int8::FAIL *",
            f"::error file=test_gate.py,line={line},title=TestFace%3A frr of int8::FAIL FRR*",
        ]
    )
    entries = json.loads((pytester.path / "quality.json").read_text())
    frr = next(one for one in entries if one["check_name"] == "kycquant frr of int8")
    assert frr["location"] == {"path": "test_gate.py", "lines": {"begin": line}}
    assert frr["severity"] == "blocker"
    again = run("--kycquant-code-quality=quality.json", *arguments)
    assert "exists and is not a report" not in str(again.stderr)
    assert json.loads((pytester.path / "quality.json").read_text()) == entries


def test_nothing_is_annotated_elsewhere(project: Callable[..., None], run: Run) -> None:
    project(fragile=True, fallback=None)
    run().stdout.no_fnmatch_line("::error *")


def test_other_tests_are_no_errors_of_gates(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project()
    (pytester.path / "test_other.py").write_text("def test_it():\n    assert 0\n")
    run("--kycquant-report=report.json").assert_outcomes(passed=6, failed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    assert (report["verdict"], report["errors"]) == ("PASS", [])


def test_a_gate_file_that_cannot_be_read_replaces_an_earlier_pass(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """A report that stays would be taken for one of this run, by a later job."""
    project()
    run("--kycquant-report=report.json")
    path = pytester.path / "report.json"
    assert json.loads(path.read_text())["verdict"] == "PASS"
    (pytester.path / "test_gate.py").write_text("def (")
    assert run("--kycquant-report=report.json").ret == pytest.ExitCode.INTERRUPTED
    report = json.loads(path.read_text())
    assert (report["verdict"], report["gates"]) == ("ERROR", [])
    assert report["problems"] == ["test_gate.py was not collected"]
