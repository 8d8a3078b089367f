"""From what was found to the gate of a model, twice: as source, and as the `KycModel` itself.

The second is what `init` loads data with and measures preprocessings on, before anything is
written. Tests run the source to show that both say the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..spec.model import KycModel
from ..spec.task import TaskSpec
from ..spec.tasks import FaceVerification, LivenessDetection, ObjectDetection
from .gate_text import (
    CHECK,
    FILL_IN,
    Argument,
    Call,
    GateFile,
    Mark,
    class_name,
    names,
    preprocess_call,
    quoted,
)
from .image_formats import Found
from .model_facts import ModelFacts
from .preprocessing import Choice

_GATES = {"face": "FaceGates", "liveness": "LivenessGates", "detector": "DetectionGates"}
_TASKS: dict[str, type[TaskSpec]] = {
    "face": FaceVerification,
    "liveness": LivenessDetection,
    "detector": ObjectDetection,
}
_INTENTIONS = {
    "face": "What ships lets no impostor in and turns no customer away.",
    "liveness": "What ships lets no attack species through and turns no live person away.",
    "detector": "What ships misses nothing that FP32 finds.",
    "other": "What ships decides as FP32 does.",
}
_PLACES = {
    "face": ("data/faces", "a folder of images with a sub-folder for each person"),
    "liveness": ("data/captures", "a folder with live/ and a sub-folder for each attack species"),
    "detector": ("data/images", "the folder of the images"),
    "other": ("data/images", "a folder of typical images"),
}
_USUAL_CONFIDENCE, _USUAL_LIVE = 0.25, 0.5
_HELPER = '''
def differs(outputs, fp32):
    """Whether an image is decided otherwise than by FP32."""
    # CHECK: this compares numbers (10 % of their length); write what your code decides
    #   instead, such as outputs.argmax(axis=1) != fp32.argmax(axis=1)
    pairs = zip(outputs, fp32) if isinstance(outputs, tuple) else [(outputs, fp32)]
    far = []
    for mine, theirs in pairs:
        apart = np.linalg.norm((mine - theirs).reshape(len(mine), -1), axis=1)
        far.append(apart > 0.1 * np.linalg.norm(theirs.reshape(len(theirs), -1), axis=1))
    return np.any(far, axis=0)
'''


@dataclass(frozen=True)
class Draft:
    """All that a gate file is written from.

    Args:
        facts: the model.
        found: the images; None if none were given.
        choice: the preprocessing.
        home: the folder of the gate file.
        threshold: the production threshold or confidence; None if it was not given.
        live_class: the index of the live class, if it was measured.
        classes: names of the classes of a detector, if the user gives them.
    """

    facts: ModelFacts
    found: Found | None
    choice: Choice
    home: Path
    threshold: float | None = None
    live_class: int | None = None
    classes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether there are labels, or none are known to be missing."""
        if self.facts.family == "other":
            return False
        return self.found is None or self.found.kind != "images"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of a detector, in the order of its outputs, as far as known."""
        count = self.facts.detectors[0].classes
        labels = () if self.found is None else self.found.classes
        for known in (self.classes, self.facts.class_names, labels):
            if len(known) == count:
                return known
        return tuple(f"class{index}" for index in range(count))

    def source(self) -> GateFile:
        """The gate file."""
        facts, family = self.facts, self.facts.family
        path = Path(facts.path)
        if family == "other":
            base, task = "AgreementGates", self._custom()
        else:
            base = _GATES[family] if self.labelled else "AgreementGates"
            task = Call(_TASKS[family].__name__, tuple(self._task()))
        arguments = [
            Argument("", quoted(self.relative(path))),
            preprocess_call(self.choice.spec, tuple(self._preprocess_marks())),
            Argument("task", task),
        ]
        calibration = None if self.found is None else self.found.calibration
        precisions = ['"fp16"', '"int8-weights"']
        marks = []
        if calibration is not None:
            given = quoted(self.relative(calibration))
            arguments.append(Argument("calibration", given))
            precisions.append(self._int8())
        else:
            what = (
                "int8 needs calibration=: 100 to 500 typical images that the gate does not judge; "
                f"then add {self._int8()}"
            )
            marks.append(Mark(CHECK, what))
        return GateFile(
            model=path.name,
            base=base,
            name=class_name(path),
            intention=_INTENTIONS[family],
            spec=Call("KycModel", tuple(arguments)),
            precisions=tuple(precisions),
            fallback="int8-weights" if family == "detector" else "mixed",
            limits="CustomLimits(agreement=0.02)" if family == "other" else "",
            marks=tuple(marks),
            helper=_HELPER if family == "other" else "",
        )

    def model(self) -> KycModel | None:
        """The model with its data; None if something is open that only the user knows."""
        if self.found is None or self.facts.family == "other":
            return None
        if any(mark.kind == FILL_IN for each in self._task() for mark in each.marks):
            return None
        values: dict[str, Any] = {"data": _whole(self.found.data)}
        # The same source that is written, as values.
        for each in self._task():
            if each.name in ("labels", "selection"):
                path = self.found.labels if each.name == "labels" else self.found.selection
                values[each.name] = None if path is None else _whole(path)
            elif each.name and isinstance(each.value, str):
                values[each.name] = _value(each.value)
        calibration = self.found.calibration
        return KycModel(
            _whole(Path(self.facts.path)),
            self.choice.spec,
            _TASKS[self.facts.family](**values),
            None if calibration is None else _whole(calibration),
        )

    def with_choice(self, choice: Choice) -> Draft:
        """The same with another preprocessing."""
        return replace(self, choice=choice)

    def relative(self, path: Path) -> str:
        """A path as the gate file names it: relative to its folder, unless that is far away."""
        near = Path(os.path.relpath(path.absolute(), self.home.absolute()))
        if near.parts.count("..") > 2:
            return path.absolute().as_posix()
        return near.as_posix()

    def _int8(self) -> str:
        if self.facts.family == "detector":
            return 'Recipe("int8", name="int8-conv", op_types=("Conv",))'
        return '"int8"'

    def _preprocess_marks(self) -> Iterator[Mark]:
        facts = self.facts
        if facts.open_size:
            yield Mark(CHECK, "the model takes any size; this one is usual")
        if not self.choice.measured:
            yield Mark(
                CHECK,
                f"prepare images as production does: this is a guess, {self.choice.reason}",
            )

    def _data(self) -> Argument:
        if self.found is not None:
            return Argument("", quoted(self.relative(self.found.data)))
        place, what = _PLACES[self.facts.family]
        return Argument("", quoted(place), (Mark(FILL_IN, f"where the images are: {what}"),))

    def _task(self) -> Iterator[Argument]:
        """The arguments of the task."""
        yield self._data()
        facts, found = self.facts, self.found
        if facts.family == "detector":
            yield from self._detection()
        if not self.labelled:
            yield Argument("labelled", "False")
        if found is not None and found.selection is not None and self.labelled:
            yield Argument("selection", quoted(self.relative(found.selection)))
        if facts.output:
            yield Argument("output", quoted(facts.output))
        if facts.family == "liveness":
            yield from self._liveness()
        yield from self._threshold()

    def _threshold(self) -> Iterator[Argument]:
        name = "confidence" if self.facts.family == "detector" else "threshold"
        if self.threshold is not None:
            yield Argument(name, repr(self.threshold))
        elif not self.labelled:
            if self.facts.family == "face":
                what = "the cosine from which on production takes two faces for one person"
                yield Argument(name, "None", (Mark(FILL_IN, what),))
            elif self.facts.family == "liveness":
                mark = Mark(CHECK, "the score from which on production takes a face for live")
                yield Argument(name, repr(_USUAL_LIVE), (mark,))
            else:
                mark = Mark(CHECK, "the score from which on production counts a detection")
                yield Argument(name, repr(_USUAL_CONFIDENCE), (mark,))

    def _liveness(self) -> Iterator[Argument]:
        scores = "probabilities" if self.facts.probabilities else "logits"
        yield Argument("scores", quoted(scores))
        if self.facts.values == 1:
            mark = Mark(CHECK, 'whose score it is: ("live",) or ("attack",)')
            yield Argument("classes", '("live",)', (mark,))
        else:
            index = 1 if self.live_class is None else self.live_class
            mark = Mark(CHECK, "the index of the live class; 1 is that of MiniFASNet")
            yield Argument("live_class", repr(index), (mark,) if self.live_class is None else ())

    def _detection(self) -> Iterator[Argument]:
        facts, found = self.facts, self.found
        way, *others = facts.detectors
        if found is None:
            what = "the boxes: COCO JSON, a CSV with file,class,x1,y1,x2,y2, or YOLO text files"
            yield Argument("labels", quoted("data/labels.json"), (Mark(FILL_IN, what),))
        elif self.labelled and found.labels is not None:
            yield Argument("labels", quoted(self.relative(found.labels)))
        yield Argument("classes", names(self.class_names), tuple(self._class_marks()))
        if way.scores != "probabilities":
            yield Argument("scores", quoted(way.scores))
        # Landmarks in outputs of their own are judged without a word.
        if way.keypoints:
            yield Argument("keypoints", repr(way.keypoints))
        layouts = dict.fromkeys(one.layout for one in (way, *others))
        if len(layouts) > 1:
            rest = ", ".join(map(quoted, list(layouts)[1:4]))
            mark = Mark(CHECK, f"the outputs fit this layout and {rest}, see docs/detection.md")
            yield Argument("layout", quoted(way.layout), (mark,))

    def _class_marks(self) -> Iterator[Mark]:
        known = self.classes or self.facts.class_names
        count = self.facts.detectors[0].classes
        if len(known) == count:
            return
        labels = () if self.found is None else self.found.classes
        if len(labels) != count:
            if labels:
                what = f"the labels name {len(labels)} classes ({', '.join(labels[:5])}), the model"
                yield Mark(FILL_IN, f"{what} has {count}: name those of the model, in their order")
            elif self.labelled:
                yield Mark(FILL_IN, "the classes in the order of the model's outputs")
            else:
                yield Mark(CHECK, "the classes in the order of the model's outputs")
        elif count > 1:
            yield Mark(CHECK, "the order of the classes is that of the labels; is it the model's?")

    def _custom(self) -> Call:
        outputs = tuple(self.facts.outputs)
        given = [
            self._data(),
            Argument("metric", "differs"),
            Argument("labelled", "False"),
        ]
        if len(outputs) > 1:
            given.append(Argument("outputs", names(outputs)))
        return Call("CustomTask", tuple(given))


def _value(source: str) -> Any:
    import ast

    return ast.literal_eval(source)


def _whole(path: Path) -> Path:
    """A path from the root, as messages show it: without "..", and links stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100
