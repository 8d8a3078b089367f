"""Labelled faces: images and the identity that each one shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .duplicates import refuse_copies, refuse_two_labels
from .facts_store import Prepare, directly
from .files import check_name, load_npz
from .formats import read_as
from .images import ImageSet
from .label_folders import read_label_folders
from .names import refuse_same_names
from .split import names_on_both_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Images with their identities.

    Attributes:
        images: the images, N of them.
        subjects: identity of each image, an index into `subject_names`; shape (N,), int64.
        subject_names: the identities, each with at least one image.
    """

    images: ImageSet
    subjects: NDArray[np.int64]
    subject_names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the images, their names and identities; independent of their order."""
        labels = (self.subject_names[subject] for subject in self.subjects)
        lines = sorted(
            f"{name}\0{label}" for name, label in zip(self.images.names, labels, strict=True)
        )
        text = "\n".join([self.images.digest, *lines])
        return hashlib.sha256(text.encode()).hexdigest()

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> FaceSet:
        """Select images by index or by boolean mask, in the order given.

        Identities left without an image are dropped, and the others are renumbered in order, as
        in `Comparisons.restrict`.

        Raises:
            DataError: no image is chosen.
        """
        images = self.images.subset(indices)
        present, subjects = np.unique(self.subjects[indices], return_inverse=True)
        names = tuple(self.subject_names[subject] for subject in present)
        return FaceSet(images, subjects.astype(np.int64), names)


def load_faces(path: Path, prepare: Prepare = directly) -> FaceSet:
    """Load labelled faces.

    Args:
        path: a folder with one sub-folder per identity, in which images may lie at any depth;
            or an ``.npz`` file with ``images`` (see `ImageSet.from_array`) and ``subjects``
            (N integers or strings).
        prepare: a function that provides the images with their `facts`.

    Returns:
        The faces, sorted by path (folder) or in the order of the rows (``.npz``).

    Raises:
        DataError: the path is missing or neither of these; a folder is empty, an identity has no
            image, an image has no identity, or a file is of an unknown kind (`find_images`); the
            arrays do not match; two names
            are the same but for case, space or form; the same pixels appear twice.
    """
    faces = read_as(
        path, _from_folder, {".npz": _from_npz}, "give a folder with a sub-folder for each identity"
    )
    refuse_same_names(faces.subject_names, path, "identities")
    prepare(faces.images)
    _check_copies(faces)
    return faces


def selection_mask(faces: FaceSet, share: float) -> NDArray[np.bool_]:
    """Choose the images of some identities for selection; the others are for evaluation.

    The choice follows from the names of the identities (`names_for_selection`).

    Args:
        faces: the faces to split.
        share: share of the identities that go to selection.

    Returns:
        Whether each image is for selection, shape (N,), bool; for use with `FaceSet.subset` and
        `Comparisons.restrict`.

    Raises:
        DataError: one side would be empty.
    """
    chosen = names_on_both_sides(
        faces.subject_names, share, faces.images.origin, "identities", "identities"
    )
    return chosen[faces.subjects]


def split_subjects(faces: FaceSet, share: float) -> tuple[FaceSet, FaceSet]:
    """Split faces into two sets of disjoint identities, as `selection_mask` chooses them.

    Returns:
        (evaluation, selection).

    Raises:
        DataError: one side would be empty.
    """
    selected = selection_mask(faces, share)
    return faces.subset(~selected), faces.subset(selected)


def _from_folder(root: Path) -> FaceSet:
    images, labels = read_label_folders(
        root,
        each="identity",
        wanted="one folder per identity, with JPEG or PNG images",
        place="a folder named after its identity",
    )
    return _numbered(images, labels)


def _from_npz(path: Path) -> FaceSet:
    arrays = load_npz(path, "images", "subjects")
    images = ImageSet.from_array(arrays["images"], path)
    labels = arrays["subjects"]
    if labels.shape != (len(images),):
        raise DataError(
            path,
            f"contains {len(images)} images but subjects of shape {labels.shape}",
            "save one subject per image",
        )
    if labels.dtype.kind not in "iuU":
        raise DataError(
            path, f"subjects are {labels.dtype}", "save them as integers or as unicode strings"
        )
    names = [check_name(str(label), path, "the subject name") for label in labels]
    if not all(name.strip() for name in names):
        raise DataError(
            path, "contains images whose subject is empty", "label them or leave them out"
        )
    return _numbered(images, names)


def _numbered(images: ImageSet, labels: list[str]) -> FaceSet:
    """Number the identities in the order of their names."""
    names, subjects = np.unique(labels, return_inverse=True)
    return FaceSet(images, subjects.astype(np.int64), tuple(map(str, names)))


def _check_copies(faces: FaceSet) -> None:
    """Reject duplicate content.

    Under two identities, one label is wrong. Under one identity, the genuine comparison scores
    1.0 with any model, and copies narrow an interval that counts them as separate evidence.
    """

    def identity(index: int) -> str:
        return faces.subject_names[int(faces.subjects[index])]

    refuse_two_labels(
        faces.images,
        faces.subjects,
        identity,
        what="identities",
        remedy="keep each image under the identity that it shows",
    )
    refuse_copies(faces.images, identity)
