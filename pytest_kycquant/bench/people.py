"""Who does what: the people who choose the threshold, are judged, are searched on, and confirm.

With other people in `selection`, these choose the threshold and a fallback is searched on them, and
the evaluation people give every verdict. Without, all people choose the threshold and all are
judged. A search and its confirmation still need different people, so two of five folds are
searched on and the others confirm. The folds follow from the names of the people alone.

That the people who choose the threshold are judged at it is honest, because the threshold is not
the one with the fewest errors. It is the smallest whose *upper bound* of FAR is below a rate. At
the threshold that truly has this rate, the bound is below it in at most 5 % of samples, and only
then a smaller threshold is chosen. How often bounds hold at such thresholds stands in
docs/results/coverage.md (`python -m benchmarks.thresholds`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

if TYPE_CHECKING:
    from ..tasks.base import Part, Task, TaskData
    from ..tasks.outputs import Outputs


class Role(enum.StrEnum):
    """What people are for."""

    EVALUATION = "evaluation"
    CHOOSING = "selection"
    SEARCH = "search"
    CONFIRMATION = "confirmation"


EVALUATION, CHOOSING = Role.EVALUATION, Role.CHOOSING
SEARCH, CONFIRMATION = Role.SEARCH, Role.CONFIRMATION


class People:
    """The parts of the data by role, and the outputs of FP32 for them.

    Args:
        task: the task of the model.
        data: a function that returns the data.
        run_fp32: a function from images and their role to the outputs of FP32.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        data: Callable[[], TaskData[Any]],
        run_fp32: Callable[[Any, str], Outputs],
    ) -> None:
        self._task = task
        self._data = data
        self._run = run_fp32
        self._parts: dict[Role, Part[Any]] = {}

    def part(self, role: Role) -> Part[Any]:
        """The images of a role and their labels.

        Raises:
            DataError: the people cannot be split for a search, or nobody chooses a threshold.
        """
        if role not in self._parts:
            self._parts[role] = self._found(role)
        return self._parts[role]

    def fp32(self, role: Role) -> Outputs:
        """The outputs of FP32 for the images of a role."""
        data, part = self._data(), self.part(role)
        mask = None if data.selection is not None else self._mask_of(role)
        if mask is None:
            same = part.images is data.evaluation.images
            return self._run(part.images, EVALUATION if same else role)
        # The evaluation people are known, or will be needed.
        whole = self._run(data.evaluation.images, EVALUATION)
        return replace(whole.subset(mask), broken_edges=whole.broken_edges, shapes=whole.shapes)

    @property
    def why_not_searched(self) -> str:
        """Why a fallback cannot be searched, or "" if it can."""
        try:
            self.part(SEARCH)
            self.part(CONFIRMATION)
        except DataError as error:
            return error.problem
        return ""

    def _found(self, role: Role) -> Part[Any]:
        data = self._data()
        if role is EVALUATION or (role is CONFIRMATION and data.selection is not None):
            return data.evaluation
        if role is CHOOSING:
            if data.choosing is None:
                raise DataError("selection", "nobody chooses the threshold", "report this as a bug")
            return data.choosing
        if data.selection is not None:
            return data.selection
        mask = self._mask_of(role)
        if mask is None:
            raise DataError("selection", "there are no people for it", "report this as a bug")
        return self._task.members(data.evaluation, mask, role)

    def _mask_of(self, role: Role) -> NDArray[np.bool_] | None:
        """Which evaluation images belong to a role that only some people have."""
        if role is SEARCH:
            return self._searched
        return ~self._searched if role is CONFIRMATION else None

    @cached_property
    def _searched(self) -> NDArray[np.bool_]:
        choose = self._data().searched
        if choose is None:
            raise DataError(
                "selection",
                "this task does not say how its people can be split",
                f"set {self._task.name}(selection=...)",
            )
        return choose()
