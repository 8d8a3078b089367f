"""What each recipe covers of a model: made in memory, from noise, and never written.

Ranges from noise are worth nothing, but which operators a recipe changes and how large its file is
do not depend on them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import QuantizationError
from ..measure.clocks import CLOCKS, clock_that_sees
from ..quantize.graph import WEIGHTED, attributes, initializers
from ..quantize.preparation import postprocessing
from ..quantize.quantizer import Quantizer
from ..quantize.recipe_kind import kind_of
from ..runtimes import library
from ..spec.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto

    from ..context import Context
    from .model_facts import ModelFacts
_NOISE = 8  # images
_RECIPES = (
    Recipe("fp16", rewrites=False),
    Recipe("int8-weights", rewrites=False, bias_correction=False),
    Recipe("int4-weights", rewrites=False, bias_correction=False),
    Recipe(
        "int8",
        rewrites=False,
        equalize=False,
        bias_correction=False,
        calibration_method="minmax",
    ),
    Recipe("int8-dynamic", rewrites=False),
)
_RUNS = 20


@dataclass(frozen=True)
class Covered:
    """What one recipe covers.

    Args:
        recipe: the precision.
        size_bytes: size of the file; None if the recipe cannot be applied.
        weights: share of the weights that it stores in fewer bits.
        work: share of the multiplications of layers that it changes; None if shapes are unknown.
        operators: operator type -> number of operators that it changes.
        not_covered: what stays in FP32, and why.
        cannot: why the recipe cannot be applied, or "".
    """

    recipe: str
    size_bytes: int | None
    weights: float = 0.0
    work: float | None = None
    operators: Mapping[str, int] = field(default_factory=dict)
    not_covered: tuple[str, ...] = ()
    cannot: str = ""


@dataclass(frozen=True)
class Coverage:
    """What quantization can do for a model.

    Args:
        size_bytes: size of FP32.
        weights: number of weights of its layers.
        work: multiplications of its layers for one image; None if shapes are unknown.
        operators: operator type -> number of operators.
        fp32_ms: median CPU time of one run, in ms.
        rewrites: which exact rewrites are faster, with their ratios, in words; "" if none fits.
        rewrite_pays: whether one of them is.
        decodes: names of the operators behind the last layer.
        saturates: whether INT8 saturates on this CPU.
        recipes: what each recipe covers.
    """

    size_bytes: int
    weights: int
    work: int | None
    operators: Mapping[str, int]
    fp32_ms: float
    rewrites: str
    rewrite_pays: bool
    decodes: int
    saturates: bool
    recipes: tuple[Covered, ...]


def cover(facts: ModelFacts, context: Context) -> Coverage:
    """Make each recipe from noise and see what it changed.

    Args:
        facts: the model.
        context: the context of the work.

    Raises:
        ModelError, QuantizationError: nothing can be made of the model.
    """
    path, shape = Path(facts.path), _shape(facts)
    quantizer = Quantizer(path, _noise(facts), shape=shape, context=context)
    prepared = quantizer.prepared
    weights, work = _sizes(prepared.proto), _work(prepared.proto, shape)
    choice = quantizer.choice("fp32-optimized")
    with context.stage("measuring FP32", exclusive=True):
        milliseconds = _milliseconds(facts, quantizer)
    recipes = []
    for recipe in _RECIPES:
        with context.stage(f"making {recipe.precision}"):
            recipes.append(_covered(quantizer, recipe, weights, work))
    return Coverage(
        size_bytes=facts.size_bytes,
        weights=sum(weights.values()),
        work=sum(work.values()) if work else None,
        operators=dict(Counter(node.op_type for node in prepared.proto.graph.node).most_common()),
        fp32_ms=milliseconds,
        rewrites=choice.describe(),
        rewrite_pays=bool(choice.names),
        decodes=len(postprocessing(prepared)),
        saturates=context.environment.u8s8_saturates,
        recipes=tuple(recipes),
    )


def _shape(facts: ModelFacts) -> tuple[int, ...]:
    height, width = facts.height_width
    if facts.layout == "NCHW":
        return (1, facts.depth, height, width)
    return (1, height, width, facts.depth)


def _noise(facts: ModelFacts) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    low, high = (0.0, 256.0) if facts.dtype == "uint8" else (-1.0, 1.0)
    images = (rng.uniform(low, high, _shape(facts)).astype(np.float32) for _ in range(_NOISE))
    return [np.floor(image) if high > 1 else image for image in images]


def _covered(
    quantizer: Quantizer, recipe: Recipe, weights: Counter[str], work: Counter[str]
) -> Covered:
    import onnx

    name, prepared = recipe.precision, quantizer.prepared
    try:
        made = quantizer.build(recipe)
    except QuantizationError as error:
        return Covered(name, None, cannot=error.problem)
    proto = onnx.load_model_from_string(made.content)
    changed = kind_of(recipe).changed(proto, prepared)
    kept = Counter(
        node.op_type
        for node in prepared.proto.graph.node
        if node.op_type in WEIGHTED and node.name not in changed
    )
    left = [f"{count} {kind} stay in FP32" for kind, count in sorted(kept.items())]
    return Covered(
        name,
        len(made.content),
        _share(weights, changed),
        _share(work, changed) if work else None,
        made.quantized,
        (*left, *made.notes),
    )


def _share(sizes: Counter[str], names: set[str]) -> float:
    whole = sum(sizes.values())
    return sum(size for name, size in sizes.items() if name in names) / whole if whole else 0.0


def _sizes(proto: ModelProto) -> Counter[str]:
    """Number of weights of each layer, by its name; a shared weight counts once."""
    found: Counter[str] = Counter()
    stored, seen = initializers(proto.graph), set()
    for node in proto.graph.node:
        for name in node.input[1:] if node.op_type in WEIGHTED else ():
            if name in stored and name not in seen:
                seen.add(name)
                found[node.name] += math.prod(stored[name].dims)
    return found


def _work(proto: ModelProto, shape: tuple[int, ...]) -> Counter[str]:
    """Multiplications of each layer for one image, by its name; empty if a shape is unknown."""
    shapes = _shapes(proto, shape)
    found: Counter[str] = Counter()
    for node in proto.graph.node:
        if node.op_type not in WEIGHTED:
            continue
        one, other, result = (
            shapes.get(name) for name in (node.input[0], node.input[1], node.output[0])
        )
        if one is None or other is None or result is None:
            return Counter()
        if node.op_type == "Conv":
            found[node.name] = math.prod(result) * math.prod(other[1:])
        elif node.op_type == "ConvTranspose":
            found[node.name] = math.prod(one) * math.prod(other[1:])
        else:
            inner = one[-1]
            if node.op_type == "Gemm" and attributes(node).get("transA", 0):
                inner = one[0]
            found[node.name] = math.prod(result) * inner
    return found


def _shapes(proto: ModelProto, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors for one image, as far as they follow from that of the input."""
    import onnx

    copied = onnx.ModelProto()
    copied.CopyFrom(proto)
    stored = initializers(copied.graph)
    for info in copied.graph.input:
        if info.name not in stored:
            dims = info.type.tensor_type.shape.dim
            for dim, size in zip(dims, shape, strict=True):
                dim.Clear()
                dim.dim_value = size
    # Shapes that were inferred for an open batch would be believed.
    del copied.graph.value_info[:]
    for info in copied.graph.output:
        info.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(copied, data_prop=True)
    graph: GraphProto = inferred.graph
    known = {name: tuple(tensor.dims) for name, tensor in initializers(graph).items()}
    for info in (*graph.input, *graph.value_info, *graph.output):
        dims = info.type.tensor_type.shape.dim
        if info.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            known.setdefault(info.name, tuple(d.dim_value for d in dims))
    return known


def _milliseconds(facts: ModelFacts, quantizer: Quantizer) -> float:
    """Median CPU time of one run of FP32, in ms."""
    loaded = quantizer.loaded
    model = library().open(loaded.proto.SerializeToString())
    inputs = loaded.feeding.feed(_noise(facts)[: loaded.feeding.batch], model.inputs)
    timed = CLOCKS[clock_that_sees(lambda: model.run(inputs), library().clock)]
    spent = []
    for _ in range(_RUNS):
        began = timed()
        model.run(inputs)
        spent.append(timed() - began)
    return float(np.median(spent)) / 1e6
