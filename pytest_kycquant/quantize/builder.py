"""From a recipe to a variant: options resolved, operators kept, and the result checked."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import QuantizationError
from ..runtimes.ort import EXACT, open_session
from .bias import correct_stored
from .dynamic import dynamic_types, quantize_dynamic
from .fp16 import convert_fp16
from .graph import (
    WEIGHTED,
    has_subgraphs,
    one_line,
    quiet,
    serialize,
    sort_nodes,
)
from .mixed import FullyQuantized, corrections, keep_in_float
from .ranges import DEFAULT_PERCENTILE, Ranges
from .rewrites import added_operators, keep_float
from .saturation import exposure_of
from .static import quantize_fully, static_types
from .variant import (
    Draft,
    Request,
    Scalar,
    Variant,
    integer_kernels,
)
from .weight_only import quantize_weights, store_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import GraphProto

    from ..spec.recipe import CalibrationMethod, Recipe
    from .channels import ChannelStatistics
    from .preparation import PreparedModel

_WIDE = ("uint16", "int16")
_NEEDS_REMEDY = "take the ranges that calibration_of(recipe) names"


def calibration_of(recipe: Recipe) -> tuple[CalibrationMethod, float | None] | None:
    """Tell which ranges `build` needs: method and percentile, or None if it needs none.

    FP16 needs the extremes of every tensor, because a CPU computes it in FP32 and never overflows.
    """
    if recipe.precision == "fp16":
        return "minmax", None
    if not recipe.is_static:
        return None
    # The steps of 16 bits are so fine that nothing need be cut off for them.
    default: CalibrationMethod = "minmax" if recipe.activation_type in _WIDE else "mse"
    method = recipe.calibration_method or default
    if method == "percentile":
        return method, recipe.percentile or DEFAULT_PERCENTILE
    return method, None


def equalizes(recipe: Recipe) -> bool:
    """Tell whether a recipe is meant to start from the equalized model.

    By default it is where activations have 8 bits and weights a scale per channel, for which the
    factors are chosen.
    """
    if not recipe.is_static:
        return False
    if recipe.equalize is not None:
        return recipe.equalize
    return recipe.activation_type not in _WIDE and recipe.per_channel is not False


def corrects_biases(recipe: Recipe) -> bool:
    """Tell whether a recipe is meant to correct biases, if there are images to do it with."""
    return (recipe.is_static or recipe.stores_weights) and recipe.bias_correction is not False


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a recipe is carried out with, for one model.

    Args:
        prepared: the prepared FP32 model, or what `equalize_channels` made of it; not changed.
        saturates: whether 8-bit kernels of this CPU saturate (`runtime.u8s8_saturates`).
        exact: whether the variant will be run without saturation all the same (`runtime.EXACT`).
        ranges: as `calibration_of` asks for, of this same model; None if it asks for none.
        rewritten: what `rewrite` made of the model, to start from; None starts from the model.
            Operators are named, kept and counted as in the model.
        statistics: of `prepared`, to correct biases with.
        images: preprocessed calibration images, those that `shift_images` names, to correct with
            what quantized activations add to biases; none leaves that out.
    """

    prepared: PreparedModel
    saturates: bool
    exact: bool = False
    ranges: Ranges | None = None
    rewritten: PreparedModel | None = None
    statistics: ChannelStatistics | None = None
    images: Sequence[NDArray[np.float32]] = ()

    @property
    def source(self) -> PreparedModel:
        """The graph to start from."""
        return self.rewritten or self.prepared


