"""docs/decide.md and the table of questions say the same, and the answers lead where they say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kycquant.bench import decide as module
from pytest_kycquant.bench.decide import QUESTIONS, Advice, Question, Situation, decide
from pytest_kycquant.data.calibration import ADVISED_IMAGES

DOCS = Path(__file__).resolve().parents[2] / "docs"
USUAL = Situation(
    gpu_only=None,
    size_mb=5.0,
    fp32_ms=8.0,
    rewrite_pays=True,
    weights_share=0.95,
    integer_work=1.0,
    images=200,
    decodes=False,
    is_embedder=True,
    saturates=True,
)


def row(question: Question) -> str:
    answers = [text or "go on" for text in (question.yes, question.no, question.unknown)]
    return (
        f"| `{question.key}` | {question.asks} | {' | '.join(answers)} | {question.ground} "
        f"[source]({question.source}) |"
    )


def test_the_document_has_the_table() -> None:
    text = (DOCS / "decide.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [row(question) for question in QUESTIONS]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.key)
def test_figures_stand_in_the_source(question: Question) -> None:
    source = (DOCS / question.source).read_text(encoding="utf-8")
    for figure in re.findall(r"\d*\.\d+", question.ground):
        assert re.search(rf"(?<!\d)0?{re.escape(figure)}(?!\d)", source), figure


def test_images_are_those_that_calibration_advises() -> None:
    assert module.ENOUGH_IMAGES == ADVISED_IMAGES


def answer(advice: Advice, key: str) -> bool | None:
    (found,) = (each.answer for each in advice.answers if each.key == key)
    return found


def test_all_questions_are_asked_in_order() -> None:
    advice = decide(USUAL)
    assert [each.key for each in advice.answers] == [question.key for question in QUESTIONS]
    assert advice.recipes == ("fp32-optimized", "int8-weights", "int8")
    assert advice.quantize


@pytest.mark.parametrize(
    ("change", "recipes"),
    [
        ({"rewrite_pays": False}, ("int8-weights", "int8")),
        ({"weights_share": 0.2}, ("fp32-optimized", "int8")),
        ({"integer_work": 0.3}, ("fp32-optimized", "int8-weights")),
        ({"integer_work": None}, ("fp32-optimized", "int8-weights", "int8")),
        ({"images": 40}, ("fp32-optimized", "int8-weights")),
        ({"is_embedder": False}, ("fp32-optimized", "int8-weights", "int8", "int4-weights")),
    ],
)
def test_what_answers_change(change: dict[str, object], recipes: tuple[str, ...]) -> None:
    advice = decide(replace(USUAL, **change))  # type: ignore[arg-type]
    assert advice.recipes == recipes
    assert advice.quantize


def test_a_gpu_stops_the_questions() -> None:
    advice = decide(replace(USUAL, gpu_only=True))
    assert not advice.quantize
    assert advice.recipes == ("fp16",)
    assert [each.key for each in advice.answers] == ["gpu"]


@pytest.mark.parametrize(
    ("budgets", "fits"),
    [
        ({}, None),
        ({"budget_mb": 6.0}, True),
        ({"budget_mb": 4.0}, False),
        ({"budget_mb": 6.0, "budget_ms": 7.0}, False),
        ({"budget_mb": 6.0, "budget_ms": 8.0}, True),
    ],
)
def test_budgets(budgets: dict[str, float], fits: bool | None) -> None:
    advice = decide(replace(USUAL, **budgets))
    assert answer(advice, "budget") is fits
    assert advice.quantize is not fits or fits is None
    assert bool(advice.recipes) is not fits or fits is None


def test_nothing_to_do_is_not_to_quantize() -> None:
    advice = decide(replace(USUAL, weights_share=0.1, integer_work=0.1))
    assert not advice.quantize
    assert advice.recipes == ("fp32-optimized",)
