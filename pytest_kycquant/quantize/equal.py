"""Checks whether two graphs of one model compute the same outputs, up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import KycquantError, one_line
from ..runtimes.feeding import named
from ..runtimes.ort import open_session
from .graph import serialize

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ..runtimes.feeding import Sample


class Errors(NamedTuple):
    """Functions that make the error to raise from a description of what happened.

    Args:
        before: function for when onnxruntime cannot run the graph `before`.
        after: function for when onnxruntime cannot run the graph `after`.
        changed: function for when an output differs.
    """

    before: Callable[[str], KycquantError]
    after: Callable[[str], KycquantError]
    changed: Callable[[str], KycquantError]


def largest_difference(
    before: ModelProto,
    after: ModelProto,
    names: Sequence[str],
    inputs: Sequence[Sample],
    *,
    relative: float,
    absolute: float,
    errors: Errors,
) -> float:
    """Verify that two graphs are equal on some inputs.

    An output may change by `relative` times its largest absolute value, or by `absolute` if that
    is larger. An output with a NaN never passes.

    Args:
        before: the original model.
        after: the changed model, with its outputs in the same order.
        names: names of the inputs of both.
        inputs: samples, each of the shape of the inputs.
        relative: tolerance as a fraction of the largest absolute value of an output.
        absolute: tolerance in the unit of an output.
        errors: functions that make the error to raise.

    Returns:
        The largest absolute difference of any output.

    Raises:
        KycquantError: one of `errors`.
    """
    expected = _outputs(before, names, inputs, errors.before)
    found = _outputs(after, names, inputs, errors.after)
    outputs = [output.name for output in before.graph.output]
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        for name, x, y in zip(outputs, a, b, strict=True):
            if x.shape != y.shape:
                raise errors.changed(f"output {name!r} changed its shape, {x.shape}, to {y.shape}")
            difference = float(np.max(np.abs(np.subtract(x, y, dtype=np.float64)), initial=0.0))
            allowed = max(relative * float(np.max(np.abs(x), initial=0.0)), absolute)
            if not difference <= allowed:  # written so that a NaN fails
                raise errors.changed(f"output {name!r} changed by {difference:.3g}")
            worst = max(worst, difference)
    return worst


def _outputs(
    proto: ModelProto,
    names: Sequence[str],
    inputs: Sequence[Sample],
    refused: Callable[[str], KycquantError],
) -> list[list[NDArray[np.float32]]]:
    place, found = "", []
    try:
        session = open_session(serialize(proto))
        for number, sample in enumerate(inputs, 1):
            place = f"image {number} of {len(inputs)}: "
            found.append(session.run(None, named(sample, names)))
    except Exception as error:
        raise refused(place + one_line(error)) from error
    return found
