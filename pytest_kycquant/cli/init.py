"""Look at a model, and at images if there are any, and write a gate file.

The file runs with plain pytest. What neither files nor labels tell stands below
a line marked FILL IN, what was assumed below one marked CHECK. Nothing is ever
overwritten. With labelled images, the usual ways to prepare images are tried on
a few of them, and the best one is written.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import output
from .exits import DONE
from .families import FAMILIES

if TYPE_CHECKING:
    from ..bench.variants import Variants
    from ..context import Context
    from .gate_draft import Draft
    from .image_formats import Found
    from .model_facts import ModelFacts


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the FP32 .onnx file")
    parser.add_argument(
        "images",
        type=Path,
        metavar="IMAGES",
        nargs="?",
        help="images to judge it on: a folder for each person, live and attack folders, "
        "images with boxes (CSV, COCO, YOLO), an .npz, or any images without labels",
    )
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="images for INT8")
    parser.add_argument(
        "--family", choices=list(FAMILIES), help="what the model is, if that is not found"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="threshold or confidence of production"
    )
    parser.add_argument(
        "--classes", metavar="A,B", help="classes of a detector, in the order of its outputs"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write (default: test_MODEL.py)"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


@dataclass(frozen=True)
class Written:
    """What `init` found and wrote, for ``--json``.

    Args:
        gate_file: the file that was written.
        model: the facts of the model.
        images: the images: format, paths and classes; None if none were given.
        preprocessing: what `Preprocess` says, in words, and why.
        fill_in: line -> what only the user knows.
        check: line -> what was assumed.
        outlook: what the data can decide, in sentences.
    """

    gate_file: str
    model: ModelFacts
    images: dict[str, Any] | None
    preprocessing: dict[str, str]
    fill_in: dict[str, str]
    check: dict[str, str]
    outlook: tuple[str, ...]


def run(given: argparse.Namespace) -> int:
    """Write the gate file and say what comes next."""
    from ..errors import SpecError
    from ..files import write_whole
    from .gate_draft import Draft
    from .gate_text import CHECK, FILL_IN, file_name, marks_in, preprocess_source
    from .image_formats import find
    from .model_facts import look_at
    from .preprocessing import usual

    target = given.out or Path(file_name(given.model))
    if os.path.lexists(target):
        raise SpecError(target, "exists, and init overwrites nothing", "name another file: --out")
    if target.suffix != ".py" or not target.parent.is_dir():
        raise SpecError(target, "is not a .py file in a folder", "name one: --out tests/test_x.py")
    facts = look_at(given.model, given.family)
    found = None if given.images is None else find(given.images, facts.family)
    if found is not None and given.calibration is not None:
        found = replace(found, calibration=given.calibration)
    classes = tuple(part.strip() for part in (given.classes or "").split(",") if part.strip())
    draft = Draft(facts, found, usual(facts), target.parent, given.threshold, None, classes)
    draft, sentences = _with_images(draft)
    text = draft.source().render()
    write_whole(target, text.encode())
    marks = marks_in(text)
    written = Written(
        gate_file=str(target),
        model=facts,
        images=None if found is None else _plain(found),
        preprocessing={
            "Preprocess": preprocess_source(draft.choice.spec),
            "why": draft.choice.reason,
        },
        fill_in={str(line): mark.text for line, mark in marks if mark.kind == FILL_IN},
        check={str(line): mark.text for line, mark in marks if mark.kind == CHECK},
        outlook=sentences,
    )
    if given.json:
        output.as_json(written)
    else:
        _tell(written, found)
    return DONE


def _with_images(draft: Draft) -> tuple[Draft, tuple[str, ...]]:
    """Read the images, choose the preprocessing and the live class, and look ahead.

    Raises:
        DataError, LeakageError: the images cannot be used as they are.
    """
    model = draft.model()
    if model is None:
        return draft, ()
    from ..bench.beforehand import of_trials
    from ..context.scratch import scratch_context
    from .preprocessing import best, candidates

    context = scratch_context(threads=os.cpu_count() or 1, progress=output.progress())
    variants = _variants(draft, context)
    data = variants.data
    if draft.labelled:
        if draft.facts.family == "liveness" and draft.facts.values > 1:
            draft = replace(draft, live_class=_live_class(draft, context))
            variants = _variants(draft, context)
        specs = candidates(draft.choice.spec, ranges=draft.facts.dtype != "uint8")
        with context.stage("trying ways to prepare images"):
            draft = draft.with_choice(best(variants, draft.choice, specs))
    outlook = of_trials("", data.evaluation.size, variants.task.prospects(data))
    return draft, tuple(line.removeprefix(": ") for line in outlook.lines())


def _variants(draft: Draft, context: Context) -> Variants:
    from ..bench.variants import Variants
    from ..tasks.registry import task_of

    model = draft.model()
    assert model is not None

    def resolve(path: Any, attribute: str) -> Path:
        return Path(path)

    task = task_of(model, model.task.limits(), resolve)
    return Variants(context, model, task, resolve)


def _live_class(draft: Draft, context: Context) -> int | None:
    """The class whose scores tell live faces from attacks best; None if the labels cannot tell."""
    from ..bench.better_preprocessing import qualities_on_few
    from .preprocessing import FEW_PEOPLE

    found: dict[int, float] = {}
    for index in range(draft.facts.values):
        variants = _variants(replace(draft, live_class=index), context)
        _, (quality,) = qualities_on_few(variants, [draft.choice.spec], FEW_PEOPLE)
        if quality is not None:
            found[index] = quality.value
    return max(found, key=found.__getitem__) if found else None


def _plain(found: Found) -> dict[str, Any]:
    paths = {name: getattr(found, name) for name in ("data", "labels", "calibration", "selection")}
    return {
        "format": found.kind,
        **{name: None if path is None else str(path) for name, path in paths.items()},
        "classes": list(found.classes),
    }


def _tell(written: Written, found: Found | None) -> None:
    from .image_formats import TITLES

    facts = written.model
    output.say(f"{facts.path}: {FAMILIES[facts.family]}, since {facts.why}")
    batch = f", {facts.batch} images at once" if facts.batch > 1 else ""
    output.fact("input", f"{facts.input}, {facts.dtype}, {facts.shape} ({facts.layout}){batch}")
    shapes = [f"{name} {'x'.join(map(str, shape))}" for name, shape in facts.outputs.items()]
    more = f", and {len(shapes) - 4} more" if len(shapes) > 4 else ""
    output.fact("outputs", ", ".join(shapes[:4]) + more)
    note = f"; {facts.opset_note}" if facts.opset_note else ""
    output.fact("file", f"{output.megabytes(facts.size_bytes)}, opset {facts.opset}{note}")
    how, why = written.preprocessing.values()
    output.fact("preprocessing", f"{how}: {why}")
    if found is None:
        output.fact("images", "none given")
    else:
        reason = f" ({found.why_unlabelled})" if found.why_unlabelled else ""
        output.fact("images", f"{found.data}: {TITLES[found.kind]}{reason}")
        beside = {"selection": found.selection, "calibration": found.calibration}
        for name, path in beside.items():
            if path is not None:
                output.fact(name, str(path))
    output.say()
    output.say(f"wrote {written.gate_file}")
    for title, marks in (("FILL IN", written.fill_in), ("CHECK", written.check)):
        for line, text in marks.items():
            output.point(f"line {line}: {text}", title)
    for sentence in written.outlook:
        output.point(sentence, "data:")
    output.say()
    if written.fill_in:
        output.say("next: fill in the lines marked FILL IN; the gate does not run before. Then:")
    else:
        output.say("next:")
    output.command(f"pytest {written.gate_file} --kycquant-update-golden")
    output.command(f"pytest {written.gate_file}")
    output.say("The first one is needed once: it records FP32's baseline.")
