"""Where the outputs of two forms of one model part: the first operator whose difference grows.

An ONNX file is compared with the model that it was exported from, or with itself on another
runtime. Their tensors are matched by name, or else by their values: what a converter folds or
splits has no counterpart, and is passed over.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ModelError
from ..spec.coerce import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

    Array = NDArray[Any]

TOLERANCE = 1e-3
"""Largest difference of float accuracy, relative to the largest value of an output."""
# Where all values are smaller, differences are relative to this: kernels round a sigmoid to about
# 1e-7 however small it is, such as the scores of an image without faces.
_SMALL = 1e-3
_ROUNDED = 1e-2  # scale of a slice, relative to the whole, below which its values are rounding
_MANY = 16  # values of which a slice has a scale of its own
_ALIKE = 0.5  # correlation from which two tensors that differ are taken for the same
_SAMPLED = 256  # values that are looked at before all are
_SCOPES = "pkg.torch.onnx.name_scopes"


class Layer(NamedTuple):
    """What one operator of a model gave.

    Args:
        name: the operator, for messages; or the name of its tensor.
        path: path of the module that it belongs to, such as "features.0"; "" if it is not known.
        value: its output.
    """

    name: str
    path: str
    value: Array


class Deviation(NamedTuple):
    """An output that is beyond float accuracy.

    Args:
        output: its name.
        difference: the largest difference, relative to the largest value; NaN or infinite if only
            one of the two has NaN or Inf there.
    """

    output: str
    difference: float

    def describe(self) -> str:
        """Say it in words."""
        if not np.isfinite(self.difference):
            return f"output {shown(self.output)} is NaN or Inf in one of them only"
        return f"output {shown(self.output)} differs by {self.difference:.2g} of its largest value"


def difference(expected: Array, found: Array) -> float:
    """The largest difference of two arrays of one shape, relative to the largest value.

    NaN and Inf must be in the same places; if they are not, the difference is infinite.
    """
    pair = _finite(expected, found)
    if pair is None:
        return float("inf")
    one, two = pair
    largest = float(np.max(np.abs(one), initial=0.0))
    return float(np.max(np.abs(one - two), initial=0.0)) / max(largest, _SMALL)


def output_difference(expected: Array, found: Array) -> float:
    """The same for outputs, whose parts may have scales of their own.

    The boxes of a detector are hundreds of pixels, and its scores below 1 in the same array. Each
    value is compared with the largest of its slice along any dimension, unless all of the slice is
    small enough to be rounding.
    """
    pair = _finite(expected, found)
    if pair is None:
        return float("inf")
    one, two = pair
    size = np.abs(one)
    largest = float(np.max(size, initial=0.0))
    scale = np.full(one.shape, largest)
    for axis in range(1, one.ndim):
        if one.size >= _MANY * one.shape[axis]:
            others = tuple(each for each in range(one.ndim) if each != axis)
            scale = np.minimum(scale, size.max(others, keepdims=True))
    scale = np.maximum(scale, max(_ROUNDED * largest, _SMALL))
    return float(np.max(np.abs(one - two) / scale, initial=0.0))


def _finite(expected: Array, found: Array) -> tuple[Array, Array] | None:
    """Both arrays with 0 for NaN and Inf; None unless these are in the same places."""
    one, two = (np.asarray(array, np.float64) for array in (expected, found))
    finite = np.isfinite(one)
    if finite.all() and np.isfinite(two).all():
        return one, two
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    if not np.array_equal(finite, np.isfinite(two)) or not same[~finite].all():
        return None
    return np.where(finite, one, 0.0), np.where(finite, two, 0.0)


def verify(
    expected: Sequence[Array], found: Sequence[Array], names: Sequence[str], where: object, of: str
) -> tuple[float, Deviation | None]:
    """Compare the outputs of one image by their order.

    Args:
        expected: outputs of the model that is compared with.
        found: outputs of the file.
        names: names of the outputs of the file.
        where: the file, for messages.
        of: what it is compared with, for messages, such as "model.pt2".

    Returns:
        The largest difference, and the first output beyond float accuracy; None if all are within.

    Raises:
        ModelError: they are not the outputs of one model: their number or a shape differs.
    """
    remedy = f"give the file that was exported from {of}, with the outputs in their order"
    if len(expected) != len(found):
        problem = f"has {len(found)} outputs, and {of} has {len(expected)}"
        raise ModelError(where, problem, remedy)
    worst = 0.0
    for name, one, two in zip(names, expected, found, strict=True):
        if one.shape != two.shape:
            problem = f"output {shown(name)} has the shape {two.shape}, and {one.shape} in {of}"
            raise ModelError(where, problem, remedy)
        each = output_difference(one, two)
        if each > TOLERANCE:
            return each, Deviation(name, each)
        worst = max(worst, each)
    return worst, None


def with_tensors(model: ModelProto) -> tuple[bytes, tuple[str, ...]]:
    """The same model with all float tensors between its operators as outputs.

    Returns:
        The serialized model, and the names of its outputs.
    """
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    inferred = onnx.shape_inference.infer_shapes(proto)
    outputs = {info.name for info in proto.graph.output}
    for info in inferred.graph.value_info:
        is_float = info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        if is_float and info.name not in outputs:
            plain = onnx.helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, None)
            proto.graph.output.append(plain)
    return proto.SerializeToString(), tuple(info.name for info in proto.graph.output)


def first_growth(
    graph: GraphProto, found: Mapping[str, Array], expected: Sequence[Layer], of: str
) -> str:
    """Name the first operator of a graph that deviates although its inputs agree.

    Args:
        graph: the ONNX graph.
        found: values of its tensors that are suspected, by name.
        expected: what the layers of the other model gave. A layer that has the name of a tensor is
            its counterpart; others are matched by the paths of modules, or by values.
        of: what the other model is, for the message.

    Returns:
        A part of a sentence; "" if there is none.
    """
    matches = _Matches(found, expected)
    agrees = {name: matches.agrees(name, value) for name, value in found.items()}
    # With tensors of the same names on both sides, there is nothing to pass over.
    recovers = set() if matches.by_name else _recovering(graph, agrees)
    constant = {tensor.name for tensor in graph.initializer}
    depends = {info.name for info in graph.input} - constant
    sound = {"", *constant, *depends}
    unmatched = ""
    for node in graph.node:
        if depends.isdisjoint(node.input):  # made of constants
            sound.update(node.output)
            continue
        depends.update(node.output)
        fed = all(name in sound for name in node.input)
        for name in node.output:
            if name not in found:
                # Of another type, or constant: what it is made of decides.
                sound |= {name} if fed else set()
            elif agrees[name]:
                sound.add(name)
            elif fed and name in recovers:
                sound.add(name)  # split or folded otherwise in the other model
            elif fed:
                counterpart = matches.counterpart(node, name)
                if counterpart is not None:
                    off = difference(counterpart.value, found[name])
                    beside = f" ({counterpart.name} in {of})" if counterpart.name != name else ""
                    return (
                        f"the first operator where it grows is {node.op_type} "
                        f"{shown(node.name or name)}{beside}, which differs by {off:.2g} of its "
                        "largest value although its inputs agree"
                    )
                unmatched = unmatched or (
                    f"it begins at {node.op_type} {shown(node.name or name)} or behind it; no "
                    f"layer of {of} could be matched with that operator"
                )
                sound.add(name)
    return unmatched


def _recovering(graph: GraphProto, agrees: Mapping[str, bool]) -> set[str]:
    """Tensors from which one that agrees is computed: what is wrong is not lost on the way."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if any(agrees.get(name, False) or name in found for name in node.output):
            found |= set(node.input)
    return found


