"""Groups in a gate file: INT8 that rejects people with faint pictures may not ship."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds import scenery
from tests.worlds.outcomes import stopped
from tests.worlds.population import FUNCTION, Run, people, without_repair, write_folders

FAINT = 60  # people of each 330 whose pictures have hardly any contrast

# One budget for all people and for each group of them.
LIMITS = (
    "frr=0.5, frr_degradation={0}, far_degradation=0.002, group_frr_degradation={0}, "
    "group_far_degradation=0.01, mean_cosine=0.5, p1_cosine=0.0"
)


def dim(root: Path, name: str, seed: int, contrast: float) -> list[str]:
    """Write people, some of them faint; return lines of a table of groups."""
    pixels, names = people(330, 2, seed=seed)
    faint = np.isin(names, np.unique(names)[:FAINT])
    pixels[faint] = 128 + contrast * (pixels[faint].astype(float) - 128)
    np.savez(root / name, images=pixels, subjects=names)
    lines = dict(zip(names.tolist(), faint.tolist(), strict=True))
    return [f"{person},{'faint' if is_faint else 'plain'}" for person, is_faint in lines.items()]


def write_groups(root: Path, lines: list[str]) -> None:
    (root / "groups.csv").write_text("\n".join(["subject,light", *lines]))


@pytest.fixture
def faces(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> Callable[..., list[str]]:
    """A project whose gate file names groups; the lines of its table."""

    def write(
        *, contrast: float = 0.02, selection: float | None = None, **options: object
    ) -> list[str]:
        options = {"fallback": None, "limits": LIMITS.format(0.2)} | options
        project(golden=False, **options)
        lines = dim(pytester.path, "faces.npz", 3, contrast)
        others = dim(pytester.path, "selection.npz", 2, contrast)
        task = 'FaceVerification("faces.npz", selection="selection.npz"'
        named = f'{task}, groups="groups.csv"'
        if selection is not None:
            named = f'FaceVerification("faces.npz", selection={selection}, groups="groups.csv"'
            others = []
        write_groups(pytester.path, lines + others)
        gate = pytester.path / "test_gate.py"
        gate.write_text(gate.read_text().replace(task, named))
        run("--kycquant-update-golden", "-q", "-k", "test_size")
        return lines + others

    return write


def report(root: Path) -> dict[str, dict[str, Any]]:
    """Variants of the only gate of a report, by label."""
    (gate,) = json.loads((root / "report.json").read_text())["gates"]
    return {variant["variant"]: variant for variant in gate["variants"]}


def test_what_hurts_one_group_passes_all_other_gates_and_fails(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    faces()
    result = run("-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "face: int8 FAIL degradation",
            "FAIL increase of FRR over FP32, worst of 2 groups = * must be below 20 %",
            "  light faint: * comparisons newly wrong, * newly right",
            "PASS increase of FRR over FP32 = *",
            "worst group of int8: light faint, FRR * with FP32 and * now, increase *, budget 20 %",
        ]
    )
    variants = report(pytester.path)
    assert variants["fp32"]["groups"] == []
    found = {(one["group"], one["measure"]): one for one in variants["int8"]["groups"]}
    assert set(found) == {(f"light {g}", m) for g in ("faint", "plain") for m in ("FAR", "FRR")}
    faint, plain = found["light faint", "FRR"], found["light plain", "FRR"]
    assert faint["fp32"]["trials"] == FAINT
    assert faint["fp32"]["upper"] < 0.2 < faint["variant"]["lower"]
    assert faint["check"]["lower"] >= faint["check"]["limit"] == 0.2
    assert (plain["check"]["verdict"], plain["variant"]["errors"]) == ("PASS", 0)


def test_what_hurts_nobody_passes_and_a_golden_does_not_depend_on_groups(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    """Groups change neither the threshold nor the rates of a golden, only what is judged."""
    lines = faces(contrast=0.5)
    before = (pytester.path / "golden" / "face.json").read_bytes()
    run("--kycquant-report=report.json").assert_outcomes(passed=6)
    assert len(report(pytester.path)["int8"]["groups"]) == 4
    write_groups(pytester.path, [f"{line.split(',')[0]},{i % 3}" for i, line in enumerate(lines)])
    run("--kycquant-report=report.json").assert_outcomes(passed=6)
    assert len(report(pytester.path)["int8"]["groups"]) == 6
    assert (pytester.path / "golden" / "face.json").read_bytes() == before


def test_the_search_minds_groups(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    """Mixed models that still hurt one group do not pass."""
    faces(fallback="mixed")
    run("--kycquant-report=report.json")
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    (decision,) = gate["decisions"]
    (search,) = decision["searches"]
    failed = [attempt["reason"] for attempt in search["attempts"] if not attempt["passed"]]
    assert failed
    assert all("increase of FRR over FP32, worst of 2 groups" in reason for reason in failed)
    assert decision["ships"] in ("int8>mixed", "int8-weights")  # whichever is found first
    increases = report(pytester.path)[decision["ships"]]["groups"]
    assert {one["check"]["verdict"] for one in increases} == {"PASS"}


def test_a_small_group_is_undecided_and_no_fallback_is_tried(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    lines = faces(contrast=0.5, fallback="mixed")
    (pytester.path / "groups.csv").write_text(
        "\n".join(["subject,light", *lines]).replace("003,faint", "003,dark", 1)
    )
    result = run()
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE increase of F?R over FP32, worst of 3 groups = *",
            "  light dark: *",
            "  a claim about the group needs such comparisons from at least 20 identities",
            "  it has *",
            "int8: no fallback was tried, because this data cannot decide even for FP32 *",
        ]
    )


def test_a_share_for_selection_is_of_the_same_table(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    limits = LIMITS.replace("0.01", "0.05").format(0.25)
    faces(contrast=0.5, selection=0.5, limits=f"{limits}, far=0.01")
    run("--kycquant-report=report.json").assert_outcomes(passed=6)
    found = report(pytester.path)["int8"]["groups"]
    assert sum(one["fp32"]["trials"] for one in found if one["measure"] == "FRR") == 165


def test_a_table_that_does_not_fit_is_an_error(
    faces: Callable[..., list[str]], run: Run, pytester: pytest.Pytester
) -> None:
    write_groups(pytester.path, faces(contrast=0.5)[1:])
    result = run()
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*groups.csv: lacks 1 of the people in *: person3_000;*"])


FOLDERS = """
@pytest.mark.kycquant(
    model=KycModel(
        "models/face.onnx",
        preprocess=MODEL.preprocess,
        calibration="calibration.npz",
        task=FaceVerification(
            "people", pairs="pairs.csv", groups="people/groups.csv", threshold=0.5
        ),
    ),
    precisions=("int8",),
    limits=FaceLimits(latency_ratio=1000.0, size_ratio=10.0, group_frr_degradation=0.2),
    fallback=None,
)
def test_folders(candidate):
    checks = {check.name: check for check in candidate.gates["degradation"].checks}
    assert checks["increase of FRR over FP32, worst of 2 groups"].verdict == "PASS"
    assert [g.fp32["trials"] for g in candidate.decision.record.groups] == [19, 20, 20, 20]
