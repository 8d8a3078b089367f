"""What a model file declares about its inputs, and whether images or rows of data fit them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..data.files import listed
from ..errors import ModelError
from ..runtimes.feeding import Feeding
from ..spec.coerce import did_you_mean, shown
from .graph import type_name

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from onnx import GraphProto, ValueInfoProto

    from ..spec.model import Preprocess

Shape: TypeAlias = tuple[int, ...]
IMAGE_TYPES = ("float32", "float16", "float64", "uint8")
"""Types that an input for images may have."""
MOST_AT_ONCE = 1024
"""Largest fixed batch: all of its images are in memory, for each thread."""
_CONSTANT = 'KycModel(constants={{"{}": ...}})'


@dataclass(frozen=True)
class Input:
    """One input of a model file.

    Args:
        name: its name.
        dtype: its type as numpy calls it, such as "float32"; "" for a type that numpy lacks.
        shape: its dimensions, None where one is dynamic; None if even the rank is open.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def text(self) -> str:
        """Its shape in words, such as 1x3x112x112."""
        if self.shape is None:
            return "of unknown rank"
        return "x".join("?" if n is None else str(n) for n in self.shape) or "a scalar"


def inputs_of(graph: GraphProto) -> tuple[Input, ...]:
    """The inputs of a graph that have no stored value, in order."""
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {sparse.values.name for sparse in graph.sparse_initializer}
    return tuple(_input(info) for info in graph.input if info.name not in stored)


def batch_of(graph: GraphProto) -> int:
    """Number of samples that a graph takes in each run; 1 if it is open."""
    return feeding_of(inputs_of(graph), {}).batch


def feeding_of(inputs: tuple[Input, ...], constants: Mapping[str, NDArray[Any]]) -> Feeding:
    """How samples are fed to a model with these inputs.

    Args:
        inputs: the inputs that samples give.
        constants: values of all other inputs.
    """
    batches = {each.shape[0] for each in inputs if each.shape} - {None}
    batch = batches.pop() if len(batches) == 1 else None
    return Feeding({each.name: each.dtype for each in inputs}, batch or 1, dict(constants))


def check_image_input(path: Path, inputs: tuple[Input, ...], shape: Shape | None) -> None:
    """Check that a model has one input, and that it takes preprocessed images.

    Args:
        path: the file, for messages.
        inputs: the inputs without a constant value.
        shape: shape of one preprocessed image, such as (1, 3, 112, 112); None if it is not known.

    Raises:
        ModelError: it has several inputs, or one of another type or shape. A first dimension above
            1 is a fixed batch, which fits.
    """
    if len(inputs) != 1:
        names = listed([shown(each.name) for each in inputs]) or "none"
        other = next((each.name for each in inputs if not _is_image(each)), "")
        remedy = "export it with the image as its only input"
        if other and len(inputs) > 1:
            remedy += f", give what never changes as {_CONSTANT.format(other)}"
        if len(inputs) > 1:
            remedy += ", or judge it by CustomTask with an .npz that has an array for each input"
        raise ModelError(path, f"has {len(inputs)} inputs ({names})", remedy)
    (only,) = inputs
    if only.dtype not in IMAGE_TYPES:
        raise ModelError(
            path,
            f"input {shown(only.name)} is {only.dtype or 'of a type that numpy lacks'}, not "
            "float32, float16 or uint8",
            "export it with a float32 input; preprocessing belongs in Preprocess",
        )
    if only.shape is None or len(only.shape) != 4:
        rank = "unknown" if only.shape is None else len(only.shape)
        raise ModelError(
            path,
            f"input {shown(only.name)} has rank {rank}, not 4",
            "export it with an input of batch x channels x height x width",
        )
    _check_batch(path, inputs)
    if shape is None:
        return
    if any(
        fixed not in (None, given) for fixed, given in zip(only.shape[1:], shape[1:], strict=True)
    ):
        raise ModelError(
            path,
            f"input {shown(only.name)} is {only.text} but preprocessing makes "
            f"{'x'.join(map(str, shape))}",
            "correct the size, channels or layout in Preprocess or of your tensors, or export the "
            "model for another size",
        )


