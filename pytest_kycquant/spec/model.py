"""What a gate file declares about a model and its preprocessing.

The other parts of a gate file are in `tasks.py`, `limits.py` and `recipe.py`.

Everything here is a frozen, pure description. Nothing is read from disk and nothing heavy is
imported. Values that can never work are refused on construction with `SpecError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import SpecError
from . import coerce
from .constants import constants_of
from .functions import check_function
from .task import StrPath, TaskSpec

Resize = Literal[
    "bilinear", "opencv-bilinear", "opencv-area", "opencv-nearest", "letterbox", "none"
]
Channels = Literal["RGB", "BGR", "GRAY"]
Layout = Literal["NCHW", "NHWC"]
Fit = Literal["stretch", "letterbox", "top-left", "crop"]
_PAD = 114  # grey, as YOLO models are trained
_LONGEST_NAME = 100  # bytes; goldens and exports append to it, and file systems allow 255


@coerce.arguments
@dataclass(frozen=True)
class Preprocess:
    """How image pixels become the model's input tensor.

    ``x = (pixel - mean) * scale`` with pixel in 0..255, then the layout is applied. With
    `standardize`, mean and scale are those of each image.

    Args:
        size: (height, width) of the model input in pixels.
        mean: value subtracted from each pixel; one number, or one per channel in `channels` order.
        scale: factor applied afterwards; one number, or one per channel in `channels` order.
        channels: order of the colour channels that the model was trained with.
        layout: "NCHW" or "NHWC".
        resize: how images of another size get theirs. "bilinear" is Pillow's, which antialiases;
            "opencv-bilinear", "opencv-area" and "opencv-nearest" are those of ``cv2.resize``, bit
            for bit. Use what production uses: the scores of a liveness model can differ by more
            than quantization changes them. "none" refuses such images, for data that must already
            be aligned. "letterbox" is short for "bilinear" with ``fit="letterbox"``.
        fit: where a resized image goes. "stretch" fills the input whatever the aspect ratio;
            "letterbox" keeps the aspect ratio and pads around the image, as YOLO models expect;
            "top-left" does the same but pads only at the right and the bottom, as InsightFace's
            detectors expect; "crop" fills the input and cuts off what is left over on both sides.
        pad: colour of the padding, before `channels` and `mean` are applied: one number in 0..255,
            or a tuple (red, green, blue). 114 for YOLO models, 0 for InsightFace's detectors, the
            mean colour for models that pad with zeros after normalization, as mmdetection does.
        standardize: True for standardization of each image, FaceNet's "prewhitening":
            ``(x - x.mean()) / max(x.std(), 1 / sqrt(x.size))`` over all pixels and channels of the
            input, padding included; `mean` and `scale` are then left out.
        function: a function of your own from RGB pixels, (height, width, 3) uint8, to the tensor of
            one image: float32 of the shape that `size`, `layout` and the depth of `channels` give,
            with or without the axis of the batch. It replaces everything else; only `fit` remains,
            which tells a detector where the image lies in the input. The golden depends on its
            source and on all that it uses.
    """

    size: tuple[int, int]
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    channels: Channels = "RGB"
    layout: Layout = "NCHW"
    resize: Resize = "bilinear"
    fit: Fit = "stretch"
    pad: float | tuple[float, float, float] = _PAD
    # The repr of a function contains its address, which differs between workers.
    function: Callable[..., Any] | None = field(default=None, repr=False)
    standardize: bool = False

    def __post_init__(self) -> None:
        remedy = "give (height, width) as two positive integers, such as (112, 112)"
        size = coerce.items("Preprocess.size", self.size, remedy)
        sides = tuple(coerce.whole("Preprocess.size", side, remedy) for side in size)
        if len(sides) != 2 or min(sides) < 1:
            problem = f"{coerce.shown(self.size)} is not (height, width)"
            raise SpecError("Preprocess.size", problem, remedy)
        object.__setattr__(self, "size", sides)
        for name, allowed in (
            ("channels", get_args(Channels)),
            ("layout", get_args(Layout)),
            ("resize", get_args(Resize)),
            ("fit", get_args(Fit)),
        ):
            known = coerce.choice(f"Preprocess.{name}", getattr(self, name), allowed)
            object.__setattr__(self, name, known)
        if self.resize in ("letterbox", "none") and self.fit != "stretch":
            raise SpecError(
                "Preprocess.fit",
                f'{self.fit!r} contradicts resize="{self.resize}"',
                'leave it out, or give resize="bilinear" or "opencv-bilinear"',
            )
        object.__setattr__(self, "pad", self._pad())
        if not self.pads and self.pad != _PAD:
            raise SpecError(
                "Preprocess.pad",
                "has no effect, because nothing is padded",
                'leave it out, or give fit="letterbox" or fit="top-left"',
            )
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            object.__setattr__(self, name, self._per_channel(f"Preprocess.{name}", value))
        standardize = coerce.switch("Preprocess.standardize", self.standardize, optional=False)
        object.__setattr__(self, "standardize", standardize)
        if self.function is not None:
            self._check_function()
        if self.standardize:
            self._refuse_ignored(("mean", "scale"), "each image has its own", "standardize=True")
        if 0 in (self.scale if isinstance(self.scale, tuple) else (self.scale,)):
            raise SpecError(
                "Preprocess.scale",
                "0 makes every image the same",
                "give the factor used in training, such as 1 / 127.5",
            )

    def _check_function(self) -> None:
        where, remedy = "Preprocess.function", "give a function of the pixels of one image"
        check_function(where, self.function, 1, remedy)
        names: tuple[str, ...] = ("mean", "scale", "resize", "pad", "standardize")
        names += ("channels",) if self.channels != "GRAY" else ()
        self._refuse_ignored(names, "the function prepares the image", "function=")

    def _refuse_ignored(self, names: tuple[str, ...], reason: str, instead: str) -> None:
        """Refuse other values than the defaults for fields that something else replaces."""
        for name in names:
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise SpecError(
                    f"Preprocess.{name}",
                    f"has no effect, because {reason}",
                    f"leave it out, or do without {instead}",
                )

    def _pad(self) -> float | tuple[float, float, float]:
        """The colour of the padding; one number for a grey, and an int where it is whole."""
        where, remedy = "Preprocess.pad", "give a number from 0 to 255, or (red, green, blue)"
        several = coerce.is_several(self.pad)
        given = coerce.items(where, self.pad, remedy) if several else (self.pad,)
        values = [coerce.number(where, value, remedy) for value in given]
        for value in values:
            if not 0 <= value <= 255:
                raise SpecError(where, f"{value:g} is not a pixel", remedy)
        if len(values) not in (1, 3) or (len(values) == 3 and self.channels == "GRAY"):
            problem = f"{coerce.shown(self.pad)} is not a colour"
            raise SpecError(where, f"{problem} of {self.channels} images", remedy)
        whole = [int(value) if value == int(value) else value for value in values]
        if len(set(whole)) == 1:
            return whole[0]
        return (whole[0], whole[1], whole[2])

    def _per_channel(self, where: str, value: Any) -> float | tuple[float, ...]:
        remedy = f"give one finite number or a tuple of {self.depth}"
        if not isinstance(coerce.scalar(value), Iterable) or isinstance(value, str):
            return coerce.number(where, value, remedy)
        entries = coerce.items(where, value, remedy)
        values = tuple(coerce.number(where, entry, remedy) for entry in entries)
        if len(values) != self.depth:
            raise SpecError(where, f"{coerce.shown(value)} does not fit {self.channels}", remedy)
        return values

    @property
    def placement(self) -> Fit:
        """Where a resized image goes."""
        return "letterbox" if self.resize == "letterbox" else self.fit

    @property
    def pads(self) -> bool:
        """Whether images that do not have the aspect ratio of the input are padded."""
        return self.placement in ("letterbox", "top-left")

    @property
    def depth(self) -> int:
        """Number of channels."""
        return 1 if self.channels == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one input tensor, with a batch of one."""
        height, width = self.size
        if self.layout == "NCHW":
            return (1, self.depth, height, width)
        return (1, height, width, self.depth)


