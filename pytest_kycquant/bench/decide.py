"""Whether to quantize a model, and how: the questions of docs/decide.md, in their order.

Each question has a measured ground. Figures stand in documents that say how to repeat them; where
there is none, the question says so. `tests/cli/test_decide.py` holds this table and docs/decide.md
together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

MOST_FLOAT_WORK = 0.5
"""Share of the multiplications that may stay in float: beyond it, INT8 can hardly be faster."""
FEW_WEIGHTS = 0.5
"""Share of the file below which weights are too little of it for a file of a third."""
ENOUGH_IMAGES = 100
"""Typical images that static quantization needs, see `data.calibration`."""


@dataclass(frozen=True)
class Situation:
    """What the answers depend on; None where it is not known.

    Args:
        gpu_only: whether the model runs on a GPU and never on a CPU.
        size_mb: size of FP32, in MB of 10^6 bytes.
        fp32_ms: CPU time of one run of FP32 on this machine, in ms.
        budget_mb: the size that is small enough.
        budget_ms: the time that is fast enough, on this machine.
        rewrite_pays: whether an exact rewrite makes FP32 faster here.
        weights_share: share of the file that recipes store in integers.
        integer_work: share of the multiplications that INT8 computes in integers.
        images: number of typical images for calibration.
        decodes: whether the model is a detector with arithmetic behind its last layer.
        is_embedder: whether it is a face embedder.
        saturates: whether INT8 saturates on this CPU.
    """

    gpu_only: bool | None = None
    size_mb: float | None = None
    fp32_ms: float | None = None
    budget_mb: float | None = None
    budget_ms: float | None = None
    rewrite_pays: bool | None = None
    weights_share: float | None = None
    integer_work: float | None = None
    images: int | None = None
    decodes: bool | None = None
    is_embedder: bool | None = None
    saturates: bool | None = None


class Question(NamedTuple):
    """One question: a line of `QUESTIONS`, and a row of docs/decide.md.

    Args:
        key: a short name.
        asks: the question.
        answer: a function that answers it; None if that is not known.
        yes: what follows if the answer is yes.
        no: what follows if it is no; "" if nothing does.
        unknown: what to do if it is not known; "" if nothing can be done.
        ground: what was measured, in words.
        source: where it stands, below docs/.
        stops: the answer after which no integer recipe is advised; None if there is none.
        drops: (answer, recipes) that are not advised then.
    """

    key: str
    asks: str
    answer: Callable[[Situation], bool | None]
    yes: str
    no: str
    unknown: str
    ground: str
    source: str
    stops: bool | None = None
    drops: tuple[bool, tuple[str, ...]] | None = None


def _fits(now: Situation) -> bool | None:
    """Whether FP32 is inside all budgets that were given."""
    pairs = [(now.size_mb, now.budget_mb), (now.fp32_ms, now.budget_ms)]
    known = [(value, budget) for value, budget in pairs if budget is not None]
    if not known or any(value is None for value, _ in known):
        return None
    return all(value is not None and value <= budget for value, budget in known)


def _above(value: float | None, least: float) -> bool | None:
    return None if value is None else value >= least


QUESTIONS = (
    Question(
        "gpu",
        "Does the model run on a GPU only?",
        lambda now: now.gpu_only,
        "Do not quantize it to integers here: gate fp16 on the provider that ships.",
        "",
        "Say so with --gpu if it does.",
        "No figure here is of a GPU, and INT8 files are made for kernels of CPUs; fp16 has half of "
        "the size at a cosine of 1.000.",
        "results/runtimes.md",
        stops=True,
    ),
    Question(
        "budget",
        "Is FP32 small and fast enough already?",
        _fits,
        "Do not quantize it: there is nothing to gain, and something to lose.",
        "",
        "Say what is enough with --budget-mb and --budget-ms.",
        "INT8 that passes all gates still moves BPCER of minifasnet from 2.96 to 3.29 %.",
        "results/runtimes.md",
        stops=True,
    ),
    Question(
        "rewrite",
        "Does an exact rewrite make FP32 faster?",
        lambda now: now.rewrite_pays,
        "Take fp32-optimized first: the same outputs. All other recipes start from it, too.",
        "",
        "",
        "With PReLU rewritten, FP32 takes .34 to .65 of its time; INT8 without the rewrite takes "
        ".88 to 1.20.",
        "results/recipes.md",
    ),
    Question(
        "weights",
        "Are weights most of the file?",
        lambda now: _above(now.weights_share, FEW_WEIGHTS),
        "Take int8-weights next: about a third of the size, at the speed of FP32.",
        "Weights are too little of this file: no recipe makes it much smaller.",
        "",
        "int8-weights has .27 to .34 of the size, a cosine of .9996 or more, and .38 to 1.00 of "
        "the time.",
        "results/recipes.md",
        drops=(False, ("int8-weights",)),
    ),
    Question(
        "work",
        "Does INT8 compute most multiplications in integers?",
        lambda now: _above(now.integer_work, 1 - MOST_FLOAT_WORK),
        "Gate int8 beside it: whether integers are faster than FP32 here, the gate measures.",
        "Leave int8 out: most of the work would stay in float.",
        "",
        "int8 takes .43 to .92 of the time where it covers all layers, on a CPU with VNNI.",
        "results/recipes.md",
        drops=(False, ("int8",)),
    ),
    Question(
        "images",
        f"Are there {ENOUGH_IMAGES} typical images that the gate does not judge?",
        lambda now: None if now.images is None else now.images >= ENOUGH_IMAGES,
        "Give them as calibration: ranges and biases come from them.",
        "Leave int8 out until there are: its ranges would be those of a few images. int8-weights "
        "needs none.",
        "Count them with --images DIR.",
        "Without images, int8-weights of MobileFaceNet has a cosine of .9979 instead of .9996.",
        "results/recipes.md",
        drops=(False, ("int8",)),
    ),
    Question(
        "head",
        "Does a detector do arithmetic behind its last layer?",
        lambda now: now.decodes,
        'Quantize its convolutions only: Recipe("int8", op_types=("Conv",)).',
        "",
        "",
        "INT8 of the whole graph of yolov8 finds 6.15 % of the objects, of its convolutions alone "
        "98.43 %.",
        "../README.md",
    ),
    Question(
        "saturates",
        "Does INT8 saturate on this CPU?",
        lambda now: now.saturates,
        "int8 gets weights of 7 bits here. Gate it on the kind of CPU that ships: a file that was "
        "made elsewhere computes other numbers here.",
        "A file that is made here saturates on CPUs without VNNI: gate it where it ships.",
        "",
        "Two products are added in 16 bits on x86 without VNNI; there, int8 takes .55 of the time "
        "of arcface, and int8-weights .40.",
        "results/runtimes.md",
    ),
    Question(
        "bits",
        "Is it a face embedder?",
        lambda now: now.is_embedder,
        "Do not store its weights in 4 bits.",
        "",
        "",
        "int4-weights leaves MobileFaceNet a cosine of .9548.",
        "results/recipes.md",
        drops=(True, ("int4-weights",)),
    ),
)
"""All questions in their order."""

_RECIPES = ("fp32-optimized", "int8-weights", "int8", "int4-weights")


@dataclass(frozen=True)
class Answer:
    """One question with its answer.

    Args:
        key: the key of the question.
        asks: the question.
        answer: yes, no, or None if it is not known.
        so: what follows; "" if nothing does.
        ground: what was measured.
        source: where it stands.
    """

    key: str
    asks: str
    answer: bool | None
    so: str
    ground: str
    source: str


@dataclass(frozen=True)
class Advice:
    """Where the questions lead.

    Args:
        answers: the questions up to the last one that was asked.
        quantize: whether to quantize at all.
        recipes: what to gate, in this order.
    """

    answers: tuple[Answer, ...]
    quantize: bool
    recipes: tuple[str, ...]


def decide(now: Situation) -> Advice:
    """Ask all questions until one of them stops."""
    answers: list[Answer] = []
    recipes = [name for name in _RECIPES if name != "fp32-optimized" or now.rewrite_pays]
    for question in QUESTIONS:
        found = question.answer(now)
        so = {True: question.yes, False: question.no, None: question.unknown}[found]
        ground, source = question.ground, question.source
        answers.append(Answer(question.key, question.asks, found, so, ground, source))
        if found is not None and found is question.stops:
            only = ("fp16",) if question.key == "gpu" else ()
            return Advice(tuple(answers), False, only)
        if question.drops is not None and found is question.drops[0]:
            recipes = [name for name in recipes if name not in question.drops[1]]
    return Advice(tuple(answers), bool(set(recipes) - {"fp32-optimized"}), tuple(recipes))
