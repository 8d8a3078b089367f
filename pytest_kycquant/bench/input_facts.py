"""Plain values that describe a preprocessing, for cache keys and goldens."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..context.function_digest import function_digest
from ..spec.model import Preprocess


def describe_preprocess(spec: Preprocess) -> dict[str, Any]:
    """Plain values that describe a preprocessing.

    Raises:
        SpecError: it is a function that uses something whose changes would go unnoticed.
    """
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    # Goldens from before these fields existed are still true.
    usual_values = (("fit", "stretch"), ("pad", 114), ("function", None), ("standardize", False))
    for name, usual in usual_values:
        if values[name] == usual:
            del values[name]
    if spec.function is not None:
        values["function"] = function_digest(spec.function, "Preprocess.function")
    return values
