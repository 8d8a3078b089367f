"""Images and identities must not serve two purposes that have to be independent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from ..errors import LeakageError
from .files import listed, load_npz

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .images import ImageSet

_LISTED = 10


class OfSubjects(Protocol):
    """Images of known people: `FaceSet`, `LivenessSet`."""

    @property
    def images(self) -> ImageSet:
        """The images."""

    @property
    def subjects(self) -> NDArray[np.int64]:
        """Who is on each, an index into `subject_names`."""

    @property
    def subject_names(self) -> tuple[str, ...]:
        """The people on them; empty if nobody knows."""


def check_disjoint(first: ImageSet, first_role: str, second: ImageSet, second_role: str) -> None:
    """Make sure that no image serves two purposes, whatever its name.

    Files are compared by their bytes and rows of arrays by theirs; a set of files and an array
    by their pixels, which means decoding the files.

    Args:
        first: images of one purpose.
        first_role: that purpose in a word or two, such as "calibration".
        second: images of the other purpose.
        second_role: that purpose.

    Raises:
        LeakageError: they have content in common; it names the images.
        DataError: an image cannot be read.
    """
    if first.is_array == second.is_array:
        first_contents, second_contents = first.digests, second.digests
    else:
        first_contents, second_contents = _pixel_digests(first), _pixel_digests(second)
    where = dict(zip(second_contents, second.names, strict=True))
    shared = [
        f"{name} = {where[content]}"
        for name, content in zip(first.names, first_contents, strict=True)
        if content in where
    ]
    if shared:
        raise LeakageError(
            first.origin,
            f"{len(shared)} of its images for {first_role} also serve for {second_role} "
            f"({second.origin}): {listed(shared, _LISTED)}",
            "use each image for one purpose only",
        )


def check_disjoint_subjects(
    first: OfSubjects, first_role: str, second: OfSubjects, second_role: str
) -> None:
    """Make sure that no identity serves two purposes. Identities are compared by name.

    Names without a letter are mere numbering, which starts anew in every folder: of those only
    the images are compared (`check_disjoint`).

    Args:
        first: images of one purpose.
        first_role: that purpose in a word or two, such as "selection".
        second: images of the other purpose.
        second_role: that purpose.

    Raises:
        LeakageError: they have identities in common; it names them.
    """
    shared = sorted(
        name
        for name in set(first.subject_names) & set(second.subject_names)
        if any(letter.isalpha() for letter in name)
    )
    if shared:
        raise LeakageError(
            first.images.origin,
            f"{len(shared)} of its identities for {first_role} also serve for {second_role} "
            f"({second.images.origin}): {listed(shared, _LISTED)}",
            "use each identity for one purpose only, and give different people different names",
        )


def check_calibration_subjects(calibration: ImageSet, **others: OfSubjects | None) -> None:
    """Make sure that nobody whose pictures set the ranges of INT8 is judged with those ranges.

    Calibration images need no labels. Who is on them is known where they lie in folders named like
    people, or in an ``.npz`` with ``subjects``; names without a letter say nothing, as in
    `check_disjoint_subjects`.

    Args:
        calibration: images for the ranges.
        others: images of known people by their purpose, such as ``evaluation``; None for none.

    Raises:
        LeakageError: somebody is on both; it names them.
    """
    known = _folders(calibration)
    if calibration.is_array:
        arrays = load_npz(calibration.origin, "images", optional=("subjects",))
        known = {str(name) for name in arrays.get("subjects", ())}
    known = {name for name in known if any(letter.isalpha() for letter in name)}
    for role, other in others.items():
        if other is None:
            continue
        if shared := sorted(known.intersection(other.subject_names)):
            raise LeakageError(
                calibration.origin,
                f"{len(shared)} of the people on its images for calibration also serve for {role} "
                f"({other.images.origin}): {listed(shared, _LISTED)}",
                "calibrate on other people, and give different people different names",
            )


def _folders(images: ImageSet) -> set[str]:
    """Names of the folders that images lie in, at any depth below their origin."""
    return {folder for name in images.names for folder in name.split("/")[:-1]}


def _pixel_digests(images: ImageSet) -> tuple[str, ...]:
    """SHA-256 of the shape and the RGB pixels of each image."""
    pixels = (images.pixels(index) for index in range(len(images)))
    return tuple(hashlib.sha256(repr(p.shape).encode() + p.tobytes()).hexdigest() for p in pixels)
