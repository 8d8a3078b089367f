"""Builds a variant from a recipe and its ingredients, and checks it.

`quantizer.py` makes the ingredients in order; nothing is measured or kept here.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import QuantizationError, one_line
from ..runtimes.ort import open_session
from .built import Built
from .folding import untouched
from .graph import WEIGHTED, initializers, serialize, sort_nodes
from .recipe_kind import Machine, Request, kind_of, library_errors
from .saturation import exposure_of
from .unquantized import unquantized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onnx import GraphProto, ModelProto

    from ..runtimes.feeding import Sample
    from ..spec.recipe import CalibrationMethod, Recipe
    from .channels import ChannelStatistics
    from .mixed import FullyQuantized
    from .preparation import PreparedModel
    from .ranges import Ranges
    from .recipe_kind import Scalar

_NEEDS_REMEDY = "pass the ranges that calibration_of(recipe) names"


def calibration_of(recipe: Recipe) -> tuple[CalibrationMethod, float | None] | None:
    """Tell which ranges `build` needs: method and percentile, or None if it does not need any."""
    return kind_of(recipe).calibration(recipe)


def equalizes(recipe: Recipe) -> bool:
    """Tell whether a recipe asks to start from the equalized model."""
    return kind_of(recipe).equalizes(recipe)


def corrects_biases(recipe: Recipe) -> bool:
    """Tell whether a recipe asks to correct biases, provided that there are images for it."""
    return _has(recipe, "bias_correction") and recipe.bias_correction is not False


@dataclass(frozen=True, eq=False)
class Ingredients:
    """All that a recipe is built from, for one model.

    Args:
        prepared: the prepared FP32 model, or the result of `equalize_channels`; not changed.
        saturates: whether this CPU's 8-bit kernels saturate
            (`runtimes.environment.u8s8_saturates`).
        exact: whether the variant will nevertheless be run without saturation
            (`runtimes.ort.EXACT_ENTRY`).
        ranges: ranges of this same model, as `calibration_of` states; None if it returns None.
        rewritten: result of `rewrite` for the model, to start from; None starts from the model.
            Operators are named, kept and counted as in the model.
        statistics: statistics of `prepared`, to correct biases with.
        images: preprocessed calibration images, chosen by `shift_images`, to correct biases for the
            shift from quantized activations. If there are none, this is left out.
    """

    prepared: PreparedModel
    saturates: bool
    exact: bool = False
    ranges: Ranges | None = None
    rewritten: PreparedModel | None = None
    statistics: ChannelStatistics | None = None
    images: Sequence[Sample] = ()

    @property
    def source(self) -> PreparedModel:
        """The model to start from."""
        return self.rewritten or self.prepared


def build(given: Ingredients, recipe: Recipe, *, whole: FullyQuantized | None = None) -> Built:
    """Make the variant that a recipe describes, and check that it is as requested.

    If the recipe leaves equalization or bias correction open, the ingredients decide: `equalizes`
    and `corrects_biases` tell what to pass.

    Args:
        given: ingredients to build from.
        recipe: any recipe except "fp32".
        whole: result of `quantize_whole` for the same ingredients and a static recipe, whatever it
            keeps in FP32; None makes it.

    Raises:
        QuantizationError: the recipe does not fit the model or the ranges, onnxruntime cannot
            apply it or load the result, or operators that should be quantized are not.
    """
    prepared, kind = given.prepared, kind_of(recipe)
    request = replace(_request(given, recipe), whole=whole)
    options = request.options
    with library_errors(request.where):
        proto, notes, facts = kind.make(request)
    options["reason"] = "; ".join([str(options["reason"]), *_done(prepared, facts)])
    sort_nodes(proto.graph)
    content = serialize(proto)
    try:
        open_session(content)
    except Exception as error:
        raise QuantizationError(
            request.where,
            f"onnxruntime cannot load the result ({one_line(error)})",
            "keep the operator in FP32 (keep_fp32), or use other types",
        ) from error
    counts = _count(prepared, request, proto)
    notes += kind.notes(prepared, content, counts, recipe.runs_on)
    if prepared.narrowed:
        count = len(prepared.narrowed)
        what = (
            "1 operator of the file computes"
            if count == 1
            else f"{count} operators of the file compute"
        )
        notes += (f"{what} in float64, and here in float32 at most",)
    if recipe.is_integer or recipe.stores_weights:
        notes += unquantized(request, proto)
    return Built(content, {**options, **facts}, counts, request.kept, notes, exposure_of(proto))


def quantize_whole(given: Ingredients, recipe: Recipe) -> FullyQuantized:
    """Quantize all operators that a static recipe can, whatever it keeps in FP32.

    From the result, `build` derives the variants that differ only in `keep_fp32`, and
    `keep_in_float` derives candidates that need no check.

    Raises:
        QuantizationError: as in `build`, or an operator cannot be quantized.
    """
    kind = kind_of(recipe)
    base = kind.whole(recipe)
    assert base is not None
    return kind.quantize_whole(_request(given, replace(base, name=recipe.name)))


def _request(given: Ingredients, recipe: Recipe) -> Request:
    """Resolve a recipe for one model; see `build`."""
    graph = given.prepared.proto.graph
    where = f"{given.prepared.path.name} as {recipe.name}"
    _check_ranges(where, recipe, given.ranges)
    kept = resolve_kept(graph, recipe.keep_fp32, where, given.prepared.gone)
    options = resolve_options(recipe, given.saturates, exact=given.exact)
    options |= _accuracy_tools(where, given.prepared, recipe, given.statistics)
    statistics = given.statistics if options.get("bias_correction") else None
    return Request(
        where=where,
        recipe=recipe,
        options=options,
        source=given.source,
        kept=kept,
        op_types=_operator_types(graph, recipe, where, given.prepared.gone),
        ranges=given.ranges,
        means=statistics.means if statistics else {},
        images=given.images,
    )


def resolve_kept(
    graph: GraphProto, entries: Sequence[str], where: str, gone: Mapping[str, str]
) -> tuple[str, ...]:
    """Turn names, operator types, "first" and "last" into names of operators, in graph order.

    Args:
        graph: the graph that recipes start from.
        entries: names, types, "first" and "last".
        where: model and recipe, for messages.
        gone: name or type of operators of the file that are not in the graph -> what became of
            them.

    Raises:
        QuantizationError: an entry matches nothing.
    """
    types = {node.name: node.op_type for node in graph.node}
    weighted = [name for name, op_type in types.items() if op_type in WEIGHTED]
    kept: set[str] = set()
    for entry in entries:
        if entry in types:
            matches = [entry]
        elif entry in ("first", "last"):
            matches = weighted[:1] if entry == "first" else weighted[-1:]
        else:
            matches = [name for name, op_type in types.items() if op_type == entry]
        if not matches:
            known = dict.fromkeys([*types, *types.values()])
            if weighted:
                known |= dict.fromkeys(["first", "last"])
            close = difflib.get_close_matches(entry, known, n=3) or weighted[:3]
            reason = gone.get(entry, "is not an operator of the model")
            if entry in ("first", "last"):
                reason = f"is not in the model: it has no {', '.join(WEIGHTED)}"
            raise QuantizationError(
                where,
                f"keep_fp32 names {entry!r}, which {reason}",
                f"did you mean {' or '.join(map(repr, close))}?" if close else "leave it out",
            )
        kept.update(matches)
    return tuple(name for name in types if name in kept)


def resolve_options(recipe: Recipe, saturates: bool, *, exact: bool = False) -> dict[str, Scalar]:
    """Resolve the options that the recipe leaves open, and give the reason."""
    own, reason = kind_of(recipe).options(recipe, Machine(saturates, exact))
    options: dict[str, Scalar] = {"precision": recipe.precision, **own}
    calibration = calibration_of(recipe)
    if calibration and recipe.traits.is_static:  # ranges do not change the file of other recipes
        options["calibration_method"], options["percentile"] = calibration
    options["keep_fp32"] = ", ".join(recipe.keep_fp32)
    options["reason"] = reason
    return options


def _has(recipe: Recipe, option: str) -> bool:
    return option in recipe.traits.options


def _accuracy_tools(
    where: str, prepared: PreparedModel, recipe: Recipe, statistics: ChannelStatistics | None
) -> dict[str, Scalar]:
    """Resolve the steps that improve accuracy, and check that their ingredients were given.

    Raises:
        QuantizationError: the recipe asks for something other than what was given.
    """
    tools: dict[str, Scalar] = {}
    equalized = prepared.equalized is not None
    if recipe.equalize is not None and recipe.equalize is not equalized:
        raise QuantizationError(
            where,
            f"equalize={recipe.equalize}, but the model is {'' if equalized else 'not '}equalized",
            "build from equalize_channels(prepared, ...) if and only if equalizes(recipe) is true",
        )
    if _has(recipe, "equalize"):
        tools["equalize"] = equalized
    if recipe.bias_correction and statistics is None:
        raise QuantizationError(
            where, "bias_correction needs statistics", "pass what observe_channels returns"
        )
    if _has(recipe, "bias_correction"):
        corrected = recipe.bias_correction is not False and statistics is not None
        if corrected and statistics and not statistics.covers(prepared.proto.graph):
            raise QuantizationError(
                where,
                "the statistics lack some operators: they are those of another model",
                "collect the statistics of this model",
            )
        tools["bias_correction"] = corrected
    return tools


def _done(prepared: PreparedModel, facts: Mapping[str, Scalar]) -> Iterator[str]:
    """Say what the accuracy tools did; nothing for those that were not requested."""
    if prepared.equalized is not None:
        yield f"{prepared.equalized or 'no'} channels equalized"
    if "biases_corrected" in facts:
        yield f"{facts['biases_corrected'] or 'no'} biases corrected"


def _check_ranges(where: str, recipe: Recipe, ranges: Ranges | None) -> None:
    needed = calibration_of(recipe)
    if needed is None:
        return
    if ranges is None:
        raise QuantizationError(where, f"needs {needed[0]} ranges", _NEEDS_REMEDY)
    if (ranges.method, ranges.percentile) != needed:
        raise QuantizationError(
            where, f"needs {needed[0]} ranges, not {ranges.method}", _NEEDS_REMEDY
        )


def _operator_types(
    graph: GraphProto, recipe: Recipe, where: str, gone: Mapping[str, str]
) -> tuple[str, ...]:
    present = tuple(sorted({node.op_type for node in graph.node}))
    if recipe.op_types is None:
        return kind_of(recipe).operator_types(present)
    missing = [op_type for op_type in recipe.op_types if op_type not in present]
    if missing or not recipe.op_types:
        reasons = [f"{kind} {gone[kind]}" for kind in missing if kind in gone]
        raise QuantizationError(
            where,
            f"the model has no operators of type {', '.join(missing) or '()'}"
            + (f" ({'; '.join(reasons)})" if reasons else ""),
            f"choose op_types from {', '.join(present)}",
        )
    return recipe.op_types


def _count(prepared: PreparedModel, request: Request, proto: ModelProto) -> dict[str, int]:
    """Count the operators that were changed, by type.

    Args:
        prepared: the model, before any rewrite.
        request: the resolved recipe.
        proto: the result of the request.

    Raises:
        QuantizationError: an operator with weights that should have been changed was not, one
            that should have been kept was changed, or nothing was changed.
    """
    kind, source = kind_of(request.recipe), request.source
    changed = kind.changed(proto, source)
    changed |= {name for name, became in source.parts.items() if changed.issuperset(became)}
    nodes, weights = prepared.proto.graph.node, initializers(prepared.proto.graph)
    left = {*request.kept, *untouched(prepared.proto.graph)}
    asked = [n for n in nodes if n.name not in left and n.op_type in request.op_types]
    missed = [n for n in asked if kind.must_change(n, weights) and n.name not in changed]
    if missed:
        raise QuantizationError(
            request.where,
            f"{missed[0].op_type} {missed[0].name!r} and {len(missed) - 1} other operators "
            "were not quantized",
            "add them to keep_fp32 if that is intended",
        )
    for node in nodes:
        # A kept operator without weights still reads integers between quantized ones.
        has_weights = node.op_type in WEIGHTED and node.input[1] in weights
        if has_weights and node.name in request.kept and node.name in changed:
            raise QuantizationError(
                request.where,
                f"{node.op_type} {node.name!r} was not kept in FP32",
                "report this as a bug",
            )
    counts = Counter(node.op_type for node in asked if node.name in changed)
    if not counts:
        raise QuantizationError(
            request.where,
            "nothing in the model was quantized",
            "keep fewer operators in FP32, or name other op_types",
        )
    return dict(sorted(counts.items()))
