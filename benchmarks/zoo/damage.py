"""A precision that ruins a model: the gates of every model of the zoo must refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from pytest_kycquant.quantize.graph import WEIGHTED, copy_with_own_weights, initializers
from pytest_kycquant.quantize.recipe_kind import Draft, Machine, RecipeKind, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import ModelProto, NodeProto, TensorProto

    from pytest_kycquant.quantize.preparation import PreparedModel
    from pytest_kycquant.quantize.recipe_kind import Request
    from pytest_kycquant.spec.recipe import Recipe

_NOISE = 1.0  # of the standard deviation of each tensor of weights
_MARK = "damaged"


class Damaged(RecipeKind):
    """Weights with as much noise as signal."""

    def options(self, recipe: Recipe, machine: Machine) -> tuple[dict[str, Scalar], str]:
        """How much noise is added."""
        return {"noise": _NOISE}, "to see whether the gates notice"

    def operator_types(self, present: Sequence[str]) -> tuple[str, ...]:
        """Whatever has weights."""
        return WEIGHTED

    def make(self, request: Request) -> Draft:
        """Add noise, drawn with a seed, to the weights of every operator."""
        proto = copy_with_own_weights(request.source.proto, request.excluded)
        weights, rng = initializers(proto.graph), np.random.default_rng(0)
        for node in proto.graph.node:
            if node.op_type in request.op_types and node.input[1] in weights:
                tensor = weights[node.input[1]]
                array = numpy_helper.to_array(tensor)
                noise = rng.normal(0, _NOISE * float(array.std()), array.shape)
                changed = (array + noise).astype(array.dtype)
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
                node.doc_string = _MARK
        return Draft(proto)

    def must_change(self, node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
        """Whatever has its weights stored."""
        return node.op_type in WEIGHTED and node.input[1] in weights

    def changed(self, proto: ModelProto, source: PreparedModel) -> set[str]:
        """Names of the operators that got noise."""
        return {node.name for node in proto.graph.node if node.doc_string == _MARK}


DAMAGED = Damaged()