class _Known(NamedTuple):
    """A layer with what tells most others from it: some of its values, and how far they may be."""

    layer: Layer
    sample: Array
    bound: float

    @classmethod
    def of(cls, layer: Layer) -> _Known:
        largest = float(np.max(np.abs(layer.value), initial=0.0))
        return cls(layer, _sample(layer.value), TOLERANCE * max(largest, _SMALL))

    def close_to(self, value: Array, sample: Array) -> bool:
        """Whether a tensor of the same shape has its values, but for float accuracy."""
        with np.errstate(invalid="ignore"):  # the same Inf in both
            if bool(np.any(np.abs(self.sample - sample) > self.bound)):
                return False
        return difference(self.layer.value, value) <= TOLERANCE


def _sample(value: Array) -> Array:
    return np.asarray(value.reshape(-1)[:: max(1, value.size // _SAMPLED)], np.float64)


class _Matches:
    """Finds the counterparts of tensors among the layers of another model."""

    def __init__(self, found: Mapping[str, Array], expected: Sequence[Layer]) -> None:
        self._found = found
        self._named = {layer.name: layer for layer in expected if layer.name in found}
        self._by_shape: dict[tuple[int, ...], list[_Known]] = {}
        for layer in expected if not self._named else ():
            self._by_shape.setdefault(layer.value.shape, []).append(_Known.of(layer))
        self._claimed: set[int] = set()

    @property
    def by_name(self) -> bool:
        """Whether the layers have the names of tensors."""
        return bool(self._named)

    def agrees(self, name: str, value: Array) -> bool:
        """Whether the counterpart of a tensor, or else any layer, has its values."""
        if self._named:
            layer = self._named.get(name)
            if layer is None or layer.value.shape != value.shape:
                return False
            return difference(layer.value, value) <= TOLERANCE
        sample = _sample(value)
        for known in self._by_shape.get(value.shape, ()):
            if known.close_to(value, sample):
                self._claimed.add(id(known.layer.value))
                return True
        return False

    def counterpart(self, node: NodeProto, name: str) -> Layer | None:
        """The layer that a tensor which agrees with none is most like; None if there is none."""
        if self.by_name:
            return self._named.get(name)
        value, path = self._found[name], _module_path(node)
        free = [
            known.layer
            for known in self._by_shape.get(value.shape, ())
            if id(known.layer.value) not in self._claimed
        ]
        of_module = [layer for layer in free if path and layer.path == path]
        ranked = sorted(of_module or free, key=lambda layer: -_correlation(layer.value, value))
        if not ranked:
            return None
        best = ranked[0]
        return best if of_module or _correlation(best.value, value) >= _ALIKE else None


def _correlation(one: Array, two: Array) -> float:
    first, second = (np.asarray(array, np.float64).reshape(-1) for array in (one, two))
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = first[finite], second[finite]
    if not len(first):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale else 0.0


def _module_path(node: NodeProto) -> str:
    """Path of the torch module that an exporter made an operator of; "" if it does not say."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
                return str(scopes[-2])
            except (ValueError, SyntaxError, TypeError, IndexError):
                return ""
    path, last = "", ""
    for scope in node.name.split("/")[1:-1]:
        # A child of a Sequential stands under the name of its parent: /features/features.0/Conv.
        repeats = last and scope.startswith(f"{last}.")
        path = path[: len(path) - len(last)] + scope if repeats else f"{path}.{scope}".lstrip(".")
        last = scope
    return path
