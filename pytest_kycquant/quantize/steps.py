"""The order of the steps that make a variant, as a table.

Each step states which results it needs, which images it must see, which facts of the recipe it
reads and how its result is kept. `quantizer.py` walks the table. A step that a recipe skips passes
on the result that it would have started from.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import QuantizationError
from ..plain import from_plain, plain
from .builder import Ingredients, build, corrects_biases, quantize_whole
from .channels import ChannelStatistics, observe_channels
from .equalize import equalize_channels
from .load import LoadedModel, check_input, load_model
from .preparation import PreparedModel, prepare
from .range_search import tune_ranges
from .ranges import Activations, Ranges, observe_activations, observe_extremes, passed_on
from .recipe_kind import Machine, kind_of
from .rewrite_choice import RewriteChoice, choose, resolve
from .rewrites import applicable, rewrite
from .sensitivity import Sensitivity, measure_sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..runtimes.feeding import Sample
    from ..spec.recipe import CalibrationMethod, Recipe
    from ..spec.runtime import Runtime
    from .built import Built
    from .mixed import FullyQuantized
    from .model_inputs import Shape

    Equalized = tuple[PreparedModel, ChannelStatistics]


class Sees(Enum):
    """Which images a step must see, and how it is given them."""

    NOTHING = "nothing"
    PROBES = "a few images, as a list of tensors"
    CALIBRATION = "all calibration images with their names, one at a time"
    CHANNELS = "those of them that `channel_images` names, alike"
    RANGES = "those of them that `range_images` names, alike"
    SENSITIVITY = "those of them that `sensitivity_images` names, alike"
    SHIFTS = "those of them that `shift_images` names, as a sequence of tensors"


class Held(Enum):
    """Which results of a step stay in memory."""

    ALL = "all"
    LAST = "the last one: it is large, and recipes that share it come one after the other"
    NONE = "none"


class Kept(NamedTuple):
    """How the result of a step is kept in the store.

    Args:
        kind: kind of the entry in the store.
        file: name of the file in the entry.
        write: function that writes a result to a path.
        read: function that reads it back from the path.
        by_images: whether the result depends on which images the step sees.
    """

    kind: str
    file: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path], Any]
    by_images: bool = True


class Step(NamedTuple):
    """One step.

    Args:
        name: name of the step and of its result.
        make: function that carries out the step. It is given the results of `needs`, the images
            that the step sees, and, by name, the facts that the step reads.
        needs: names of steps before this one, or of `GIVEN`.
        sees: images that the step must see.
        reads: names of facts of the `Plan` that the result depends on.
        when: fact of the plan that must hold, or the step is skipped; "" never skips it.
        instead: step whose result is passed on if this one is skipped; "" passes on None.
        kept: how the result is kept in the store; None does not keep it.
        held: which of the results stay in memory.
        says: text of the progress line; "" for no line.
        threaded: whether `make` is given the number of `threads`; the result does not depend on it.
        alone: whether the step measures time, for which nothing else may run.
    """

    name: str
    make: Callable[..., Any]
    needs: tuple[str, ...] = ()
    sees: Sees = Sees.NOTHING
    reads: tuple[str, ...] = ()
    when: str = ""
    instead: str = ""
    kept: Kept | None = None
    held: Held = Held.ALL
    says: str = ""
    threaded: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Plan:
    """The facts of a recipe that steps depend on.

    Args:
        recipe: the recipe.
        base: recipe of the fully quantized model to derive from, as in `RecipeKind.whole`.
        runtime: the runtime that runs the variant.
        integer: whether the recipe computes convolutions in integers.
        rewrites: setting of the recipe for rewrites.
        op_types: operator types that the recipe names.
        races: whether rewrites are chosen by measuring.
        takes_all: whether all rewrites that fit are used.
        equalizes: whether the recipe starts from the equalized model.
        method: method that estimates the ranges; None if the recipe does not need any.
        percentile: percentile for the method.
        extremes: whether the ranges are the extremes of all images.
        histograms: whether the ranges come from histograms.
        weighs: whether errors of activations are weighted by their effect on the outputs.
        corrects: whether biases are to be corrected and there are images for it.
        shifts: whether biases are also corrected for the shift from quantized activations.
        rewritten: names of the chosen rewrites.
    """

    recipe: Recipe
    base: Recipe | None
    runtime: Runtime
    integer: bool
    rewrites: bool | tuple[str, ...] | None
    op_types: tuple[str, ...] | None
    races: bool
    takes_all: bool
    equalizes: bool
    method: CalibrationMethod | None
    percentile: float | None
    extremes: bool
    histograms: bool
    weighs: bool
    corrects: bool
    shifts: bool
    rewritten: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, has_images: Callable[[], bool]) -> Plan:
        """Plan a recipe, before its rewrites are chosen.

        Args:
            recipe: the recipe.
            has_images: function that tells whether there are calibration images; called only if it
                matters.
        """
        kind = kind_of(recipe)
        method, percentile = kind.calibration(recipe) or (None, None)
        corrects = corrects_biases(recipe) and has_images()
        return cls(
            recipe=recipe,
            base=kind.whole(recipe),
            runtime=recipe.runs_on,
            integer=recipe.is_integer,
            rewrites=recipe.rewrites,
            op_types=recipe.op_types,
            races=recipe.rewrites is None,
            takes_all=recipe.rewrites is True,
            equalizes=kind.equalizes(recipe),
            method=method,
            percentile=percentile,
            extremes=method == "minmax",
            histograms=method not in (None, "minmax"),
            weighs=method == "mse",
            corrects=corrects,
            shifts=corrects and recipe.is_static,
        )

    @property
    def uses_images(self) -> bool:
        """Whether the result depends on calibration images."""
        return self.method is not None or self.corrects

    def with_rewrites(self, names: tuple[str, ...]) -> Plan:
        """The same plan with the chosen rewrites."""
        return replace(self, rewritten=names)


def _loaded(path: Path, constants: Mapping[str, Any], arrays: bool) -> LoadedModel:
    return load_model(path, constants, arrays=arrays)


def _checked(loaded: LoadedModel, shape: Shape | Mapping[str, Shape]) -> LoadedModel:
    check_input(loaded, shape)
    return loaded


def _ranges(
    start: PreparedModel,
    extremes: Ranges | None,
    known: Activations | None,
    sensitivity: Sensitivity | None,
    *,
    method: CalibrationMethod,
    percentile: float | None,
) -> Ranges | None:
    if known is None:
        return extremes
    outputs = passed_on(start.proto.graph) if sensitivity is not None else frozenset()
    return known.ranges(method, percentile, sensitivity, outputs)


def _rewritten(
    start: PreparedModel, inputs: list[Sample], *, rewritten: tuple[str, ...], integer: bool
) -> PreparedModel:
    return rewrite(start, rewritten, inputs, integer=integer)


def _ingredients(
    start: PreparedModel,
    rewritten: PreparedModel,
    ranges: Ranges | None,
    statistics: ChannelStatistics | None,
    machine: Machine,
    images: Sequence[Sample],
    *,
    shifts: bool,
) -> Ingredients:
    return Ingredients(
        prepared=start,
        saturates=machine.saturates,
        exact=machine.exact,
        ranges=ranges,
        rewritten=rewritten,
        statistics=statistics,
        images=images if shifts else (),
    )


def _whole(given: Ingredients, *, base: Recipe) -> FullyQuantized | None:
    """None if an operator cannot be quantized: recipes may keep that one in FP32."""
    try:
        return quantize_whole(given, base)
    except QuantizationError:
        return None


def _built(given: Ingredients, whole: FullyQuantized | None, *, recipe: Recipe) -> Built:
    return build(given, recipe, whole=whole)


def _write_choice(choice: RewriteChoice, path: Path) -> None:
    path.write_text(json.dumps(plain(choice)), encoding="utf-8")


def _read_choice(path: Path) -> RewriteChoice:
    return from_plain(RewriteChoice, json.loads(path.read_bytes()), strict=True)


GIVEN = ("path", "constants", "arrays", "shape", "machine")
"""Values that steps need but do not make: model file, values of constant inputs, whether the other
inputs are arrays of any kind, shape of a sample, and the `Machine` of the recipe's runtime."""
_CHOICE = Kept("rewrites", "choice.json", _write_choice, _read_choice, by_images=False)
_ACTIVATIONS = Kept("activations", "activations.npz", Activations.to_npz, Activations.from_npz)
_CHANNELS = Kept("channels", "channels.npz", ChannelStatistics.to_npz, ChannelStatistics.from_npz)
_EXTREMES = Kept("extremes", "extremes.npz", Ranges.to_npz, Ranges.from_npz)
_SENSITIVITY = Kept("sensitivity", "sensitivity.npz", Sensitivity.to_npz, Sensitivity.from_npz)

