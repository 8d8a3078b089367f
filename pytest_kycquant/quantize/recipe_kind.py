"""What every kind of recipe answers: the one interface between `builder.py` and its modules.

A line of `spec.recipe.RECIPES` names an object of a class that derives from `RecipeKind`. Nothing
else in the package knows one precision from another.
"""

from __future__ import annotations

import contextlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import QuantizationError
from .graph import WEIGHTED, has_subgraphs, one_line, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

    from ..spec.recipe import CalibrationMethod, Recipe
    from .mixed import FullyQuantized
    from .preparation import PreparedModel
    from .ranges import Ranges

Scalar = str | int | float | bool | None


class Machine(NamedTuple):
    """What a recipe that follows the CPU looks at.

    Args:
        saturates: whether its 8-bit kernels saturate (`runtimes.environment.u8s8_saturates`).
        exact: whether the variant will be run without saturation all the same
            (`runtimes.ort.EXACT`).
    """

    saturates: bool
    exact: bool = False


class Draft(NamedTuple):
    """What a kind of recipe made, before it is checked.

    Args:
        proto: the model; its operators need not be sorted.
        notes: as in `Built`.
        facts: to be added to the resolved options.
    """

    proto: ModelProto
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Scalar] = {}


@dataclass(frozen=True)
class Request:
    """One recipe, resolved for one model.

    Args:
        where: model and recipe, for messages.
        recipe: the recipe.
        options: every option resolved.
        source: the graph to start from, after rewrites if there are any; not to be changed.
        kept: names of the operators kept in FP32, before any rewrite.
        op_types: operator types to quantize.
        ranges: of the activations; None if the kind asks for none.
        means: as in `ChannelStatistics`, for bias correction; empty without it.
        images: to measure with what quantized activations add to biases.
        whole: what `RecipeKind.quantize_whole` made of the same model, to derive from; None makes
            it.
    """

    where: str
    recipe: Recipe
    options: dict[str, Scalar]
    source: PreparedModel
    kept: tuple[str, ...]
    op_types: tuple[str, ...]
    ranges: Ranges | None = None
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    images: Sequence[NDArray[np.float32]] = ()
    whole: FullyQuantized | None = None

    @property
    def kept_parts(self) -> tuple[str, ...]:
        """Names of the operators of `source` that are kept in FP32."""
        return tuple(part for name in self.kept for part in self.source.parts.get(name, (name,)))

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names of these operators, and of those that rewrites added, which stay in FP32, too."""
        return tuple(dict.fromkeys((*self.kept_parts, *self.source.added)))


class RecipeKind:
    """One way to make a variant. What is not overridden suits a recipe without images."""

    any_images = False
    """Whether ranges may come from a few images of any kind if there are no calibration images."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Decide the options that are its own, and say why in the words of a report."""
        return {}, ""

    def calibration(self, recipe: Recipe) -> tuple[CalibrationMethod, float | None] | None:
        """Method and percentile of the ranges that it needs; None if it needs none."""
        return None

    def equalizes(self, recipe: Recipe) -> bool:
        """Whether it is meant to start from the equalized model."""
        return False

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Operator types that it changes if the recipe names none.

        Args:
            present: those of the model, sorted.
        """
        return tuple(present)

    def whole(self, recipe: Recipe) -> Recipe | None:
        """The recipe that keeps nothing in FP32 and from whose result this one is derived.

        Recipes with the same answer share that result. None if nothing is derived.
        """
        return None

    def quantize_whole(self, request: Request) -> FullyQuantized:
        """Quantize all operators that can be, whatever the recipe keeps in FP32."""
        raise NotImplementedError

    def make(self, request: Request) -> Draft:
        """Make the variant; whatever a library raises here becomes a QuantizationError."""
        raise NotImplementedError

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that were changed.

        Args:
            proto: the result.
            source: what it was made of.
        """
        raise NotImplementedError

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Whether an operator that was to be changed has to be, or the result is refused.

        Args:
            node: of the model, before any rewrite.
            weights: initializers of the model.
        """
        return node.op_type in WEIGHTED

    def notes(
        self, model: PreparedModel, content: bytes, counts: Mapping[str, int]
    ) -> tuple[str, ...]:
        """What a reader of a report should know about the result.

        Args:
            model: the FP32 model.
            content: the result.
            counts: number of operators that were changed, by type.
        """
        if has_subgraphs(model.proto.graph):
            return ("operators within subgraphs (If, Loop) stay in FP32",)
        return ()


class Itself(RecipeKind):
    """FP32: there is nothing to make."""

    def make(self, request: Request) -> Draft:
        """Refuse it.

        Raises:
            QuantizationError: always.
        """
        raise QuantizationError(request.where, "FP32 is the model itself", "do not build it")


ITSELF = Itself()


def kind_of(recipe: Recipe) -> RecipeKind:
    """Load what makes a recipe."""
    kind: RecipeKind = pkgutil.resolve_name(recipe.traits.kind)
    return kind


@contextlib.contextmanager
def library_errors(where: str) -> Iterator[None]:
    """Turn what onnxruntime's quantizers raise into our error, and keep them from logging."""
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
