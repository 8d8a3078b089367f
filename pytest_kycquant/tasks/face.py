"""Face verification: its data, its embeddings and what they say about a variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.calibration import load_calibration
from ..data.faces import FaceSet, load_faces, selection_mask, split_subjects
from ..data.images import ImageSet, preprocess
from ..data.leakage import check_disjoint, check_disjoint_subjects
from ..data.pair_lists import load_pairs
from ..data.pairs import Comparisons, all_pairs, check_comparable, sample_pairs
from ..errors import ModelError
from ..runtime import ordered_map
from ..spec import FaceVerification, KycModel, Preprocess, StrPath

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Resolve = Callable[[StrPath, str], Path]


@dataclass(frozen=True)
class FaceData:
    """Images and comparisons of one gate, with the promises between them checked.

    Args:
        evaluation: images on which the verdict is given.
        comparisons: pairs among them.
        selection: images of other identities, for the threshold and for searching; None if the
            threshold is given and no selection split was asked for.
        selection_comparisons: all pairs among those.
        calibration: images for static quantization; None if the gate file names none.
        dropped: comparisons of a pair list that cross the split and therefore belong to neither.
    """

    evaluation: FaceSet
    comparisons: Comparisons
    selection: FaceSet | None
    selection_comparisons: Comparisons | None
    calibration: ImageSet | None
    dropped: int

    def digest(self) -> dict[str, Any]:
        """Plain values that change whenever evaluation or selection would."""
        return {
            "evaluation": self.evaluation.digest,
            "pairs": self.comparisons.digest,
            "selection": self.selection.digest if self.selection else None,
        }


def load(model: KycModel, resolve: Resolve) -> FaceData:
    """Read the data of a face model and check that its parts are disjoint.

    Args:
        model: what the gate file says.
        resolve: turns a path of the gate file (and the attribute that names it) into a real one.

    Raises:
        DataError: images or labels cannot be used.
        LeakageError: calibration, selection and evaluation overlap.
    """
    task = model.task
    root = resolve(task.data, "FaceVerification.data")
    faces = load_faces(root)
    pairs = load_pairs(resolve(task.pairs, "FaceVerification.pairs"), faces) if task.pairs else None
    selection: FaceSet | None = None
    evaluation, dropped = faces, 0
    if isinstance(task.selection, float):
        evaluation, selection = split_subjects(faces, task.selection)
        if pairs is not None:
            pairs, dropped = pairs.restrict(~selection_mask(faces, task.selection))
    elif task.selection is not None:
        selection = load_faces(resolve(task.selection, "FaceVerification.selection"))
    if pairs is None and task.max_impostor_pairs is not None:
        pairs = sample_pairs(evaluation, task.max_impostor_pairs)
    comparisons = pairs or all_pairs(evaluation)
    check_comparable(comparisons, root)
    chosen = all_pairs(selection) if selection is not None else None
    if selection is not None and chosen is not None:
        check_comparable(chosen, selection.images.origin)
        check_disjoint_subjects(evaluation, "evaluation", selection, "selection")
        check_disjoint(evaluation.images, "evaluation", selection.images, "selection")
    calibration = None
    if model.calibration is not None:
        calibration = load_calibration(resolve(model.calibration, "KycModel.calibration"))
        check_disjoint(calibration, "calibration", evaluation.images, "evaluation")
        if selection is not None:
            check_disjoint(calibration, "calibration", selection.images, "selection")
    return FaceData(evaluation, comparisons, selection, chosen, calibration, dropped)


@dataclass(frozen=True)
class Embeddings:
    """Raw model outputs.

    Args:
        values: (N, D) float32.
        finite: (N,) bool, over *all* outputs of each image.
        broken_edges: names of the edge inputs that gave NaN or Inf.
    """

    values: NDArray[np.float32]
    finite: NDArray[np.bool_]
    broken_edges: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write without pickle."""
        edges = np.asarray(self.broken_edges, dtype="U16")
        np.savez(path, values=self.values, finite=self.finite, broken_edges=edges)

    @classmethod
    def read(cls, path: Path) -> Embeddings:
        """Inverse of `save`."""
        with np.load(path, allow_pickle=False) as stored:
            edges = tuple(str(name) for name in stored["broken_edges"])
            return cls(stored["values"], stored["finite"], edges)


