"""What a gate file declares about any other task: its data and a user-defined metric."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar, Literal

from ..errors import SpecError
from . import coerce
from .functions import check_call
from .limits import CustomLimits, Limits
from .task import StrPath, TaskSpec


@coerce.arguments
@dataclass(frozen=True)
class CustomTask(TaskSpec):
    """Any other task: a model with a user-defined metric.

    The metric is called with outputs and labels of many images at once. What it returns determines
    what is judged:

    - (N,) bool: whether each image is an *error*. The error rate is gated.
    - (N,) numbers: a value for each image, such as a distance in pixels. The mean is gated.
    - one number: a figure of all images together, such as an F1 score. The metric is also called
      with each person left out, to find the interval of the figure.

    Args:
        data: evaluation images: a folder with a sub-folder for each class, an ``.npz`` file with
            ``images``, ``labels`` (N, ...) and optionally ``subjects``, or any folder if `labels`
            is given. In the place of ``images``, an ``.npz`` may hold an array of N rows for each
            input of the model, under its name; or `data` is a CSV with a column of files for each
            input, optionally ``subject``, and labels.
        labels: CSV with the columns ``file`` (below `data`), optionally ``subject``, and either one
            column of labels or several of numbers.
        metric: function of (outputs, labels). Outputs are ``(N, *shape)`` float32, where shape is
            that of one image without its batch of one, or a tuple of such arrays if `outputs`
            names several. Labels are (N,) or (N, K). The same arguments must give the same result.
        classes: names of the classes, if the labels are classes; the metric gets their index.
        direction: whether "lower" or "higher" values of the metric are better.
        selection: images on which a fallback is searched. None: two fifths of the people of `data`,
            and it is confirmed on the others. A share of the people of `data`
            (0 < share < 1), who are then *not* used for evaluation, or the path of other images in
            one of the formats of `data`.
        selection_labels: the CSV of those other images.
        outputs: names of the outputs that the metric takes, for a model with several.
        labelled: False if there are no labels. `data` and `selection` may then be any images, and
            the metric gets FP32's outputs instead of labels, in the same form as outputs: a tuple
            if `outputs` names several.
        name: name of the metric in reports; defaults to the name of the function.
    """

    limits: ClassVar[type[Limits]] = CustomLimits
    accuracy: ClassVar[tuple[str, ...]] = ("metric",)
    takes_arrays: ClassVar[bool] = True

    data: StrPath
    labels: StrPath | None = None
    # The repr of a function contains its address, which differs between workers.
    metric: Callable[..., Any] = field(kw_only=True, repr=False)
    classes: tuple[str, ...] | None = None
    direction: Literal["lower", "higher"] = "lower"
    selection: float | StrPath | None = None
    selection_labels: StrPath | None = None
    outputs: tuple[str, ...] | None = None
    labelled: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        where = "CustomTask"
        self._check_labelled(None, "labels", "classes", "selection_labels")
        # The source of a function shows whether it changed; a partial or an object hides it.
        if not isinstance(self.metric, FunctionType):
            raise SpecError(
                f"{where}.metric",
                f"{coerce.shown(self.metric)} is not a function",
                "give a function of (outputs, labels) that is defined in the gate file",
            )
        remedy = "define it as a function of (outputs, labels) that returns its result"
        check_call(f"{where}.metric", self.metric, 2, remedy)
        name = coerce.label(f"{where}.name", self.name)
        name = name or coerce.label(f"{where}.metric.__name__", self.metric.__name__)
        object.__setattr__(self, "name", name)
        direction = coerce.choice(f"{where}.direction", self.direction, ("lower", "higher"))
        object.__setattr__(self, "direction", direction)
        for attribute in ("classes", "outputs"):
            if (given := getattr(self, attribute)) is not None:
                names = coerce.names(f"{where}.{attribute}", given, distinct=True)
                object.__setattr__(self, attribute, names)
        if self.classes is not None and len(self.classes) < 2:
            raise SpecError(
                f"{where}.classes", f"{self.classes!r} is only one class", "name all classes"
            )
        selection = coerce.share_or_path(f"{where}.selection", self.selection)
        object.__setattr__(self, "selection", selection)
        if self.selection_labels is not None and not isinstance(selection, (str, os.PathLike)):
            raise SpecError(
                f"{where}.selection_labels",
                "is used only if selection is a path of other images",
                "give both as paths, or a fraction in selection=",
            )

    def check_limits(self, limits: Limits) -> None:
        """Make sure that the limits are given that this metric is compared with."""
        assert isinstance(limits, CustomLimits)
        limits.require(*(("metric", "degradation") if self.labelled else ("agreement",)))
