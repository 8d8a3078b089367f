"""Measures the models of all competitors in the same way, with the same onnxruntime."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pytest_kycquant.data.pairs import Comparisons
from pytest_kycquant.measure.latency import LOOKS, measure
from pytest_kycquant.plain import plain
from pytest_kycquant.quantize.graph import WEIGHTED, initializers, producers
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.statistics import RULE_OF_30
from pytest_kycquant.tasks.detection.likeness import agreement
from pytest_kycquant.tasks.detection.matching import Objects, Predictions
from pytest_kycquant.tasks.face.measures import normalise
from pytest_kycquant.tasks.face.scores import error_rate, errors_at, extremes, select_threshold

from .job import Array, cosines
from .running import Outcome
from .subjects import Part, Subject

FAR_LIMIT = 0.001
NONE_SLOWER = Limits(latency_ratio=1.0)["latency_ratio"]
CONFIDENCE = 0.25  # smallest score of a detection that counts
# Operators of ONNX and of onnxruntime that compute in integers themselves.
_INTEGER = ("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger")
# Operators that move values without computing anything.
_MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "MaxPool")


def count_operators(proto: onnx.ModelProto) -> tuple[int, int]:
    """Count the operators with weights that run in float, and all operators with weights.

    An operator runs in integers if it is an integer operator itself, or if both its data and its
    weights come from a DequantizeLinear, possibly through operators that only move values.
    """
    graph = proto.graph
    constants, made_by = initializers(graph), producers(graph)

    def source(name: str) -> onnx.NodeProto | None:
        node = made_by.get(name)
        while node is not None and node.op_type in _MOVES:
            node = made_by.get(node.input[0])
        return node

    @functools.cache
    def constant(name: str) -> bool:
        """Whether a tensor depends on constants only."""
        if name not in made_by:
            return not name or name in constants
        return all(map(constant, made_by[name].input))

    floats, total = 0, 0
    for node in graph.node:
        if node.op_type in _INTEGER:
            total += 1
        elif node.op_type.removeprefix("Fused") in WEIGHTED and any(map(constant, node.input[:2])):
            total += 1
            sources = [source(name) for name in node.input[:2]]
            floats += not all(n is not None and n.op_type == "DequantizeLinear" for n in sources)
    return floats, total


def _distances(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> dict[str, float]:
    """Mean and smallest cosine to FP32 over images, and the error relative to FP32's outputs.

    The cosine of an output near zero says little, and a few such images dominate the mean; the
    error (root mean square, relative) gives them their proper weight.
    """
    values = cosines(found, wanted)
    error = float(np.sqrt(np.square(found - wanted).sum() / np.square(wanted).sum()))
    return {"mean": float(values.mean()), "min": float(values.min()), "error": error}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        model: name of the subject.
        method: name of the competitor.
        problem: why there are no figures, or "".
        facts: what the competitor reports about itself.
        figures: measured figures of its model; rates have bounds.
    """

    model: str
    method: str
    problem: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Seen:
    """Outputs of one model on some images: the compared values, and detections."""

    values: NDArray[np.float64]
    detections: Predictions | None