"""


def test_folders_and_a_list_of_pairs(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    """The table may be in the folder with the people's folders."""
    project(golden=False)
    write_folders(pytester.path / "people", 40)
    names = sorted(path.name for path in (pytester.path / "people").iterdir())
    pairs = [f"{n}/{n}_0001.png,{n}/{n}_0002.png,1" for n in names]
    pairs += [f"{a}/{a}_0001.png,{b}/{b}_0002.png,0" for a, b in itertools.pairwise(names)]
    pairs += [f"{names[-1]}/{names[-1]}_0001.png,{names[20]}/{names[20]}_0001.png,0"]
    (pytester.path / "pairs.csv").write_text("\n".join(["left,right,same", *pairs]))
    table = [f"{name},{'ab'[i >= 20]}" for i, name in enumerate(names)]
    (pytester.path / "people" / "groups.csv").write_text("\n".join(["subject,kind", *table]))
    (pytester.path / "test_gate.py").write_text(FUNCTION + FOLDERS)
    run("--kycquant-update-golden").assert_outcomes(passed=1)


def test_liveness(
    liveness_project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(golden=False, task='groups="groups.csv"')
    lines = [f"person{s}_{i:03d},{'ab'[i % 2]}" for s in (2, 3) for i in range(330)]
    write_groups(pytester.path, lines)
    run("--kycquant-update-golden", "-q", "-k", "test_size")
    result = run("-v", "--kycquant-report=report.json")
    result.assert_outcomes(passed=6)
    found = report(pytester.path)["int8"]["groups"]
    trials = [(one["group"], one["measure"], one["fp32"]["trials"]) for one in found]
    assert trials == [("light a", "BPCER", 165), ("light b", "BPCER", 165)]
    result.stdout.fnmatch_lines(["worst group of int8: light ?, BPCER *"])


def test_liveness_of_nobody_knows_whom(
    liveness_project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    liveness_project(golden=False, task='groups="groups.csv"', known=False)
    write_groups(pytester.path, ["ann,a", "bob,b"])
    result = run("--kycquant-update-golden")
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*captures.npz: does not say who is captured*"])


def lines_of_scenes(count: int = 400) -> list[str]:
    names = [f"{name}.npz[{i}]" for name in ("scenes", "selection") for i in range(count)]
    return [f"{name},{'passport' if i % 3 else 'licence'}" for i, name in enumerate(names)]


def write_scenery(root: Path, lines: list[str], **options: Any) -> None:
    scenery.write_project(root, task='groups="groups.csv"', fallback=None, **options)
    (root / "groups.csv").write_text("\n".join(["file,kind", *lines]))


def test_documents_that_are_missed_of_one_kind(run: Run, pytester: pytest.Pytester) -> None:
    """All losses are compared with the budget of groups alone."""
    limits = (
        "recall=0.1, map50=0.1, recall_degradation=0.99, map50_degradation=0.99, "
        "map_degradation=0.99, agreement=0.1, overlap=0.1"
    )
    fragile = without_repair('"int8"', '("Conv",)')
    model = scenery.detector(fragile=True)
    lines = lines_of_scenes()
    write_scenery(pytester.path, lines, model=model, precisions=fragile, limits=limits)
    options = ("--kycquant-update-golden", "--kycquant-report=report.json", "-v")
    result = run(*options, "-k", "degradation")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(
        [
            "FAIL increase of misses of card over FP32, worst of 2 groups = * must be below 3 %",
            "  kind *: * objects newly missed, 0 newly found",
            "  FAIL kind *",
            "PASS increase of misses of face over FP32 = *",
            "worst group of int8: kind *, misses of card * with FP32 and * now, increase *",
        ]
    )
    groups = report(pytester.path)["int8"]["groups"]
    assert {(one["group"], one["measure"]) for one in groups} == {
        (f"kind {kind}", f"misses of {name}")
        for kind in ("licence", "passport")
        for name in ("face", "card")
    }


def test_documents_of_every_kind_are_found(run: Run, pytester: pytest.Pytester) -> None:
    good = 'Recipe("int8", op_types=("Conv",))'
    write_scenery(pytester.path, lines_of_scenes(), precisions=good)
    run("--kycquant-update-golden").assert_outcomes(passed=6)


def test_a_table_that_lost_images(run: Run, pytester: pytest.Pytester) -> None:
    write_scenery(pytester.path, lines_of_scenes()[:-1])
    result = run("--kycquant-update-golden", "-k", "size")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(
        ["*groups.csv: lacks 1 of the images in *selection.npz: selection.npz[[]399[]]; give *"]
    )