STEPS = (
    Step("load", _loaded, ("path", "constants", "arrays")),
    Step("check", _checked, ("load", "shape")),
    Step("prepare", prepare, ("check",), Sees.PROBES),
    Step(
        "race", choose, ("prepare",), Sees.PROBES, ("integer", "runtime"), "races",
        kept=_CHOICE, says="measuring rewrites", alone=True,
    ),
    Step("fitting", applicable, ("prepare",), when="takes_all"),
    Step("choose", resolve, ("race", "fitting"), reads=("rewrites", "op_types")),
    Step(
        "channels", observe_channels, ("prepare",), Sees.CHANNELS,
        kept=_CHANNELS, says="observing channels", threaded=True,
    ),
    Step("equalize", equalize_channels, ("prepare", "channels"), Sees.PROBES, (), "equalizes"),
    Step("start", lambda pair: pair[0], ("equalize",), when="equalizes", instead="prepare"),
    Step("scaled", lambda pair: pair[1], ("equalize",), when="equalizes", instead="channels"),
    Step(
        "extremes", observe_extremes, ("start",), Sees.CALIBRATION, (), "extremes",
        kept=_EXTREMES, says="observing extremes", threaded=True,
    ),
    Step(
        "observe", observe_activations, ("start",), Sees.RANGES, (), "histograms",
        kept=_ACTIVATIONS, says="calibrating", threaded=True,
    ),
    Step(
        "sensitivity", measure_sensitivity, ("start",), Sees.SENSITIVITY, (), "weighs",
        kept=_SENSITIVITY, says="measuring sensitivity",
    ),
    Step(
        "ranges", _ranges, ("start", "extremes", "observe", "sensitivity"), Sees.NOTHING,
        ("method", "percentile"), "method",
    ),
    Step(
        "tune", tune_ranges, ("start", "ranges"), Sees.SHIFTS, (), "weighs", "ranges",
        says="trying ranges",
    ),
    Step(
        "rewrite", _rewritten, ("start",), Sees.PROBES, ("rewritten", "integer"),
        "rewritten", "start",
    ),
    Step("statistics", lambda known: known, ("scaled",), when="corrects"),
    Step(
        "ingredients", _ingredients, ("start", "rewrite", "tune", "statistics", "machine"),
        Sees.SHIFTS, ("shifts",), held=Held.NONE,
    ),
    Step("whole", _whole, ("ingredients",), Sees.NOTHING, ("base",), "base", held=Held.LAST),
    Step("build", _built, ("ingredients", "whole"), reads=("recipe",), held=Held.NONE),
)  # fmt: skip
"""All steps; each needs only earlier ones."""

STEP = {step.name: step for step in STEPS}


@functools.cache
def upstream(name: str) -> tuple[Step, ...]:
    """A step and all steps that it may need, in the order of the table."""
    found, waiting = {name}, [name]
    while waiting:
        step = STEP[waiting.pop()]
        for need in (*step.needs, step.instead):
            if need in STEP and need not in found:
                found.add(need)
                waiting.append(need)
    return tuple(step for step in STEPS if step.name in found)


@functools.cache
def facts_of(name: str) -> tuple[str, ...]:
    """Names of the facts of a `Plan` that the result of a step depends on."""
    return tuple(dict.fromkeys(_facts(upstream(name))))


def _facts(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield from step.reads
        if step.when:
            yield step.when


@functools.cache
def sees_calibration(name: str) -> bool:
    """Whether a step or one that it may need sees calibration images."""
    return any(step.sees not in (Sees.NOTHING, Sees.PROBES) for step in upstream(name))
