"""Images without labels: what two pipelines decide about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bench.people import EVALUATION, SEARCH, Role
from ..data.split import SEARCH_SHARE, names_on_both_sides
from ..errors import DataError
from ..results import GateResult
from .agreement import Agreement
from .evidence import Figures
from .record import judge_complete
from .stages import Named, Photo, Stages
from .transactions import Thresholds
from .watch import Method, Watch, whole

if TYPE_CHECKING:
    from ..context import Context
    from ..data.images import ImageSet
    from ..spec.limits import PipelineLimits
    from .models import Pipeline


class OfImages:
    """Images without labels.

    Args:
        context: the context of the run.
        images: the images.
        process: the function that processes one, a bound method of the gate class.
        digest: see `Watch`.
        thresholds: the frozen thresholds.
        limits: the limits of the gates.
    """

    def __init__(
        self,
        context: Context,
        images: ImageSet,
        process: Method,
        digest: str | None,
        thresholds: Thresholds,
        limits: PipelineLimits,
    ) -> None:
        self._images = images
        self._thresholds = thresholds
        self._limits = limits
        self.watch = Watch(context, {"images": whole(images, process)}, digest)
        self.run: Callable[[Stages, Any], object] = process

    def gates(self, fp32: Pipeline, other: Pipeline, role: Role) -> dict[str, GateResult]:
        """Whether every stage is reached, and the share of flipped decisions."""
        agreement = self._agreement(fp32, other, role)
        chosen = self._chosen(role)
        names = [name for name, kept in zip(self._images.names, chosen, strict=True) if kept]
        exact, seen = self.watch.seen(fp32)["images"], self.watch.seen(other)["images"]
        reached = [name for name in names if name not in exact.skipped]
        lost = {name: seen.skipped[name] for name in reached if name in seen.skipped}
        broken = {name: seen.broken[name] for name in reached if name in seen.broken}
        complete = judge_complete(len(reached), lost, broken)
        return {"complete": complete, "agreement": agreement.gate()}

    def figures(self, fp32: Pipeline, other: Pipeline, role: Role) -> Figures:
        """Drift of the answers end to end."""
        return Figures(*self._agreement(fp32, other, role).figures())

    def complete(self, fp32: Pipeline, other: Pipeline) -> list[Named]:
        """Those on which both pipelines reach every stage.

        Raises:
            DataError: FP32 reaches every stage on none of the images.
        """
        exact, seen = self.watch.seen(fp32)["images"], self.watch.seen(other)["images"]
        if not exact.found.any():
            ends: dict[str, int] = {}
            for what in exact.skipped.values():
                ends[what] = ends.get(what, 0) + 1
            most = sorted(ends.items(), key=lambda item: -item[1])
            found = "; ".join(f"{what} skipped on {count:,}" for what, count in most)
            raise DataError(
                self._images.origin,
                f"FP32 reaches every stage on none of its {len(self._images):,} images ({found})",
                "give images in which the detector finds the class `face`, or check process()",
            )
        live = self._thresholds.live
        if live is not None and not (exact.scores[exact.found] >= live).any():
            raise DataError(
                self._images.origin,
                f"FP32 takes none of the {int(exact.found.sum()):,} faces for live, so that nobody "
                "is let in whatever a variant does",
                "check crop_scale of the liveness model and what process() gives it, or give "
                "images of live faces",
            )
        both = np.flatnonzero(exact.found & seen.found)
        return [Photo(self._images, int(index)) for index in both]

    def notes(self, fp32: Pipeline) -> list[str]:
        """There is nothing that a reader must know."""
        return []

    def remarks(self, fp32: Pipeline) -> list[str]:
        """Images that FP32 does not get through, and rows of arrays."""
        notes = []
        exact = self.watch.seen(fp32)["images"]
        if short := len(exact.found) - int(exact.found.sum()):
            notes.append(
                f"{short:,} of {len(exact.found):,} images are not timed: FP32 does not reach "
                "every stage on them"
            )
        live = self._thresholds.live
        if live is not None:
            number = int((exact.scores[exact.found] >= live).sum())
            notes.append(f"FP32 takes {number:,} of {int(exact.found.sum()):,} faces for live")
        if self._images.is_array:
            notes.append("the images are rows of an array, so the time does not include decoding")
        return notes

    def shown(self, units: Sequence[Named]) -> dict[str, list[int]]:
        """Indices of these."""
        return {"images": [unit.index for unit in units if isinstance(unit, Photo)]}

    def _agreement(self, fp32: Pipeline, other: Pipeline, role: Role) -> Agreement:
        chosen = self._chosen(role)
        names = tuple(name for name, kept in zip(self._images.names, chosen, strict=True) if kept)
        exact, seen = (
            self.watch.seen(one)["images"].subset(chosen, names) for one in (fp32, other)
        )
        return Agreement(names, exact, seen, self._thresholds, self._limits)

    def _chosen(self, role: Role) -> NDArray[np.bool_]:
        if role is EVALUATION:
            return np.ones(len(self._images), np.bool_)
        searched = names_on_both_sides(
            self._images.names, SEARCH_SHARE, self._images.origin, "images", "images"
        )
        return searched if role is SEARCH else ~searched