def check_types(path: Path, inputs: tuple[Input, ...], spec: Preprocess) -> None:
    """Check that preprocessing leaves pixels as they are for a model that takes uint8 images.

    Other integers, such as ids of tokens beside an image, are not preprocessed.

    Raises:
        ModelError: it does not.
    """
    given = (spec.mean, spec.scale)
    plain = given == (0.0, 1.0) or given == ((0.0,) * spec.depth, (1.0,) * spec.depth)
    if spec.function is not None or (plain and not spec.standardize):
        return
    says = "standardize=True" if spec.standardize else f"mean={spec.mean} and scale={spec.scale}"
    for each in inputs:
        if each.dtype == "uint8" and _is_image(each):
            raise ModelError(
                path,
                f"input {shown(each.name)} is uint8: the model normalizes pixels itself, but "
                f"Preprocess has {says}",
                "leave mean, scale and standardize out of Preprocess",
            )


def check_arrays(path: Path, inputs: tuple[Input, ...], shapes: Mapping[str, Shape]) -> None:
    """Check that a model takes the arrays of one row of data.

    Args:
        path: the file, for messages.
        inputs: the inputs without a constant value.
        shapes: shape of each array of one row, (1, ...), by its name.

    Raises:
        ModelError: names or shapes differ, or the inputs want different numbers of rows at once.
    """
    known = [each.name for each in inputs]
    for each in inputs:
        if each.name not in shapes:
            raise ModelError(
                path,
                f"has an input {shown(each.name)}, which the data does not have "
                f"(it has {listed([shown(name) for name in shapes])})",
                f"save an array of that name, or give {_CONSTANT.format(each.name)} if it never "
                "changes",
            )
        if not each.dtype or each.dtype == "string":
            raise ModelError(
                path,
                f"input {shown(each.name)} is {each.dtype or 'of a type that numpy lacks'}",
                "export it with inputs that are numbers",
            )
        given = shapes[each.name]
        if each.shape is None:
            continue
        if not each.shape:
            raise ModelError(
                path,
                f"input {shown(each.name)} is a scalar, so rows of data cannot differ in it",
                f"give {_CONSTANT.format(each.name)}",
            )
        pairs = zip(each.shape[1:], given[1:], strict=False)
        if len(each.shape) != len(given) or any(n not in (None, m) for n, m in pairs):
            raise ModelError(
                path,
                f"input {shown(each.name)} is {each.text} but a row of the data gives "
                f"{'x'.join(map(str, given))}",
                "correct the array of that name, or Preprocess if it holds images",
            )
    for name in shapes:
        if name not in known:
            raise ModelError(
                path,
                f"has no input {shown(name)}, which the data has",
                did_you_mean(name, known) or f"its inputs are {listed(known)}",
            )
    batches = sorted({each.shape[0] for each in inputs if each.shape and each.shape[0]})
    if len(batches) > 1:
        raise ModelError(
            path,
            f"its inputs want {' and '.join(map(str, batches))} rows at once",
            "export it with one batch size for all inputs",
        )
    _check_batch(path, inputs)


def _check_batch(path: Path, inputs: tuple[Input, ...]) -> None:
    batch = feeding_of(inputs, {}).batch
    if batch > MOST_AT_ONCE:
        raise ModelError(
            path,
            f"takes {batch:,} images at once, more than {MOST_AT_ONCE:,}",
            "export it for batch 1",
        )


def _is_image(each: Input) -> bool:
    return each.dtype in IMAGE_TYPES and each.shape is not None and len(each.shape) == 4


def _input(info: ValueInfoProto) -> Input:
    from onnx import TensorProto, helper

    kind = info.type.tensor_type
    dtype = type_name(kind.elem_type).lower()
    if kind.elem_type not in (TensorProto.BFLOAT16, TensorProto.STRING):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # of a damaged file
            dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if not kind.HasField("shape"):
        return Input(info.name, dtype, None)
    # Some exporters write 0 or -1 for a dynamic dimension.
    dims = (d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim)
    return Input(info.name, dtype, tuple(n if n > 0 else None for n in dims))