def build(given: Ingredients, recipe: Recipe, *, whole: FullyQuantized | None = None) -> Variant:
    """Make the variant that a recipe describes and check that it is what was asked for.

    Whether channels are equalized and biases corrected, where the recipe leaves it open, follows
    from what is given: `equalizes` and `corrects_biases` say what is best.

    Args:
        given: what the recipe is carried out with.
        recipe: any but "fp32".
        whole: what `quantize_whole` made of the same ingredients, for a static recipe, whatever it
            keeps in FP32; None makes it.

    Raises:
        QuantizationError: the recipe does not fit the model or the ranges, onnxruntime cannot
            apply it or load the result, or operators that should be quantized are not.
    """
    prepared, source = given.prepared, given.source
    request = _request(given, recipe)
    where, options, kept = request.where, request.options, request.kept
    if recipe.is_static:
        whole = whole or _whole(given, request)
        made = Draft(keep_in_float(whole, kept), facts=corrections(whole, kept))
        if recipe.float_weights in ("float16", "int8"):
            operators = {node.name for node in made.proto.graph.node}
            restored = store_weights(made.proto, operators, recipe.float_weights)
            correct_stored(source.proto, made.proto, request.means, restored)
    else:
        step = {
            "fp32-optimized": keep_float,
            "fp16": convert_fp16,
            "int8-dynamic": quantize_dynamic,
            "int8-weights": quantize_weights,
            "int4-weights": quantize_weights,
        }[recipe.precision]
        excluded = tuple(part for name in kept for part in source.parts.get(name, (name,)))
        if recipe.precision != "fp16":
            # What replaces an operator that stays in FP32 stays there, too.
            excluded = tuple(dict.fromkeys((*excluded, *added_operators(source))))
        with _onnxruntime(where):
            made = step(source, replace(request, kept=excluded), given.ranges)
    proto, notes, facts = made
    options["reason"] = "; ".join([str(options["reason"]), *_done(prepared, facts)])
    sort_nodes(proto.graph)
    content = serialize(proto)
    try:
        open_session(content)
    except Exception as error:
        raise QuantizationError(
            where,
            f"onnxruntime cannot load the result ({one_line(error)})",
            "keep the operator in FP32 (keep_fp32), or use other types",
        ) from error
    quantized = request.count(prepared, proto, source.parts)
    if recipe.is_static:
        notes += integer_kernels(content, quantized)
    if recipe.precision != "fp16" and has_subgraphs(prepared.proto.graph):
        notes += ("operators within subgraphs (If, Loop) stay in FP32",)
    return Variant(content, {**options, **facts}, quantized, kept, notes, exposure_of(proto))


def quantize_whole(given: Ingredients, recipe: Recipe) -> FullyQuantized:
    """Quantize all operators that a static recipe can, whatever it keeps in FP32.

    From the result `build` derives each variant that differs in `keep_fp32` alone, and
    `keep_in_float` candidates that need no check.

    Raises:
        QuantizationError: as in `build`, or an operator cannot be quantized.
    """
    return _whole(given, _request(given, replace(recipe, precision="int8", keep_fp32=())))


def _request(given: Ingredients, recipe: Recipe) -> Request:
    """Resolve a recipe for one model; see `build`."""
    prepared = given.prepared
    where = f"{prepared.path.name} as {recipe.name}"
    if recipe.precision == "fp32":
        raise QuantizationError(where, "FP32 is the model itself", "do not build it")
    _check_ranges(where, recipe, given.ranges)
    graph = prepared.proto.graph
    kept = resolve_kept(graph, recipe.keep_fp32, where)
    options = resolve_options(recipe, given.saturates, exact=given.exact)
    options |= _accuracy_tools(where, prepared, recipe, given.statistics)
    statistics = given.statistics if options.get("bias_correction") else None
    means = statistics.means if statistics else {}
    op_types = _operator_types(graph, recipe, where)
    return Request(where, recipe, options, kept, op_types, means, given.images)


def _whole(given: Ingredients, request: Request) -> FullyQuantized:
    """Quantize what can be; only if that fails are operators kept from the quantizer at all."""
    source, ranges = given.source, given.ranges
    assert ranges is not None
    added = added_operators(source)
    kept = tuple(part for name in request.kept for part in source.parts.get(name, (name,)))
    try:
        with _onnxruntime(request.where):
            return quantize_fully(source, replace(request, kept=added), ranges)
    except QuantizationError as error:
        if not kept or error.__cause__ is None:
            raise
    with _onnxruntime(request.where):
        return quantize_fully(
            source, replace(request, kept=tuple(dict.fromkeys((*kept, *added)))), ranges
        )


@contextlib.contextmanager
def _onnxruntime(where: str) -> Iterator[None]:
    """Turn what onnxruntime's quantizers raise into our error."""
    try:
        with quiet():
            yield
    except QuantizationError:
        raise
    except Exception as error:
        raise QuantizationError(
            where,
            f"onnxruntime cannot apply the recipe ({type(error).__name__}: {one_line(error)})",
            "keep the operator in FP32 (keep_fp32), or quantize fewer types (op_types)",
        ) from error


