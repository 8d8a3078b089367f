"""The search for a fallback on real models is minimal, repeatable and bounded, and says so."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kycquant import (
    FaceLimits,
    FaceVerification,
    KycModel,
    Preprocess,
    Recipe,
)
from pytest_kycquant.bench.judge import StandardJudge
from pytest_kycquant.bench.mixed_search import MixedSearch, keeping
from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.spec.settings import Settings
from pytest_kycquant.tasks.outputs import Outputs
from tests.worlds.population import Run, write_project

# On graphs this small, timing would choose different rewrites from run to run.
RECIPE = Recipe("int8", op_types=("Conv",), rewrites=False)


def search_in(
    root: Path, cache: Path, said: list[str] | None = None, budget: int = 60
) -> MixedSearch:
    """Return the search of the project below `root`, with its own cache and a recorded golden."""
    settings = Settings(cache, root / "golden", True, False, "fail", None, None, 1, budget)
    progress = Progress(None if said is None else said.append, live=True)
    workspace = Workspace(settings, root, "run", progress)
    model = KycModel(
        "models/face.onnx",
        preprocess=Preprocess(size=(16, 16), mean=127.5, scale=1 / 127.5, channels="RGB"),
        calibration="calibration.npz",
        task=FaceVerification("faces.npz", selection="selection.npz"),
    )
    limits = FaceLimits(latency_ratio=1000.0, size_ratio=10.0)
    gate_file = root / "test_gate.py"
    variants = Variants.of_gate(workspace, model, gate_file, limits)
    return MixedSearch(StandardJudge(workspace, variants, limits, gate_file))


def test_minimal_by_brute_force(tmp_path: Path) -> None:
    """Of all 30 sets of the five convolutions, no smaller one passes."""
    write_project(tmp_path, fragile=True)
    mixed = search_in(tmp_path, tmp_path / "cache")
    found = mixed.find(RECIPE)
    operators = [block.names[0] for block in mixed.variants.blocks(RECIPE)]
    assert operators == ["first", "second", "third", "fourth", "fifth"]
    passing = [
        set(kept)
        for size in range(1, len(operators))
        for kept in itertools.combinations(operators, size)
        if not mixed.objection(keeping(RECIPE, kept))
    ]
    assert found.minimal
    assert set(found.best.keep) in passing
    assert not any(kept < set(found.best.keep) for kept in passing)
    assert len(found.best.keep) == min(map(len, passing))
    assert 1 < len(passing) < 20  # or there was nothing to find


def test_a_hopeless_candidate_is_not_run_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, fragile=True)
    mixed = search_in(tmp_path, tmp_path / "cache")
    best = mixed.find(RECIPE).best.keep
    images = len(mixed.variants.data.selection.images)  # type: ignore[union-attr]
    seen: list[int] = []
    real = Variants.outputs

    def counting(self: Variants, variant: Variant, images: ImageSet, role: str) -> Outputs:
        if variant.recipe.precision != "fp32":
            seen.append(len(images))
        return real(self, variant, images, role)

    monkeypatch.setattr(Variants, "outputs", counting)
    objection = mixed.objection(keeping(RECIPE, ("fifth",)))
    assert seen == [-(-images // 8)]
    assert objection.endswith(f"(after {seen[0]} of {images} images, assuming FP32 on the others)")
    seen.clear()
    assert mixed.objection(keeping(RECIPE, best)) == ""
    assert sum(seen) == images


def test_two_searches_give_the_same_file(tmp_path: Path) -> None:
    write_project(tmp_path, fragile=True)
    results = []
    for name in ("one", "two"):
        mixed = search_in(tmp_path, tmp_path / name)
        found = mixed.find(RECIPE)
        results.append((found, mixed.variants.variant(keeping(RECIPE, found.best.keep)).sha256))
        assert found.attempts
    assert results[0] == results[1]


def test_progress_tells_attempts_and_the_best_so_far(tmp_path: Path) -> None:
    write_project(tmp_path, fragile=True)
    said: list[str] = []
    found = search_in(tmp_path, tmp_path / "cache", said).find(RECIPE)
    assert any("(candidate 1 of at most 60, none passed)" in line for line in said)
    last = (
        f"(candidate {len(found.attempts)} of at most 60, best keeps {len(found.best.keep)} of 5)"
    )
    assert any(last in line for line in said)


def test_the_budget_is_part_of_the_key(tmp_path: Path) -> None:
    """The result of a shortened search must not be reused for a longer one."""
    write_project(tmp_path, fragile=True)
    short = search_in(tmp_path, tmp_path / "cache", budget=1).find(RECIPE)
    assert short.best.keep == ()
    assert short.note == "the budget of 1 candidate was used up before one passed"
    assert search_in(tmp_path, tmp_path / "cache").find(RECIPE).minimal


def search_of(pytester: pytest.Pytester) -> dict[str, Any]:
    (gate,) = json.loads((pytester.path / "report.json").read_text())["gates"]
    (decision,) = gate["decisions"]
    (search,) = decision["searches"]
    return dict(search)


def test_budget_used_up_before_the_proof(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    result = run("-v", "--kycquant-search-budget=2", "--kycquant-report=report.json")
    assert result.parseoutcomes()["fallback"] == 6
    result.stdout.fnmatch_lines(
        ["int8>mixed keeps 2 of 6 *; 2 candidates in * s, not minimal: the budget of 2 *used up"]
    )
    search = search_of(pytester)
    assert not search["minimal"]
    assert len(search["attempts"]) == 2


def test_budget_used_up_before_anything_passed(
    project: Callable[..., None], run: Run, pytester: pytest.Pytester
) -> None:
    project(fragile=True)
    pytester.makeini("[pytest]\nkycquant_search_budget = 1\n")
    result = run("--kycquant-report=report.json")
    result.stdout.fnmatch_lines(
        [
            "int8-weights: FAIL *",
            "fallback of int8: fp16",
            "fallback of int8: 1 mixed model tried, and none * passes; the budget of 1 candidate "
            "was used up before *",
        ]
    )
    assert search_of(pytester)["keep"] == []


@pytest.mark.parametrize("ini", [False, True])
def test_a_budget_of_zero(run: Run, pytester: pytest.Pytester, ini: bool) -> None:
    if ini:
        pytester.makeini("[pytest]\nkycquant_search_budget = 0\n")
    result = run(*([] if ini else ["--kycquant-search-budget=0"]))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    where = "ini option kycquant_search_budget" if ini else "--kycquant-search-budget"
    problem = "a search without candidates finds nothing; use fallback = 'fp16' instead"
    result.stderr.fnmatch_lines([f"ERROR: {where}: {problem}"])


def test_many_names_are_counted(project: Callable[..., None], run: Run) -> None:
    keep = ("first", "prelu", "second", "third", "prelu2", "fourth", "fifth")
    project(precisions=f'Recipe("mixed", name="most", keep_fp32={keep!r})')
    result = run("-v")
    result.stdout.fnmatch_lines(
        ["most keeps 7 operators in FP32: first, prelu, second, third, prelu2 and 2 more"]
    )
