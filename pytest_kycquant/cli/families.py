"""The families of models that a gate file can be written for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Family = Literal["face", "liveness", "detector", "other"]

FAMILIES: Mapping[str, str] = {
    "face": "face embedder",
    "liveness": "liveness model",
    "detector": "detector",
    "other": "another model",
}
"""Titles of the families, by the name that options take."""
