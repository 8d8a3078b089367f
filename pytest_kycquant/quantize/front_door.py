"""Makes a quantized file in one call, without pytest or a gate file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..context.scratch import scratch_context
from ..data.calibration import load_calibration
from ..data.files import npz_names
from ..data.images import ImageSet
from ..data.images import preprocess as to_tensor
from ..data.prepared_rows import PreparedRows
from ..errors import DataError, ModelError, SpecError
from ..files import write_whole
from ..spec import coerce
from ..spec.constants import constants_of
from ..spec.model import Preprocess
from ..spec.recipe import RECIPES, Recipe, as_recipe
from .builder import calibration_of
from .built import ModelFile
from .images import RowImages, TensorImages, as_named, iterator_of
from .load import load_model
from .model_inputs import check_types
from .ort_format import OPERATORS, to_ort
from .quantizer import Quantizer
from .rewrites import nothing_to_rewrite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import Images, Named
    from .load import LoadedModel
    from .model_inputs import Shape

    StrPath = str | os.PathLike[str]
    Given = StrPath | Iterable[NDArray[Any] | tuple[str, NDArray[Any]]] | None

_PREPROCESS = "give Preprocess(size=..., mean=..., scale=..., channels=...)"
_NOISE = 8  # number of noise inputs to verify graphs on if there are no images


@coerce.call("quantize")
def quantize(
    model: StrPath,
    images: Given = None,
    recipe: str | Recipe = "int8",
    *,
    output: StrPath | None = None,
    preprocess: Preprocess | None = None,
    constants: Mapping[str, Any] | None = None,
    threads: int = 1,
    exact: bool = False,
    overwrite: bool = False,
) -> ModelFile:
    """Quantize a model and write the result, either completely or not at all.

    ::

        import pytest_kycquant

        face = pytest_kycquant.Preprocess(size=(112, 112), mean=127.5, scale=1 / 127.5)
        made = pytest_kycquant.quantize("face.onnx", "calibration/", "int8", preprocess=face)
        print(made.path, made.size, made.resolved["reason"])  # face.int8.onnx ...

    This does not tell whether the result may ship; that takes gates. Unless the recipe says which
    rewrites to use, each call measures which are faster here, so two calls may differ: set
    ``Recipe(..., rewrites=True)``, or False, to get the same file everywhere.

    Args:
        model: the FP32 ONNX file; it is never changed.
        images: 100 to 500 typical images, for recipes that need or can use them: a folder, an
            ``.npz`` file with ``images`` or with an array for each input, arrays, or (name, array)
            pairs. Arrays are float32
            tensors of the model's input shape or, with a `preprocess`, RGB pixels, uint8, (height,
            width, 3). None if there are no images.
        recipe: what to make: a precision, such as "int8", or a `Recipe`.
        output: the ``.onnx`` file to write, or ``.ort`` if that is the format of the recipe; None
            puts it in the model's folder and names it after the recipe, such as
            ``face.int8.onnx``.
        preprocess: how pixels become the model's input; needed for a folder or an ``.npz`` file
            with images.
        constants: value of each input that never changes, by its name, see `KycModel`.
        threads: number of images in flight at the same time; the result does not depend on it.
        exact: whether the result will be run without saturation (``--kycquant-exact``).
        overwrite: whether an existing file with different content may be replaced. The FP32 file
            never is.

    Returns:
        The file: `path`, `sha256`, `size` in bytes, `resolved` options with reasons, number of
        operators `quantized` by type, `notes`, and `exposure`: how many of its operators can
        saturate on CPUs without VNNI.

    Raises:
        ModelError: the model cannot be quantized.
        DataError: an image cannot be used.
        SpecError: the recipe is impossible or needs images, or the output cannot be written.
        QuantizationError: the recipe cannot be applied to this model.
    """
    if isinstance(images, Recipe) or (isinstance(images, str) and images in RECIPES):
        raise SpecError(
            _argument("images"),
            f"{images!r} is a recipe, not images",
            "write quantize(model, images, recipe), or quantize(model, recipe=...) without images",
        )
    path, wanted = _path("model", model), as_recipe(recipe, _argument("recipe"))
    if preprocess is not None and not isinstance(preprocess, Preprocess):
        raise SpecError(
            _argument("preprocess"), f"{coerce.shown(preprocess)} is not a Preprocess", _PREPROCESS
        )
    fixed = constants_of({} if constants is None else constants, _argument("constants"))
    threads = coerce.whole(_argument("threads"), threads, "give 1 or more")
    if threads < 1:
        raise SpecError(_argument("threads"), f"{threads} is too few", "give 1 or more")
    for name, flag in (("exact", exact), ("overwrite", overwrite)):
        if not isinstance(flag, bool):
            raise SpecError(
                _argument(name), f"{coerce.shown(flag)} is not a boolean", "use True or False"
            )
    if wanted.has_own_ladder:
        raise SpecError(
            _argument("recipe"),
            f"makes files for {wanted.runs_on.name}, and quantize() makes ONNX files",
            "name it in precisions of a gate class, and export what ships",
        )
    target = _target(path, wanted, output)
    _refuse_target(path, target)
    context = scratch_context(threads=threads, exact=exact)
    shape: Shape | Mapping[str, Shape] | None = preprocess.shape if preprocess else None
    if images is None:
        _require_none(path, wanted)
        probes = _noise(load_model(path, fixed), preprocess.shape if preprocess else None)
        quantizer = Quantizer(path, probes=probes, shape=shape, constants=fixed, context=context)
    else:
        given = _images(images, preprocess)
        if isinstance(given, RowImages):
            shape = given.shapes
        quantizer = Quantizer(path, given, shape=shape, constants=fixed, context=context)
    if preprocess is not None and not isinstance(shape, Mapping):
        check_types(path, quantizer.loaded.inputs, preprocess)
    _refuse_sources(quantizer.loaded, target)
    choice = quantizer.choice(wanted)
    if wanted.precision == "fp32-optimized" and not choice.names:
        raise nothing_to_rewrite(f"{path.name} as {wanted.name}", choice.describe())
    made = quantizer.build(wanted.as_onnx)
    content, resolved = made.content, made.resolved | {"rewrites": choice.describe()}
    companions = {}
    if wanted.format is not None:
        content, companions[OPERATORS] = to_ort(content, target, exact=exact)
        resolved["format"] = wanted.format
    _write(content, target, overwrite=overwrite)
    return ModelFile(
        path=target,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        resolved=resolved,
        quantized=made.quantized,
        notes=made.notes,
        exposure=made.exposure,
        runtime=wanted.runs_on,
        companions=companions,
    )


def _argument(name: str) -> str:
    """Where an argument stands, for messages."""
    return f"quantize({name}=...)"


def _path(name: str, value: Any) -> Path:
    """Turn an argument into a path."""
    remedy = "give the path of an .onnx file"
    path = Path(coerce.path(_argument(name), value, remedy))
    if not path.name:
        raise SpecError(_argument(name), f"{path} is not a file", remedy)
    return path


# The output


def _target(model: Path, recipe: Recipe, output: StrPath | None) -> Path:
    """Path of the file to write."""
    suffix = f".{recipe.format or 'onnx'}"
    if output is None:
        label = re.sub(r"[^\w.+-]+", "-", recipe.name).strip("-.") or recipe.precision
        label = label.removesuffix("-ort") if recipe.format else label
        return model.with_name(f"{model.stem}.{label}{suffix}")
    target = _path("output", output)
    if target.suffix != suffix:
        raise SpecError(
            _argument("output"),
            f"{target} is not an {suffix} file",
            f"give a name such as model.int8{suffix}",
        )
    if not target.parent.is_dir():
        raise SpecError(
            _argument("output"), f"{target.parent} is not a folder", "create it or name another"
        )
    return target


def _refuse_target(model: Path, target: Path) -> None:
    """Refuse a target that can never be written, before any work is done.

    Whether an existing file already holds the result is known only afterwards.
    """
    try:
        exists = model.is_file()
    except OSError:  # such as a name that is too long
        exists = False
    if not exists:
        raise ModelError(model, "is not a file", "give the path of an FP32 .onnx file")
    try:
        if target.is_dir():
            raise SpecError(_argument("output"), f"{target} is a folder", "give the name of a file")
        if target.exists() and not target.is_file():  # reading a FIFO would never end
            raise SpecError(
                _argument("output"), f"{target} is not a regular file", "name another file"
            )
        if target.is_symlink() and not target.exists():
            raise SpecError(
                _argument("output"), f"{target} is a link to nothing", "remove it or name a file"
            )
    except (OSError, ValueError) as error:  # such as a name that is too long, or with a NUL
        raise SpecError(
            _argument("output"),
            f"{coerce.shown(str(target))} cannot be a file ({error})",
            'name another file, or give the recipe a shorter name: Recipe(..., name="...")',
        ) from error


def _refuse_sources(model: LoadedModel, target: Path) -> None:
    """Refuse a target that is part of the FP32 model."""
    for source in model.files:
        if target.exists() and target.samefile(source):
            raise SpecError(
                _argument("output"), f"{target} is part of the FP32 model", "name another file"
            )


def _write(content: bytes, target: Path, *, overwrite: bool) -> None:
    """Write a file completely or not at all; leave a file with the same content as it is."""
    try:
        known = target.read_bytes() if target.exists() else None
        if known == content:
            return
        if known is not None and not overwrite:
            raise SpecError(
                _argument("output"),
                f"{target} exists and has different content",
                "name another file or set overwrite=True",
            )
        write_whole(Path(os.path.realpath(target)), content)  # a link stays a link
    except OSError as error:
        raise SpecError(
            _argument("output"),
            f"{target} cannot be written ({error.strerror or error})",
            "free some space or name another file",
        ) from error


# The images


def _images(given: Any, spec: Preprocess | None) -> Images:
    """Convert images from any of the accepted forms."""
    if isinstance(given, (str, os.PathLike)):
        given = Path(coerce.path(_argument("images"), given))
        if not os.path.lexists(given):  # the method raises errors for some names
            raise DataError(given, "does not exist", "give a folder of images or an .npz file")
        if given.suffix.lower() == ".npz" and "images" not in npz_names(given):
            return RowImages(PreparedRows(spec), given)
        if spec is None:
            raise SpecError(
                _argument("preprocess"),
                f"images from {given} need preprocessing, but none is given",
                _PREPROCESS,
            )
        return _Preprocessed(load_calibration(given), spec)
    remedy = "give a folder, an .npz file, arrays, or (name, array) pairs"
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise SpecError(_argument("images"), f"{coerce.shown(given)} contains no images", remedy)
    if isinstance(given, Mapping):
        raise SpecError(_argument("images"), "is a mapping", "give (name, array) pairs")
    return TensorImages(given if spec is None else _of_pixels(given, spec))


def _of_pixels(
    arrays: Iterable[Any], spec: Preprocess
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Preprocess arrays of pixels."""
    for index, each in enumerate(iterator_of(arrays)):
        name, array = as_named(index, each)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise DataError(
                name,
                f"is {array.dtype} of shape {array.shape}, not RGB pixels",
                "give uint8 of shape (height, width, 3), or tensors without preprocess",
            )
        yield name, to_tensor(array, spec, name)