@coerce.arguments
@dataclass(frozen=True)
class KycModel:
    """The FP32 model under test and what is needed to quantize and to evaluate it.

    Relative paths are looked up below pytest's rootdir, then beside the gate file.

    Args:
        path: the FP32 ONNX file, which is never changed. Several files are judged as one system
            that averages their scores, as MiniFASNet is deployed (liveness only).
        preprocess: how images become the input tensor. For several files, give one for each or one
            for all. For rows of named arrays (`CustomTask`), one for all arrays of images, one for
            each by its name, or None if there are no images.
        task: the evaluation data and how to score it.
        calibration: folder of 100 to 500 images, or ``.npz`` with ``images`` or with the arrays of
            the inputs, for static INT8.
        source: the torch model that the file was exported from: ``"model.pt2"``; or the place of an
            nn.Module, or of a function without arguments that returns one,
            ``"package.module:attribute"`` or ``"file.py:attribute"``. Before anything is quantized,
            the outputs of the file are compared with its outputs on a few images. For several
            files, give one for each.
        constants: value of each further input that never changes, by its name, such as
            ``{"phase_train": False}``: a boolean, a number, or an array of the shape of the input.
            Variants contain the value and no longer have the input.
        litert: the float ``.tflite`` file of the same model, from which LiteRT's precisions are
            made; for several files, one for each. Without it, the ONNX file is converted.
        name: name of the golden file and of the rows in the table; defaults to the file's stem.
    """

    path: StrPath | tuple[StrPath, ...]
    preprocess: Preprocess | tuple[Preprocess, ...] | Mapping[str, Preprocess] | None = field(
        hash=False
    )
    task: TaskSpec
    calibration: StrPath | None = None
    name: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: StrPath | tuple[StrPath, ...] | None = None
    litert: StrPath | tuple[StrPath, ...] | None = None

    def __post_init__(self) -> None:
        if coerce.is_several(self.path):
            given = coerce.items("KycModel.path", self.path, "give the paths of .onnx files")
            paths = tuple(coerce.path("KycModel.path", path) for path in given)
            object.__setattr__(self, "path", paths)
        else:
            paths = (coerce.path("KycModel.path", self.path),)
            object.__setattr__(self, "path", paths[0])
        if isinstance(self.preprocess, list):
            object.__setattr__(self, "preprocess", tuple(self.preprocess))  # lists have no hash
        by_name = self._by_name() if isinstance(self.preprocess, Mapping) else None
        if by_name is not None:
            object.__setattr__(self, "preprocess", by_name)
        if self.calibration is not None:
            calibration = coerce.path("KycModel.calibration", self.calibration)
            object.__setattr__(self, "calibration", calibration)
        object.__setattr__(self, "constants", constants_of(self.constants))
        if self.source is not None:
            object.__setattr__(self, "source", self._source(len(paths)))
        object.__setattr__(self, "litert", self._litert(len(paths)))
        if len(set(self.stems)) != len(paths) or not paths:
            raise SpecError(
                "KycModel.path",
                f"{coerce.shown(self.path)} does not give files with different names",
                "give one path, or several whose names differ",
            )
        name = coerce.scalar(self.name)
        if isinstance(name, str):
            object.__setattr__(self, "name", str.__str__(name) or "+".join(self.stems))
        if not all(isinstance(one, Preprocess) for one in self.preprocesses):
            raise SpecError(
                "KycModel.preprocess",
                f"{coerce.shown(self.preprocess)} is not a Preprocess",
                "give Preprocess(size=..., mean=..., scale=..., channels=...)",
            )
        if self._is_of_arrays and not getattr(self.task, "takes_arrays", True):
            raise SpecError(
                "KycModel.preprocess",
                f"{coerce.shown(self.preprocess)} does not prepare images",
                "give Preprocess(size=..., mean=..., scale=..., channels=...); only CustomTask "
                "judges models of other arrays",
            )
        if len(self.preprocesses) != len(paths) and not self._is_of_arrays:
            raise SpecError(
                "KycModel.preprocess",
                f"there are {len(self.preprocesses)} for {len(paths)} files",
                "give one for each file, or one for all",
            )
        if not isinstance(self.task, TaskSpec):
            raise SpecError(
                "KycModel.task",
                f"{coerce.shown(self.task)} is not a task",
                "give FaceVerification, LivenessDetection, ObjectDetection or CustomTask",
            )
        self.task.check_files(len(paths))
        if not is_file_name(self.name):
            raise SpecError(
                "KycModel.name",
                f"{coerce.shown(self.name)} is not a file name",
                "use letters, digits, '-', '_' and '.', at most 100",
            )

    def _source(self, count: int) -> str | tuple[str, ...]:
        """The sources of the files, as text."""
        where = "KycModel.source"
        several = coerce.is_several(self.source)
        remedy = 'give "model.pt2", "package.module:attribute" or "file.py:attribute"'
        given = coerce.items(where, self.source, remedy) if several else (self.source,)
        texts = tuple(os.fspath(coerce.path(where, each, remedy)) for each in given)
        for text in texts:
            place, colon, name = text.rpartition(":")
            named = colon and place and all(part.isidentifier() for part in name.split("."))
            if not (text.lower().endswith(".pt2") or named):
                raise SpecError(where, f"{coerce.shown(text)} is not a torch model", remedy)
        if len(texts) != count:
            problem = f"there are {len(texts)} for {count} files"
            raise SpecError(where, problem, "give one for each file, in their order")
        return texts if several else texts[0]

    def _litert(self, count: int) -> StrPath | tuple[StrPath, ...] | None:
        """The float files for LiteRT: one path, or one for each file of the model."""
        where, given = "KycModel.litert", self.litert
        if given is None:
            return None
        remedy = "give the path of a .tflite file for each file of the model"
        several = coerce.is_several(given)
        each = coerce.items(where, given, remedy) if several else (given,)
        paths = tuple(coerce.path(where, path) for path in each)
        if len(paths) != count:
            raise SpecError(where, f"names {len(paths)} files for {count} of the model", remedy)
        return paths if several else paths[0]

    def _by_name(self) -> dict[str, Preprocess]:
        """The preprocessing of each array of images."""
        assert isinstance(self.preprocess, Mapping)
        remedy = 'give Preprocess by the names of arrays, such as {"selfie": Preprocess(...)}'
        given = self.preprocess
        items: dict[str, Preprocess] = coerce.guarded(lambda: dict(given), {})
        for name, spec in items.items():
            if not isinstance(name, str) or not isinstance(spec, Preprocess):
                shown = f"{coerce.shown(name)}: {coerce.shown(spec)}"
                raise SpecError("KycModel.preprocess", f"{shown} is not a Preprocess", remedy)
        if not items:
            raise SpecError("KycModel.preprocess", "names no arrays", f"{remedy}, or None")
        return items

    @property
    def _is_of_arrays(self) -> bool:
        return self.preprocess is None or isinstance(self.preprocess, Mapping)

    @property
    def paths(self) -> tuple[StrPath, ...]:
        """The FP32 files."""
        return self.path if isinstance(self.path, tuple) else (self.path,)

    @property
    def sources(self) -> tuple[str, ...]:
        """The torch models that the FP32 files were exported from; empty if none are named."""
        given: Any = self.source
        return given if isinstance(given, tuple) else (given,) if given is not None else ()

    @property
    def litert_paths(self) -> tuple[StrPath | None, ...]:
        """The float file for LiteRT of each file; None where it is converted."""
        if isinstance(self.litert, tuple):
            return self.litert
        return (self.litert,) * len(self.paths)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the files without folder and suffix; they identify the files."""
        return tuple(Path(path).stem for path in self.paths)

    @property
    def preprocesses(self) -> tuple[Preprocess, ...]:
        """The preprocessing for each file; empty for arrays that are prepared by name, or not."""
        if isinstance(self.preprocess, tuple):
            return self.preprocess
        if self.preprocess is None or isinstance(self.preprocess, Mapping):
            return ()
        return (self.preprocess,) * len(self.paths)

    @property
    def functions(self) -> tuple[tuple[str, Callable[..., Any]], ...]:
        """The functions of the user's, with the argument that each was given as."""
        specs = self.preprocesses
        if isinstance(self.preprocess, Mapping):
            specs = tuple(self.preprocess.values())
        given = [("Preprocess.function", one.function) for one in specs]
        kind = type(self.task).__name__
        names = ("metric", "decode")
        given += [(f"{kind}.{name}", getattr(self.task, name, None)) for name in names]
        return tuple((where, function) for where, function in given if function is not None)


def is_file_name(name: object) -> bool:
    """Whether a text can be the stem of a file: in the folder where it is put, and printable."""
    if not isinstance(name, str) or not name.isprintable() or name != name.strip():
        return False
    inside = not name.startswith(".") and not {"/", "\\", os.sep}.intersection(name)
    return inside and 0 < len(name.encode()) <= _LONGEST_NAME
