"""What all descriptions of a task in a gate file share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from ..errors import SpecError
from . import coerce
from .limits import Limits

StrPath = str | os.PathLike[str]
_PATHS = (
    "data",
    "pairs",
    "labels",
    "selection_labels",
    "groups",
    "boxes",
    "landmarks",
)  # fields of tasks


class TaskSpec:
    """Base of all descriptions of a task: which limits and which gates belong to it."""

    limits: ClassVar[type[Limits]]
    accuracy: ClassVar[tuple[str, ...]]
    # Fields of the tasks that can do without labels, and of those that support groups.
    labelled: bool = True
    # Whether data may be rows of named arrays, so that the inputs need not be one image.
    takes_arrays: ClassVar[bool] = False
    groups: StrPath | None = None

    def gates(self) -> tuple[str, ...]:
        """Return the names of the gates, in the order in which they are judged."""
        if not self.labelled:
            return ("finite", "agreement", "latency", "size")
        return ("finite", *self.accuracy, "degradation", "latency", "size")

    def _check_labelled(self, threshold: str | None, *of_labels: str) -> None:
        """Check the paths and, without labels, that the threshold is given and nothing needs them.

        Args:
            threshold: name of the field that holds the threshold, which cannot be chosen without
                labels; None if the task has no threshold.
            of_labels: names of the fields that need labels.

        Raises:
            SpecError: a path or `labelled` is impossible, or the fields contradict each other.
        """
        name = type(self).__name__
        for field in _PATHS:
            if getattr(self, field, None) is not None or field == "data":
                self._set(field, coerce.path)
        self._set("labelled", coerce.switch, optional=False)
        if self.labelled:
            return
        useless = [field for field in of_labels if getattr(self, field) is not None]
        if useless:
            raise SpecError(
                f"{name}.{useless[0]}",
                "needs labels, but labelled=False says that there are none",
                f"leave out one of {useless[0]}= and labelled=False",
            )
        if threshold is not None and getattr(self, threshold) is None:
            raise SpecError(
                f"{name}.{threshold}",
                "is missing, and cannot be chosen without labels",
                f"give the production value in {threshold}=",
            )

    def _set(self, field: str, check: Callable[..., Any], *args: Any, **more: Any) -> None:
        """Turn a field into a plain value with a function of `coerce`."""
        where = f"{type(self).__name__}.{field}"
        object.__setattr__(self, field, check(where, getattr(self, field), *args, **more))

    def check_limits(self, limits: Limits) -> None:
        """Refuse limits that do not fit this description.

        Args:
            limits: an instance of the class that belongs to the task.

        Raises:
            SpecError: a limit of groups is set, but no groups are given.
        """
        if self.groups is not None:
            return
        for name, declared in limits.__dataclass_fields__.items():
            if name.startswith("group_") and getattr(limits, name) != declared.default:
                raise SpecError(
                    f"{type(limits).__name__}.{name}",
                    "has no effect, because no groups are given",
                    f"give {type(self).__name__}(groups=...), or leave it out",
                )

    def check_files(self, count: int) -> None:
        """Refuse a number of model files that the task cannot judge as one system.

        Raises:
            SpecError: there are several files, but the task judges a single one.
        """
        if count != 1:
            raise SpecError(
                "KycModel.path",
                f"names {count} files, but {type(self).__name__} judges a single one",
                "write a gate for each file: only the scores of liveness models are averaged",
            )
