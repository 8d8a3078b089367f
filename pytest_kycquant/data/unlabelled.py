"""Images without labels; labelled sets read and split their images the same way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .duplicates import refuse_copies
from .files import load_npz
from .formats import read_as
from .images import ImageSet
from .split import names_on_both_sides

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def load_images(path: Path, wanted: str = "JPEG or PNG images") -> ImageSet:
    """Load images without labels.

    Args:
        path: a folder, searched at any depth for images, or an ``.npz`` file with ``images`` (see
            `ImageSet.from_array`).
        wanted: the images that the path should contain, in words, for messages.

    Raises:
        DataError: the path is missing or neither of these, contains no images, or contains files
            of an unknown kind.
    """
    return read_as(
        path,
        lambda root: ImageSet.from_folder(root, f"add {wanted}"),
        {".npz": lambda file: ImageSet.from_array(load_npz(file, "images")["images"], file)},
        f"give a folder of {wanted}",
    )


def check_copies(images: ImageSet) -> None:
    """Reject duplicate images, as `refuse_copies` does, where there are no labels to report.

    Raises:
        DataError: two images are the same, or an image cannot be read.
    """
    refuse_copies(images, lambda _: "a copy")


def selected_images(images: ImageSet, share: float) -> NDArray[np.bool_]:
    """Choose images for selection by their names (`names_for_selection`).

    Args:
        images: the images to split.
        share: share of the images that go to selection.

    Returns:
        Whether each image is for selection, shape (N,).

    Raises:
        DataError: one side would be empty.
    """
    return names_on_both_sides(images.names, share, images.origin, "images", "images")
