"""What the outputs of a liveness model are taken for, in words for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ...spec.tasks import LivenessDetection


def said_of(spec: LivenessDetection) -> str:
    """How outputs are read: a wrong class or scale is a verdict about another score."""
    place = ", averaged over the map" if spec.pool is not None else ""
    classes, live = spec.classes, cast("int", spec.live_class)
    if classes is not None and len(classes) == 1:
        whose = "an attack" if live else "a live face"
        kind = "probability" if spec.scores == "probabilities" else "logit"
        return f"outputs are read as the {kind} of {whose}{place}"
    name = "" if classes is None else f" ({classes[live]})"
    which = f"of which number {live}{name} is live"
    return f"outputs are read as {spec.scores} of the classes{place}, {which}"
