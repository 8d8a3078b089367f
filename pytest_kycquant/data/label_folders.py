"""Images in one folder per label (a class, an identity), perhaps in deeper folders."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from .files import listed, relative_name
from .images import ImageSet


def read_label_folders(
    root: Path, *, each: str, wanted: str, place: str
) -> tuple[ImageSet, list[str]]:
    """Read images that lie, at any depth, in a sub-folder of `root` named after their label.

    Args:
        root: the folder.
        each: what a sub-folder stands for, such as "class", for messages.
        wanted: the sub-folders that `root` must have, in words, for messages.
        place: where a stray image belongs, in words, for messages.

    Returns:
        The images, sorted by path, and the label of each.

    Raises:
        DataError: there are no images, an image lies outside the sub-folders, or a sub-folder has
            no images.
    """
    images = ImageSet.from_folder(root, f"add {wanted}")
    stray = [name for name in images.names if "/" not in name]
    if stray:
        raise DataError(
            root, f"contains images outside any {each}: {listed(stray)}", f"move each into {place}"
        )
    labels = [name.split("/", 1)[0] for name in images.names]
    folders = {
        relative_name(entry, root)
        for entry in root.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    }
    empty = sorted(folders.difference(labels))
    if empty:
        raise DataError(root, f"has folders without images: {listed(empty)}", "fill or remove them")
    return images, labels


def read_class_folders(root: Path, *, wanted: str, place: str) -> tuple[ImageSet, list[str]]:
    """Read images that lie in a sub-folder of `root` named after their class.

    Args:
        root: the folder.
        wanted: the sub-folders that `root` must have, in words, for messages.
        place: where a stray image belongs, in words, for messages.

    Returns:
        The images, sorted by path, and the class of each.

    Raises:
        DataError: see `read_label_folders`, or there is only one class.
    """
    images, classes = read_label_folders(root, each="class", wanted=wanted, place=place)
    if len(set(classes)) == 1:
        raise DataError(root, f"has only one sub-folder: {classes[0]}", f"a gate needs {wanted}")
    return images, classes


def people_of(images: ImageSet) -> list[str] | None:
    """Find the person on each image: the folder below that of its class.

    Returns:
        A name for each image, or None if all images lie directly in the folders of their classes.

    Raises:
        DataError: only some images lie in the folder of a person.
    """
    parts = [name.split("/") for name in images.names]
    deep = [len(part) > 2 for part in parts]
    if any(deep) and not all(deep):
        loose = [name for name, below in zip(images.names, deep, strict=True) if not below]
        raise DataError(
            images.origin,
            f"has a folder of a person for some images, but not for {listed(loose)}",
            "put every image into a folder named after its person, or none",
        )
    return [part[1] for part in parts] if all(deep) else None


def all_or_none(names: list[str], images: ImageSet, path: Path) -> list[str] | None:
    """Return the subjects of all images, or None if no subjects are given.

    Args:
        names: name of the subject of each image; "" where it is not given.
        images: the images.
        path: the file that gives the subjects.

    Raises:
        DataError: only some images have a subject.
    """
    if not any(names):
        return None
    lacking = [image for image, name in zip(images.names, names, strict=True) if not name]
    if lacking:
        raise DataError(
            path,
            f"has a subject for some images, but not for {listed(lacking)}",
            "give the subject of every image or of none",
        )
    return names