def tensors(images: ImageSet, spec: Preprocess) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield (name, input tensor) of each image, one at a time."""
    for index, name in enumerate(images.names):
        yield name, preprocess(images.pixels(index), spec, images.where(index))


def embed(
    session: InferenceSession,
    images: ImageSet,
    spec: Preprocess,
    output: str,
    *,
    threads: int,
    on_image: Callable[[], None] = lambda: None,
) -> Embeddings:
    """Run a face model over images, one image a call.

    One image a call is how a KYC pipeline runs it, and the only order-independent way: dynamic
    quantization takes its ranges from the whole batch.

    Raises:
        ModelError: the output is no embedding, or its length changes between images.
    """
    names = [o.name for o in session.get_outputs()]
    (feed,) = (i.name for i in session.get_inputs())
    chosen = names.index(output)

    def one(tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
        outputs = session.run(None, {feed: tensor})
        return as_embedding(np.asarray(outputs[chosen]), output), all_finite(outputs)

    # Decoding stays in this thread: Pillow's settings are global.
    decoded = (tensor for _, tensor in tensors(images, spec))
    values, finite = [], []
    for value, ok in ordered_map(one, decoded, threads=threads):
        on_image()
        values.append(value)
        finite.append(ok)
    if len({value.shape for value in values}) != 1:
        raise ModelError(output, "embeddings differ in length between images", "fix the export")
    edges = tuple(
        name
        for name, tensor in edge_inputs(spec).items()
        if not all_finite(session.run(None, {feed: tensor}))
    )
    return Embeddings(np.stack(values), np.asarray(finite, dtype=np.bool_), edges)


def as_embedding(value: NDArray[Any], output: str) -> NDArray[np.float32]:
    """Check that an output is one embedding, (1, D) with trailing ones allowed, and flatten it."""
    wide = [size for size in value.shape if size != 1]
    if value.dtype != np.float32 or len(wide) != 1:
        raise ModelError(
            f"output {output!r}",
            f"{value.dtype} of shape {value.shape} is no embedding of one image",
            "a face model gives float32 of shape (1, D); name the right one in "
            "FaceVerification(output=...)",
        )
    return value.reshape(-1)


def all_finite(outputs: list[Any]) -> bool:
    """Whether no floating point output holds NaN or Inf."""
    return all(
        bool(np.isfinite(value).all())
        for value in map(np.asarray, outputs)
        if np.issubdtype(value.dtype, np.floating)
    )


def edge_inputs(spec: Preprocess) -> dict[str, NDArray[np.float32]]:
    """Inputs at the edge of what a camera gives: black, white and (seeded) noise."""
    height, width = spec.size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = {
        "black": np.zeros((height, width, 3), np.uint8),
        "white": np.full((height, width, 3), 255, np.uint8),
        "noise": noise,
    }
    return {name: preprocess(image, spec, name) for name, image in pixels.items()}


def choose_output(names: tuple[str, ...], task: FaceVerification, where: Path) -> str:
    """Decide which output is the embedding."""
    if task.output is not None:
        if task.output not in names:
            raise ModelError(
                where, f"has no output {task.output!r}", f"its outputs are {', '.join(names)}"
            )
        return task.output
    if len(names) != 1:
        raise ModelError(
            where,
            f"has {len(names)} outputs ({', '.join(names)})",
            "name the embedding in FaceVerification(output=...)",
        )
    return names[0]


def describe_preprocess(spec: Preprocess) -> dict[str, Any]:
    """Plain values of a preprocessing, for keys and goldens."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
