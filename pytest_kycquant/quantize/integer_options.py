"""Options of recipes that compute in integers: data types, and whether weights get only 7 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtimes.ort import EXACT_ENTRY

if TYPE_CHECKING:
    from ..spec.recipe import Recipe
    from .recipe_kind import Machine, Scalar


def integer_options(
    recipe: Recipe, machine: Machine, activation: str, weight: str, *, per_channel: bool
) -> tuple[dict[str, Scalar], str]:
    """Resolve the options that the recipe leaves open, and give the reason.

    Args:
        recipe: the recipe.
        machine: properties of the CPU that decide the range of weights.
        activation: type of activations if the recipe does not name one.
        weight: type of weights if the recipe does not name one.
        per_channel: whether each channel has its own scale if the recipe does not say.
    """
    activation, weight = recipe.activation_type or activation, recipe.weight_type or weight
    per_channel = per_channel if recipe.per_channel is None else recipe.per_channel
    reduce_range, reason = _reduces_range(recipe, machine, activation, weight, per_channel)
    options: dict[str, Scalar] = {
        "activation_type": activation,
        "weight_type": weight,
        "per_channel": per_channel,
        "reduce_range": reduce_range,
        "op_types": ", ".join(recipe.op_types or ("all",)),
    }
    return options, reason


def _reduces_range(
    recipe: Recipe, machine: Machine, activation: str, weight: str, per_channel: bool
) -> tuple[bool, str]:
    if recipe.reduce_range is not None:
        return recipe.reduce_range, "reduce_range as the recipe says"
    # On loading the model, onnxruntime turns int8 activations into uint8, so both saturate.
    if weight != "int8" or activation not in ("uint8", "int8"):
        return False, f"full range: {activation} x {weight} does not saturate"
    if machine.exact:
        return False, f"full range: run without saturation ({'='.join(EXACT_ENTRY)})"
    if not machine.saturates:
        return False, "full range: U8S8 does not saturate on this CPU"
    if not per_channel:
        return False, "full range: per-tensor weights lose more to 7 bits than to saturation"
    return True, "reduce_range because U8S8 saturates on this CPU (no VNNI)"
