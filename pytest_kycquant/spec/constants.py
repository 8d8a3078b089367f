"""Values of the inputs of a model that never change, such as ``{"phase_train": False}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SpecError
from . import coerce

_REMEDY = 'give names and values, such as {"phase_train": False}'
_MOST = 1 << 16  # numbers in all values together; a golden holds them


def constants_of(given: Any, where: str = "KycModel.constants") -> dict[str, Any]:
    """Turn what somebody gives into plain values by the names of the inputs, in their order.

    Args:
        given: names and values.
        where: the argument, for messages.

    Raises:
        SpecError: it is not a mapping of names to booleans, finite numbers or arrays of these.
    """
    if not isinstance(given, Mapping):
        raise SpecError(where, f"{coerce.shown(given)} is not a mapping", _REMEDY)
    if not given:
        return {}  # numpy is not imported for gate files without constants
    items = coerce.guarded(lambda: list(given.items()))
    if items is None:
        raise SpecError(where, f"{coerce.shown(given)} is not a mapping", _REMEDY)
    names = coerce.names(where, tuple(name for name, _ in items), distinct=True)
    arrays = {
        name: _array(f"{where}[{name!r}]", value)
        for name, (_, value) in zip(names, items, strict=True)
    }
    if sum(array.size for array in arrays.values()) > _MOST:
        raise SpecError(
            where, f"hold more than {_MOST:,} numbers", "store large constants in the model"
        )
    return {name: array.tolist() for name, array in sorted(arrays.items())}


def _array(where: str, value: Any) -> Any:
    import numpy as np

    remedy = "give a boolean, a number, or an array or list of these"
    array = coerce.guarded(lambda: np.asarray(value))
    if array is None or isinstance(value, Mapping | set):
        raise SpecError(where, f"{coerce.shown(value)} is not an array", remedy)
    if np.ma.isMaskedArray(value) or array.dtype.kind not in "biuf" or not array.size:
        raise SpecError(where, f"{coerce.shown(value)} is not a boolean or number", remedy)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SpecError(where, f"{coerce.shown(value)} is not finite", "give finite numbers")
    return array
