"""How often does a search ship a model that it should not? Simulated people and candidates.

Every model that quantizes anything has a true FAR above the limit (.12 % against .1 %), and FP32
has one below it. The search of the gates, `bench.ladder.decide` with all that follows, looks for a
mixed model. Only outputs are simulated: embeddings of people, which move a little and closer
together with each candidate. The search is compared with what teams usually do. Run with::

    python -m benchmarks.splits [--runs N]

The output is a Markdown table. The candidates of the last line deserve to ship.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.populations import DIMENSION, Draw, Floats, lambs, strangers
from pytest_kycquant.bench.golden import Golden
from pytest_kycquant.bench.judge import StandardJudge
from pytest_kycquant.bench.ladder import decide
from pytest_kycquant.bench.mixed_search import MixedSearch
from pytest_kycquant.bench.people import CHOOSING, SEARCH
from pytest_kycquant.bench.shipping import Shipment
from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.bench.workspace import Workspace
from pytest_kycquant.context.cache import digest_of
from pytest_kycquant.context.progress import Progress
from pytest_kycquant.data.images import ImageSet
from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.measure.latency import Latency
from pytest_kycquant.quantize import ModelFile
from pytest_kycquant.quantize.search import Block
from pytest_kycquant.results import GateResult
from pytest_kycquant.spec.limits import FaceLimits
from pytest_kycquant.spec.model import KycModel, Preprocess
from pytest_kycquant.spec.recipe import FP32, Recipe
from pytest_kycquant.spec.settings import Settings
from pytest_kycquant.spec.tasks import FaceVerification
from pytest_kycquant.tasks.base import Part, TaskData
from pytest_kycquant.tasks.comparison import Comparison
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.outputs import Outputs
from pytest_kycquant.tasks.registry import task_of
from pytest_kycquant.verdicts import Check, Verdict

LIMIT, GOOD, BAD = 1e-3, 3e-4, 1.2e-3  # FAR: the gate's limit, true FAR of FP32 and candidates
BLOCKS = 20
NOISE = 0.1  # independent noise of a candidate's embeddings relative to FP32's
TEAM = 10  # number of candidates that a team tries by hand


@dataclass(frozen=True)
class Images:
    """Stand-in for images: only their indices matter."""

    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.places))

    def subset(self, chosen: NDArray[np.int64]) -> Images:
        return Images(self.places[chosen])


@dataclass(frozen=True)
class World:
    """A population and what quantization does to it.

    Args:
        draw: a function that draws people.
        threshold: the threshold at which FP32 has a FAR of `GOOD`.
        pull: how much closer together candidates move all embeddings.
    """

    draw: Draw
    threshold: float
    pull: float

    @classmethod
    def of(cls, draw: Draw, far: float) -> World:
        """Choose threshold and pull for the wanted FARs, on 16 populations of 2,000 people."""
        rng = np.random.default_rng(0)
        crowds = [draw(2000, 2, rng) for _ in range(16)]

        def far_of(threshold: float, pull: float) -> float:
            world = World(draw, threshold, pull)
            noise = np.random.default_rng(1)
            found = [
                _impostors(world.quantized(e, noise) if pull else e, subjects) >= threshold
                for e, subjects in crowds
            ]
            return float(np.mean([accepted.mean() for accepted in found]))

        threshold = _bisect(lambda t: far_of(t, 0.0) < GOOD, 0.0, 1.0)
        return cls(draw, threshold, _bisect(lambda p: far_of(threshold, p) > far, 1e-6, 1.0))

    def quantized(self, embeddings: Floats, rng: np.random.Generator) -> Floats:
        noise = NOISE * rng.normal(size=embeddings.shape)
        moved = embeddings + (noise + self.pull) / np.sqrt(DIMENSION)
        return normalise(moved.astype(np.float32))


def _bisect(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """The value where `beyond` becomes true, to a thousandth or better."""
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


def _impostors(embeddings: Floats, subjects: NDArray[np.int64]) -> Floats:
    scores = embeddings[::2] @ embeddings[1::2].T
    return scores[subjects[::2, None] != subjects[None, 1::2]]


class SimulatedVariants(Variants):
    """Models that give simulated embeddings."""

    def __init__(
        self, world: World, people: int, seed: int, limits: FaceLimits, workspace: Workspace
    ) -> None:
        task = FaceVerification("evaluation", selection="selection", threshold=world.threshold)
        model = KycModel("simulated.onnx", preprocess=Preprocess(size=(1, 1)), task=task)
        super().__init__(workspace.context, model, task_of(model, limits, _nowhere), _nowhere)
        self.world = world
        self._seed = seed
        rng = np.random.default_rng([seed, people])
        self._people = {role: world.draw(people, 2, rng) for role in ("evaluation", "selection")}

    @cached_property
    def data(self) -> TaskData[Comparisons]:
        parts = [self._part(role) for role in ("evaluation", "selection")]
        return TaskData(*parts, calibration=None)

    def _part(self, role: str) -> Part[Comparisons]:
        _, subjects = self._people[role]
        images: Any = Images(np.arange(len(subjects)))
        return Part(images, Comparisons(subjects), role, f"{len(subjects) // 2} identities")

    @cached_property
    def fp32(self) -> Variant:
        return self.variant(FP32)

    def variant(self, recipe: Recipe) -> Variant:
        quantized = BLOCKS - len(recipe.keep_fp32)
        size = 100 if recipe.precision == "fp32" else 50
        file = ModelFile(Path(recipe.name), recipe.name, size, {}, {"Conv": quantized})
        return Variant(recipe, (file,))

    def outputs(
        self, variant: Variant, images: ImageSet, role: str, *, exact: bool | None = None
    ) -> Outputs:
        places = np.asarray([int(name) for name in images.names])
        other = role in (SEARCH, CHOOSING)
        values = self._embeddings(variant.recipe, "selection" if other else "evaluation")[places]
        return Outputs(values, np.ones(len(places), np.bool_))

    def _embeddings(self, recipe: Recipe, role: str) -> Floats:
        embeddings, _ = self._people[role]
        if recipe.precision == "fp32":
            return embeddings
        text = f"{recipe.precision if recipe.precision != 'mixed' else ''} {recipe.keep_fp32}"
        own = int(digest_of(text)[:12], 16)
        rng = np.random.default_rng([self._seed, own, role == "selection"])
        return self.world.quantized(embeddings, rng)

    def blocks(self, recipe: Recipe) -> tuple[Block, ...]:
        return tuple(Block((f"{i:02}",), 1) for i in range(BLOCKS))

    def postprocessing(self, recipe: Recipe) -> tuple[str, ...]:
        return ()

    def rewrites_pay(self, runtime: object) -> bool:
        return False

    def facts(self) -> list[Any]:
        """Plain values that identify a simulation."""
        return [self._seed, len(self._people["evaluation"][1]), self.world.pull]


class SimulatedJudge(StandardJudge):
    """Judges simulated models; figures are compared with limits by the real code."""

    variants: SimulatedVariants

    def __init__(
        self, world: World, people: int, seed: int, limits: FaceLimits, workspace: Workspace
    ) -> None:
        variants = SimulatedVariants(world, people, seed, limits, workspace)
        super().__init__(workspace, variants, limits, Path("test_simulated.py"))

    def require_golden(self) -> Golden:
        return Golden({}, {}, self.variants.world.threshold, "given", {}, 1.0, {})

    def judge_finite(self, comparison: Comparison, variant: Variant) -> GateResult:
        return comparison.finite()  # there is no file to read

    def measure_latency(self, variant: Variant) -> Latency:
        return Latency(0.5, 0.49, 0.51, 1.0, 20, 1.0, 2.0, 1.0, 1.0, 1.0)

    def judge_size(self, variant: Variant) -> GateResult:
        return GateResult("size", (Check("size", Verdict.PASS, value=0.5),))

    def team(self) -> list[Recipe]:
        """The candidates of a team: one more operator in FP32 each time."""
        names = [block.names[0] for block in self.variants.blocks(FP32)]
        return [Recipe("mixed", keep_fp32=tuple(names[: i + 1])) for i in range(TEAM)]


class SimulatedSearch(MixedSearch):
    """The search of the gates, with a given harm of each operator."""

    def harm(self, recipe: Recipe, block: Block) -> float:
        return 1.0 + int(block.names[0])

    def key(self, recipe: Recipe) -> list[Any]:
        assert isinstance(self.variants, SimulatedVariants)
        return self.variants.facts()


def _nowhere(path: object, attribute: str) -> Path:
    raise AssertionError(f"{attribute}: there are no files")


def by_estimates(judge: SimulatedJudge) -> bool:
    """Whether one of ten candidates has an estimated FAR below the limit, on the same people."""
    return any(_far(judge, recipe).value < LIMIT for recipe in judge.team())


def by_bounds(judge: SimulatedJudge) -> bool:
    """Whether the bound of one of ten candidates is below the limit, on the same people."""
    return any(_far(judge, recipe).upper < LIMIT for recipe in judge.team())


def _far(judge: SimulatedJudge, recipe: Recipe) -> Any:
    """FAR at the frozen threshold, always on the people of the verdict."""
    variants = judge.variants
    images = variants.data.evaluation.images
    found = variants.outputs(variants.variant(recipe), images, "evaluation")
    fp32 = judge.baseline.comparison(judge.require_golden().threshold)
    comparison: Any = variants.task.compare(fp32, found)
    return comparison.cell.rate(genuine=False)


def by_search(judge: SimulatedJudge) -> bool:
    """Whether the fallback of the gates ships something other than FP32."""
    return _ships(decide(judge, Recipe("int8"), "mixed", SimulatedSearch(judge)))


def _ships(decision: Shipment) -> bool:
    return not decision.record.failed and decision.record.variant != "fp32"


POLICIES: dict[str, Callable[[SimulatedJudge], bool]] = {
    "ten candidates, estimates": by_estimates,
    "ten candidates, bounds": by_bounds,
    "search and confirmation": by_search,
}
# Drift and FRR are not limited; in the first case, nor is the increase of FAR.
LOOSE = {"mean_cosine": -1.0, "p1_cosine": -1.0, "fp16_min_cosine": -1.0}
GATES = {
    "FAR alone": FaceLimits(**LOOSE, frr_degradation=0.5, frr=0.5, far_degradation=0.5),
    "FAR and its increase": FaceLimits(**LOOSE, frr_degradation=0.5, frr=0.5),
}


def share(
    policy: Callable[[SimulatedJudge], bool],
    world: World,
    people: int,
    limits: FaceLimits,
    runs: int,
) -> float:
    """Share of runs in which a quantized model ships."""
    shipped = 0
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), Path(folder), False, False, "fail", None, None, threads=1)
        workspace = Workspace(settings, Path(folder), "benchmark", Progress())
        for seed in range(runs):
            shipped += policy(SimulatedJudge(world, people, seed, limits, workspace))
    return shipped / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="for each line (default 400)")
    runs = parser.parse_args().runs
    print("| people | true FAR of candidates | gates | " + " | ".join(POLICIES) + " |")
    print("|---|---|---|" + "---|" * len(POLICIES))
    for draw, far in ((strangers, BAD), (lambs, BAD), (strangers, GOOD * 4 / 3)):
        world = World.of(draw, far)
        for people in (100, 300):
            for name, limits in GATES.items():
                cells = [
                    f"{100 * share(policy, world, people, limits, runs):.1f} %"
                    for policy in POLICIES.values()
                ]
                start = f"{draw.__name__}, {people} x 2 | {100 * far:.2f} % | {name}"
                print(f"| {start} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
