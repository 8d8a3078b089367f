"""Checks that images and identities do not serve two purposes that must be independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import LeakageError
from .files import listed, load_npz
from .names import shared_names
from .rows import RowSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .images import ImageSet

_LISTED = 10


class OfSubjects(Protocol):
    """Images of known people, such as `FaceSet` and `LivenessSet`."""

    @property
    def images(self) -> ImageSet:
        """The images."""

    @property
    def subjects(self) -> NDArray[np.int64]:
        """Person on each image, an index into `subject_names`."""

    @property
    def subject_names(self) -> tuple[str, ...]:
        """Names of the people; empty if unknown."""


def check_disjoint(first: ImageSet, first_role: str, second: ImageSet, second_role: str) -> None:
    """Make sure that no image serves two purposes, whatever its name.

    Images are compared by their pixels, whatever their format, metadata or compression. Rows of
    arrays are compared as a whole, and so is each image in them; its file, by its bytes.

    Args:
        first: images for one purpose.
        first_role: that purpose in a word or two, such as "calibration".
        second: images for the other purpose.
        second_role: the other purpose.

    Raises:
        LeakageError: the sets have images in common; the message names them.
        DataError: an image cannot be read.
    """
    if shared := _shared(first, first.facts.digests, second, second.facts.digests):
        raise LeakageError(
            first.origin,
            f"{len(shared)} of its {first.noun}s for {first_role} are also used for {second_role} "
            f"({second.origin}): {listed(shared, _LISTED)}",
            f"use each {first.noun} for one purpose only",
        )
    if isinstance(first, RowSet) and isinstance(second, RowSet):
        known = second.picture_digests
        both = first.picture_digests.items()
        if pictures := [f"{name} = {known[digest]}" for digest, name in both if digest in known]:
            raise LeakageError(
                first.origin,
                f"{len(pictures)} of the images in its rows for {first_role} are also used for "
                f"{second_role} ({second.origin}): {listed(pictures, _LISTED)}",
                "use each image for one purpose only",
            )


def check_disjoint_inputs(
    first: ImageSet,
    first_role: str,
    first_inputs: Sequence[bytes],
    second: ImageSet,
    second_role: str,
    second_inputs: Sequence[bytes],
) -> None:
    """Make sure that the model does not see the same on two images with different purposes.

    Args:
        first: images for one purpose.
        first_role: that purpose in a word or two, such as "calibration".
        first_inputs: a digest of the input of the model for each of them.
        second: images for the other purpose.
        second_role: the other purpose.
        second_inputs: the same for them.

    Raises:
        LeakageError: it does; the message names the images.
    """
    if shared := _shared(first, first_inputs, second, second_inputs):
        raise LeakageError(
            first.origin,
            f"{len(shared)} of its images for {first_role} give the model the same input as "
            f"images for {second_role} ({second.origin}): {listed(shared, _LISTED)}",
            "use each image for one purpose only, whatever padding, size, colour or surroundings "
            "it has",
        )


def check_disjoint_subjects(
    first: OfSubjects, first_role: str, second: OfSubjects, second_role: str
) -> None:
    """Make sure that no identity serves two purposes. Identities are compared by name.

    Case, space and forms of Unicode make no difference (`plain_name`). Names without a letter are
    ignored: they are mere numbers, which start again in every folder. The images of these people
    are still compared (`check_disjoint`).

    Args:
        first: images for one purpose.
        first_role: that purpose in a word or two, such as "selection".
        second: images for the other purpose.
        second_role: the other purpose.

    Raises:
        LeakageError: the sets have identities in common; the message names them.
    """
    if shared := shared_names(first.subject_names, second.subject_names):
        raise LeakageError(
            first.images.origin,
            f"{len(shared)} of its identities for {first_role} are also used for {second_role} "
            f"({second.images.origin}): {listed(shared, _LISTED)}",
            "use each identity for one purpose only, and give different people different names",
        )


def check_calibration_subjects(calibration: ImageSet, **others: OfSubjects | None) -> None:
    """Make sure that no person on the calibration images serves another purpose.

    The pictures that set the INT8 ranges must not judge them. Calibration images need no labels,
    but the people on them are known if the images lie in folders named after people or in an
    ``.npz`` with ``subjects``. Names without a letter are ignored, as in
    `check_disjoint_subjects`.

    Args:
        calibration: images that set the ranges.
        others: images of known people by their purpose, such as ``evaluation``; None is skipped.

    Raises:
        LeakageError: a person is on both; the message names the people.
    """
    known = _folders(calibration)
    if calibration.is_array:
        arrays = load_npz(calibration.origin, "images", optional=("subjects",))
        known = {str(name) for name in np.ravel(arrays.get("subjects", ()))}
    for role, other in others.items():
        if other is None:
            continue
        if shared := shared_names(known, other.subject_names):
            raise LeakageError(
                calibration.origin,
                f"{len(shared)} of the people on its calibration images are also used for {role} "
                f"({other.images.origin}): {listed(shared, _LISTED)}",
                "calibrate on other people, and give different people different names",
            )


def _shared(
    first: ImageSet, ones: Sequence[object], second: ImageSet, others: Sequence[object]
) -> list[str]:
    """Write images with the same digest as ``a = b``."""
    where = dict(zip(others, second.names, strict=True))
    named = zip(first.names, ones, strict=True)
    return [f"{name} = {where[digest]}" for name, digest in named if digest in where]


def _folders(images: ImageSet) -> set[str]:
    """Return the names of all folders that contain images, at any depth below the origin."""
    return {folder for name in images.names for folder in name.split("/")[:-1]}