def resolve_kept(graph: GraphProto, entries: Sequence[str], where: str) -> tuple[str, ...]:
    """Turn names, operator types, "first" and "last" into names of operators, in graph order.

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
            close = difflib.get_close_matches(entry, known, n=3) or weighted[:3]
            raise QuantizationError(
                where,
                f"keep_fp32 names {entry!r}, which is no operator of the model",
                f"did you mean {' or '.join(map(repr, close))}?" if close else "leave it out",
            )
        kept.update(matches)
    return tuple(name for name in types if name in kept)


def resolve_options(recipe: Recipe, saturates: bool, *, exact: bool = False) -> dict[str, Scalar]:
    """Decide every option that the recipe leaves open, and say why."""
    options: dict[str, Scalar] = {"precision": recipe.precision}
    if recipe.precision == "fp32-optimized":
        reason = "the same function in operators that have faster kernels"
    elif recipe.precision == "fp16":
        reason = "inputs and outputs stay float32"
    elif recipe.stores_weights:
        options["weight_type"] = recipe.precision.removesuffix("-weights")
        options["op_types"] = ", ".join(recipe.op_types or WEIGHTED)
        reason = "computed in FP32: loading the model turns the stored weights into floats"
    else:
        dynamic = recipe.precision == "int8-dynamic"
        weight = recipe.weight_type or ("uint8" if dynamic else "int8")
        activation = "uint8" if dynamic else recipe.activation_type or "uint8"
        per_channel = not dynamic if recipe.per_channel is None else recipe.per_channel
        # int8 activations are turned into uint8 when the model is loaded, and saturate alike.
        exposed = weight == "int8" and activation in ("uint8", "int8")
        reduce_range = recipe.reduce_range
        if reduce_range is not None:
            reason = "reduce_range as the recipe says"
        elif not exposed:
            reduce_range = False
            reason = f"full range: {activation} x {weight} does not saturate"
        elif exact:
            reduce_range = False
            reason = f"full range: run without saturation ({'='.join(EXACT)})"
        elif not saturates:
            reduce_range = False
            reason = "full range: U8S8 does not saturate on this CPU"
        elif not per_channel:
            reduce_range = False
            reason = "full range: per-tensor weights lose more to 7 bits than to saturation"
        else:
            reduce_range = True
            reason = "reduce_range because U8S8 saturates on this CPU (no VNNI)"
        options |= {
            "activation_type": activation,
            "weight_type": weight,
            "per_channel": per_channel,
            "reduce_range": reduce_range,
            "op_types": ", ".join(recipe.op_types or ("all",)),
        }
        if recipe.is_static:
            options["float_weights"] = recipe.float_weights or "float32"
        if calibration := calibration_of(recipe):
            options["calibration_method"], options["percentile"] = calibration
    options["keep_fp32"] = ", ".join(recipe.keep_fp32)
    options["reason"] = reason
    return options


def _accuracy_tools(
    where: str, prepared: PreparedModel, recipe: Recipe, statistics: ChannelStatistics | None
) -> dict[str, Scalar]:
    """Resolve what is done for accuracy, and check that what it takes was given.

    Raises:
        QuantizationError: the recipe asks for something else than what was given.
    """
    if not recipe.is_static and not recipe.stores_weights:
        return {}
    equalized = prepared.equalized is not None
    if recipe.equalize is not None and recipe.equalize is not equalized:
        raise QuantizationError(
            where,
            f"equalize={recipe.equalize}, and the model is {'' if equalized else 'not '}equalized",
            "build it from equalize_channels(prepared, ...) exactly if equalizes(recipe)",
        )
    if recipe.bias_correction and statistics is None:
        raise QuantizationError(
            where, "bias_correction needs statistics", "give the channels of observe_activations"
        )
    corrected = recipe.bias_correction is not False and statistics is not None
    if corrected and statistics and not statistics.covers(prepared.proto.graph):
        raise QuantizationError(
            where,
            "the statistics lack some of its operators: they are those of another model",
            "collect those of this model",
        )
    tools: dict[str, Scalar] = {"bias_correction": corrected}
    return {"equalize": equalized, **tools} if recipe.is_static else tools


def _done(prepared: PreparedModel, facts: Mapping[str, Scalar]) -> Iterator[str]:
    """Say what the accuracy tools did; silence where they were not asked for."""
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


def _operator_types(graph: GraphProto, recipe: Recipe, where: str) -> tuple[str, ...]:
    present = tuple(sorted({node.op_type for node in graph.node}))
    if recipe.precision in ("fp16", "fp32-optimized"):
        return present
    if recipe.op_types is None and recipe.stores_weights:
        return WEIGHTED
    if recipe.op_types is None:
        return dynamic_types() if recipe.precision == "int8-dynamic" else static_types()
    missing = [op_type for op_type in recipe.op_types if op_type not in present]
    if missing or not recipe.op_types:
        raise QuantizationError(
            where,
            f"the model has no operator of the types {', '.join(missing) or '()'}",
            f"choose op_types from {', '.join(present)}",
        )
    return recipe.op_types
