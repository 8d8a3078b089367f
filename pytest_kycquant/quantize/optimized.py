"""FP32 after exact rewrites: the same function in operators that have faster kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recipe_kind import Draft, Machine, RecipeKind, Scalar
from .rewrites import nothing_to_rewrite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ModelProto, NodeProto, TensorProto

    from ..spec.recipe import Recipe
    from .preparation import PreparedModel
    from .recipe_kind import Request


class Optimized(RecipeKind):
    """The FP32 variant of a rewritten model."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """Return no options, since this kind has none, and the reason."""
        return {}, "the same function in operators that have faster kernels"

    def make(self, request: Request) -> Draft:
        """Write the rewritten graph as it is.

        Raises:
            QuantizationError: no rewrite was applied.
        """
        if not request.source.parts:
            raise nothing_to_rewrite(request.where)
        proto = type(request.source.proto)()
        proto.CopyFrom(request.source.proto)
        # onnxruntime infers these itself, and they would make the file larger.
        del proto.graph.value_info[:]
        return Draft(proto)

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that were rewritten."""
        return set(source.parts)

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Return False: rewrites need not fit every operator."""
        return False


OPTIMIZED = Optimized()
