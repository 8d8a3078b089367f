"""What makes a test belong to a gate. Every suite loads this module, so it must stay light."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MARKER = "kycquant"


class GateClass:
    """Base of all gate classes: identifies them before anything else is loaded."""

    @classmethod
    def has_test(cls, name: str) -> bool:
        """Whether a test of the base class applies to this class; pytest collects no others."""
        return True


def is_gated(item: pytest.Item) -> bool:
    """Whether a test belongs to a gate class or carries the plugin's marker."""
    cls = getattr(item, "cls", None)
    inherits = isinstance(cls, type) and issubclass(cls, GateClass)
    return inherits or item.get_closest_marker(MARKER) is not None
