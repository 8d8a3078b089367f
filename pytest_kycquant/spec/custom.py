"""What a gate file says of a task that is none of the known ones: data and a metric of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar, Literal

from ..errors import SpecError
from . import coerce
from .limits import CustomLimits, Limits
from .tasks import StrPath, TaskSpec


@dataclass(frozen=True)
class CustomTask(TaskSpec):
    """Anything else: a model and a metric of the user's own.

    The metric is called with outputs and labels of many images at once, and what it returns says
    what is judged:

    - (N,) bool: an *error* for each image, or none. Gated is the error rate.
    - (N,) numbers: a value for each image, such as a distance in pixels. Gated is the mean.
    - one number: a figure of all images together, such as an F1. It is also called without each
      person, for its interval.

    Args:
        data: evaluation images. A folder with a sub-folder for each class, an ``.npz`` file with
            ``images``, ``labels`` (N, ...) and optionally ``subjects``, or with `labels` a folder.
        labels: CSV with ``file`` (below `data`), optionally ``subject``, and one column of labels
            or several of numbers.
        metric: function of (outputs, labels). Outputs: (N, *shape) float32, where the shape is
            that of one image without its batch of one; a tuple of such if several are named in
            `outputs`. Labels: (N,) or (N, K). It must give the same for the same.
        classes: names of the classes, if labels are such: the metric gets their index.
        direction: whether "lower" or "higher" values of the metric are better.
        selection: images on which a fallback is searched. A share of the people of `data`
            (0 < share < 1), who are then *not* used for evaluation, or the path of other images in
            one of the formats of `data`.
        selection_labels: the CSV of those other images.
        outputs: names of the outputs that the metric wants, for a model with several.
        labelled: False if there are no labels: `data` and `selection` are then any images, and the
            metric is given FP32's outputs in the place of labels.
        name: of the metric, for reports; default: that of the function.
    """

    limits: ClassVar[type[Limits]] = CustomLimits
    accuracy: ClassVar[tuple[str, ...]] = ("metric",)

    data: StrPath
    labels: StrPath | None = None
    # The address of a function, which its repr has, differs between workers.
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
        # A function has a source, which tells whether it changed; a partial or an object hides it.
        if not isinstance(self.metric, FunctionType):
            raise SpecError(
                f"{where}.metric",
                f"{self.metric!r} is not a function",
                "give a function of (outputs, labels) that is defined in the gate file",
            )
        object.__setattr__(self, "name", self.name or self.metric.__name__)
        coerce.choice(f"{where}.direction", self.direction, ("lower", "higher"))
        for attribute in ("classes", "outputs"):
            if (given := getattr(self, attribute)) is not None:
                names = coerce.names(f"{where}.{attribute}", given)
                if not names or len(set(names)) != len(names):
                    remedy = "give distinct names"
                    raise SpecError(
                        f"{where}.{attribute}", f"{given!r} are not distinct names", remedy
                    )
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
        if not self.labelled and len(self.outputs or ()) > 1:
            raise SpecError(
                f"{where}.outputs",
                "names several outputs, but without labels the metric compares only one",
                "name the one that decides",
            )

    def check_limits(self, limits: Limits) -> None:
        """Those that the metric is held against."""
        assert isinstance(limits, CustomLimits)
        limits.require(*(("metric", "degradation") if self.labelled else ("agreement",)))
