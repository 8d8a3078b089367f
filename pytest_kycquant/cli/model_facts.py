"""What a model file tells about itself: its family, how outputs are read, what is left open."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ModelError
from ..quantize import LoadedModel, load_model
from ..runtimes import library
from ..spec.model import Layout
from ..tasks.detection.decode import Decoder
from ..tasks.detection.layouts import LAYOUTS
from ..tasks.detection.layouts.base import Told
from ..tasks.outputs import fed, run_once
from .families import Family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outputs = list[NDArray[Any]]

# What is tried where the file leaves height and width open: detectors run at multiples of 32 only.
_SIZES = (640, 320, 224, 160, 128, 112, 80, 64, 48, 32, 16)
_USUAL = {"face": 112, "liveness": 80, "detector": 640, "other": 224}
_EMBEDDING = 64  # numbers that an embedding has at least
_CLASSES = 4  # classes that a liveness model has at most
_MOST_CLASSES = 100
_KEYPOINTS = (0, 5, 17)  # none, those of a face, those of a person
_NOISE = 3  # images of noise, of different strength


@dataclass(frozen=True)
class Detector:
    """One way to read the outputs of a detector.

    Args:
        layout: the name of the layout in `LAYOUTS`.
        classes: number of classes.
        keypoints: number of keypoints of each box.
        scores: whether the scores are probabilities or logits.
    """

    layout: str
    classes: int
    keypoints: int
    scores: Literal["probabilities", "logits"]

    @property
    def text(self) -> str:
        """The layout in words."""
        points = f", {self.keypoints} keypoints" if self.keypoints else ""
        plural = "class" if self.classes == 1 else "classes"
        return f"{LAYOUTS[self.layout].title}; {self.classes} {plural}{points}"


@dataclass(frozen=True)
class ModelFacts:
    """What was found in a model file.

    Args:
        path: the file.
        size_bytes: size of the file and its external data.
        opset: version of the standard operator set.
        input: name of the input.
        dtype: its type, as numpy names it.
        shape: its shape in words, such as 1x3x112x112.
        height_width: (height, width) of the input in pixels.
        open_size: whether the file leaves height and width open, so that `height_width` is only
            usual for the family.
        layout: order of the axes.
        depth: number of colour channels, 1 or 3.
        batch: number of images in each run.
        outputs: name -> shape for one image.
        family: what kind of model it is.
        why: the reason for the family, in words.
        output: the output that counts, if there are several and one does; else "".
        detectors: the ways to read the outputs of a detector, the likeliest first.
        class_names: names of its classes, if the file holds them.
        values: number of values of a liveness model.
        probabilities: whether the values of a liveness model are probabilities already.
        opset_note: what is done about an old opset, or "".
    """

    path: str
    size_bytes: int
    opset: int
    input: str
    dtype: str
    shape: str
    height_width: tuple[int, int]
    open_size: bool
    layout: Layout
    depth: int
    batch: int
    outputs: Mapping[str, tuple[int, ...]]
    family: Family
    why: str
    output: str = ""
    detectors: tuple[Detector, ...] = ()
    class_names: tuple[str, ...] = ()
    values: int = 0
    probabilities: bool = False
    opset_note: str = ""


def look_at(path: Path, family: Family | None = None) -> ModelFacts:
    """Read a model and run it on noise.

    Args:
        path: the FP32 ONNX file.
        family: the family that the user names; None finds it.

    Raises:
        ModelError: the file cannot be gated, does not take an image, or does not run.
    """
    loaded = load_model(path)
    (only,) = loaded.inputs
    layout, depth = _axes(loaded)
    dims = only.shape or ()
    height, width = (dims[2], dims[3]) if layout == "NCHW" else (dims[1], dims[2])
    # A family that is named says which size is usual, unless the model does not run at it.
    usual = () if family is None else (_USUAL[family],)
    sizes = [(height or side, width or side) for side in (*usual, *_SIZES)]
    size, samples = _run(loaded, layout, depth, list(dict.fromkeys(sizes)))
    is_open = height is None or width is None
    names = _class_names(loaded)
    found = ModelFacts(
        path=str(path),
        size_bytes=loaded.size,
        opset=loaded.opset,
        input=only.name,
        dtype=only.dtype,
        shape=only.text,
        height_width=size,
        open_size=is_open,
        layout=layout,
        depth=depth,
        batch=loaded.feeding.batch,
        outputs={
            name: tuple(map(int, array.shape))
            for name, array in zip(loaded.output_names, samples[0], strict=True)
        },
        family=family or "other",
        why="as you say" if family else "",
        class_names=names,
        opset_note="recipes start from opset 17" if loaded.opset < 17 else "",
    )
    found = _as_family(found, samples)
    if is_open and family is None and found.family != "detector":
        usual_side = _USUAL[found.family]
        found = replace(found, height_width=(height or usual_side, width or usual_side))
    return found


def _axes(loaded: LoadedModel) -> tuple[Layout, int]:
    """The order of the axes and the number of channels of the input."""
    (only,) = loaded.inputs
    dims = only.shape or ()
    for layout, place in (("NCHW", 1), ("NHWC", 3)):
        if dims[place] in (1, 3):
            return layout, int(dims[place] or 3)  # type: ignore[return-value]
    if dims[1] is None:
        return "NCHW", 3
    raise ModelError(
        loaded.path,
        f"input {only.name} is {only.text}, without an axis of 1 or 3 colours",
        "give a model that takes grey or colour images, or judge it by CustomTask with an .npz "
        "that has an array for its input",
    )


def _run(
    loaded: LoadedModel, layout: Layout, depth: int, sizes: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], list[Outputs]]:
    """Outputs for noise at the first size at which the model runs."""
    model = library().open(loaded.proto.SerializeToString())
    rng = np.random.default_rng(0)
    failed: ModelError | None = None
    for height, width in sizes:
        samples = []
        for strength in (1.0, 64.0, 255.0)[:_NOISE]:
            image = rng.uniform(0, strength, (height, width, depth)).astype(np.float32)
            tensor = image.transpose(2, 0, 1) if layout == "NCHW" else image
            samples.append(np.floor(tensor)[None] if strength > 1 else tensor[None])
        try:
            found = []
            for group in loaded.feeding.runs((str(i), each) for i, each in enumerate(samples)):
                given = fed(
                    model, loaded.feeding, [each for _, each in group], loaded.path, "noise"
                )
                outputs = run_once(model, given, loaded.path, "noise")
                found += loaded.feeding.split(outputs, len(group))
        except ModelError as error:
            failed = failed or error
            continue
        return (height, width), found
    assert failed is not None
    raise failed


def _as_family(found: ModelFacts, samples: Sequence[Outputs]) -> ModelFacts:
    """Find the family, or what the named family needs to know."""
    asked = found.family if found.why else None
    if asked in (None, "detector"):
        if detectors := _detectors(found, samples):
            why = found.why or f"its outputs are those of {detectors[0].text}"
            return replace(found, family="detector", detectors=detectors, why=why)
        if asked:
            shapes = ", ".join(map(str, found.outputs.values()))
            raise ModelError(
                found.path,
                f"outputs of the shapes {shapes} are in no layout of detectors that is known",
                "read them with a function of your own in decode=, see docs/detection.md",
            )
    vectors = {name: int(np.prod(shape)) for name, shape in found.outputs.items() if _flat(shape)}
    embeddings = [name for name, size in vectors.items() if size >= _EMBEDDING]
    scores = [name for name, size in vectors.items() if size <= _CLASSES]
    several = len(found.outputs) > 1
    if asked == "face" or (asked is None and len(embeddings) == 1 and not scores):
        name = (embeddings or list(found.outputs))[0]
        why = found.why or f"it returns a vector of {vectors[name]} numbers"
        return replace(found, family="face", output=name if several else "", why=why)
    if asked == "liveness" or (asked is None and len(scores) == 1 and not several):
        name = (scores or list(found.outputs))[0]
        values = np.concatenate(
            [np.ravel(one[list(found.outputs).index(name)])[None] for one in samples]
        )
        plural = "value" if values.shape[1] == 1 else "values"
        return replace(
            found,
            family="liveness",
            output=name if several else "",
            values=int(values.shape[1]),
            probabilities=_are_probabilities(values),
            why=found.why or f"it returns {values.shape[1]} {plural}, as a liveness model does",
        )
    shapes = ", ".join(f"{name} {shape}" for name, shape in found.outputs.items())
    return replace(found, family="other", why=found.why or f"its outputs are {shapes}")


def _flat(shape: Sequence[int]) -> bool:
    """Whether an output for one image is a vector: (1, N), (1, N, 1, 1) or (N,)."""
    return sum(side > 1 for side in shape) <= 1


def _are_probabilities(values: NDArray[Any]) -> bool:
    inside = bool((values >= 0).all() and (values <= 1).all())
    return inside and (values.shape[1] == 1 or bool(np.allclose(values.sum(axis=1), 1, atol=1e-3)))


def _class_names(loaded: LoadedModel) -> tuple[str, ...]:
    """Names of the classes, which Ultralytics writes into the file: {0: 'face'}."""
    text = {entry.key: entry.value for entry in loaded.proto.metadata_props}.get("names", "")
    with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        named = ast.literal_eval(text)
        values = named.values() if isinstance(named, dict) else named
        names = tuple(str(name) for name in values)
        if len(set(names)) == len(names) and all(name.isprintable() and name for name in names):
            return names
    return ()


def _detectors(found: ModelFacts, samples: Sequence[Outputs]) -> tuple[Detector, ...]:
    """All ways in which the outputs can be those of a detector, the likeliest first."""
    if all(_flat(shape) for shape in found.outputs.values()):
        return ()
    return tuple(_readings(found, samples))


def _readings(found: ModelFacts, samples: Sequence[Outputs]) -> Iterator[Detector]:
    named = len(found.class_names)
    numbers = [named] if named else range(1, _MOST_CLASSES + 1)
    shapes = [np.shape(output) for output in samples[0]]
    ways = [
        Detector(layout.name, classes, keypoints, scores)
        for keypoints in _KEYPOINTS
        for classes in numbers
        for layout in LAYOUTS.values()
        if layout.fits(shapes, Told(classes, keypoints, "probabilities", found.height_width))
        for scores in ("probabilities", "logits")
    ]
    sound = [way for way in ways if _is_sound(way, found, samples)]
    # Few classes are likelier than many, and probabilities are what most exports give.
    done: set[tuple[str, int, int]] = set()
    for way in sorted(sound, key=lambda way: (way.classes > 2, way.scores == "logits")):
        if (key := (way.layout, way.classes, way.keypoints)) not in done:
            done.add(key)
            yield way


def _is_sound(way: Detector, found: ModelFacts, samples: Sequence[Outputs]) -> bool:
    """Whether neither the layout nor the range of the scores contradicts a way."""
    told = Told(way.classes, way.keypoints, way.scores, found.height_width)
    layout = LAYOUTS[way.layout]
    try:
        with np.errstate(all="ignore"):
            if layout.misfit(samples, told):
                return False
            decoder = Decoder(
                way.classes, way.keypoints, way.scores, 0.7, found.height_width, layout=way.layout
            )
            for outputs in samples:
                scores = decoder.candidates(outputs).scores
                if len(scores) and scores.max() > 1 + 1e-3:
                    return False
    except (ModelError, ValueError, IndexError):
        return False
    return True