class _Preprocessed:
    """Images of a folder or an ``.npz`` file, preprocessed for a model."""

    def __init__(self, images: ImageSet, spec: Preprocess) -> None:
        self._images = images
        self._spec = spec

    @property
    def digest(self) -> str:
        return self._images.digest

    def __len__(self) -> int:
        return len(self._images)

    def named(self, indices: Sequence[int] | None = None) -> Iterator[Named]:
        images = self._images
        for index in range(len(images)) if indices is None else indices:
            tensor = to_tensor(images.pixels(index), self._spec, images.where(index))
            yield images.names[index], tensor


def _require_none(model: Path, recipe: Recipe) -> None:
    """Refuse a recipe that needs images."""
    if calibration_of(recipe) is not None or recipe.bias_correction:
        raise SpecError(
            f"precision {recipe.name!r} of {model.name}",
            "needs calibration images",
            "give a folder of 100 to 500 typical images",
        )


def _noise(model: LoadedModel, shape: Sequence[int] | None) -> Images:
    """Seeded noise to verify graphs on if there are no images."""
    dims = model.input_shape if shape is None else shape
    if None in dims[1:]:
        raise ModelError(
            model.path,
            "the input has no fixed height and width",
            "give images or Preprocess(size=...), or export the model with a fixed size",
        )
    sizes = [1, *(size or 1 for size in dims[1:])]
    low, high = (0.0, 256.0) if model.inputs[0].dtype == "uint8" else (-1.0, 1.0)
    rng = np.random.default_rng(0)
    given = (rng.uniform(low, high, sizes).astype(np.float32) for _ in range(_NOISE))
    return TensorImages(np.floor(image) if high > 1 else image for image in given)