class Judge:
    """Compares models with FP32 on the search images and on images that no competitor has seen.

    Args:
        subject: the model.
        search: the images that all competitors search on.
        threshold_images: all images of the people of the search, to choose the threshold.
        held_out: the images of the final check.
    """

    def __init__(
        self, subject: Subject, search: Part, threshold_images: Part, held_out: Part
    ) -> None:
        self.subject = subject
        self._search = search
        self._threshold_images = threshold_images
        self._held_out = held_out
        self._original = subject.spec.model.read_bytes()
        self._fp32 = {
            "search": self._see(self._original, search),
            "held_out": self._see(self._original, held_out),
        }

    @property
    def wanted(self) -> NDArray[np.float64]:
        """The values of FP32 on the search images."""
        return self._fp32["search"].values

    @cached_property
    def threshold(self) -> float:
        """The smallest threshold with an upper bound of FP32's FAR below .1 % (search people)."""
        part = self._threshold_images
        unit = normalise(self._see(self._original, part).values.astype(np.float32))
        return select_threshold(unit, Comparisons(part.subjects), FAR_LIMIT)

    def row(self, method: str, outcome: Outcome) -> Row:
        """Measure a competitor's model; a model that onnxruntime cannot run is a problem, too."""
        name = self.subject.case
        if outcome.model is None:
            return Row(name, method, outcome.problem, outcome.facts)
        try:
            figures = self._figures(outcome.model)
        except Exception as error:  # whatever is wrong, the other competitors still get their rows
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            return Row(name, method, f"its model cannot be judged: {reason}", outcome.facts)
        return Row(name, method, "", outcome.facts, figures)

    def _figures(self, model: Path) -> dict[str, Any]:
        content = model.read_bytes()
        floats, total = count_operators(onnx.load_from_string(content))
        figures: dict[str, Any] = {
            "float_operators": floats,
            "operators": total,
            "size": len(content) / len(self._original),
        }
        found = self._see(content, self._held_out)
        seen = {"search": self._see(content, self._search), "held_out": found}
        for name, outputs in seen.items():
            figures[name] = _distances(outputs.values, self._fp32[name].values)
        if self.subject.faces:
            figures |= self._face_rates(found.values)
        elif found.detections is not None:
            figures |= self._agreement(found.detections)
        else:
            wanted = self._fp32["held_out"].values
            flips = found.values.argmax(axis=1) != wanted.argmax(axis=1)
            figures["other_class"] = float(flips.mean())
        return figures | {"latency": self._latency(content)}

    def _see(self, content: bytes, part: Part) -> _Seen:
        session = open_session(content)
        name = session.get_inputs()[0].name
        decoder, values, found = self.subject.decoder, [], []
        for tensor in self._tensors(part):
            outputs = session.run(None, {name: tensor})
            values.append(self.subject.reading(outputs))
            if decoder is not None:
                found.append(decoder(outputs))
        detections = None
        if decoder is not None:
            detections = Predictions(
                np.concatenate([each.boxes for each in found]),
                np.concatenate([each.scores for each in found]),
                np.concatenate([each.classes for each in found]),
                np.repeat(np.arange(len(found)), [len(each.scores) for each in found]),
            ).above(CONFIDENCE)
        return _Seen(np.stack(values), detections)

    def _tensors(self, part: Part) -> Iterator[Array]:
        return (self.subject.tensor(part, i) for i in range(len(part.images.names)))

    def _face_rates(self, values: NDArray[np.float64]) -> dict[str, Any]:
        comparisons = Comparisons(self._held_out.subjects)
        unit = normalise(values.astype(np.float32))
        errors = errors_at(unit, unit, comparisons, self.threshold)
        worst = extremes(unit, unit, comparisons, RULE_OF_30)
        far = error_rate(comparisons, errors.false_accepts, worst.impostor_ids, genuine=False)
        frr = error_rate(comparisons, errors.false_rejects, worst.genuine_ids, genuine=True)
        return {"far": plain(far), "frr": plain(frr)}

    def _agreement(self, variant: Predictions) -> dict[str, Any]:
        fp32, decoder = self._fp32["held_out"].detections, self.subject.decoder
        assert fp32 is not None
        assert decoder is not None
        images = len(self._held_out.images.names)
        truth = fp32.as_objects(images, decoder.classes)
        found = agreement(fp32, variant, Objects(**vars(truth)))
        drift = float(found.drift.mean()) if len(found.drift) else float("nan")
        return {
            "agreement": {
                "recall": 1 - found.recall.value,
                "precision": 1 - found.precision.value,
                "score_drift": drift,
            }
        }

    def _latency(self, content: bytes) -> dict[str, Any]:
        tensor = next(self._tensors(self._search))

        def runner(source: bytes) -> partial[object]:
            session = open_session(source)
            return partial(session.run, None, {session.get_inputs()[0].name: tensor})

        runs = [runner(source) for source in (self._original, self._original, content)]
        found: dict[str, float] = plain(measure(*runs, limit=NONE_SLOWER, looks=LOOKS[:2]))
        return found
