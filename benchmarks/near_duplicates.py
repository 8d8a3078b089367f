"""How many edits of an image are found, and how many other photographs are taken for one?

Faces are rendered, a few photographs of each person. Each is edited in every way and compared with
the originals; then the originals are compared with each other. Run with::

    python -m benchmarks.near_duplicates [--people N] [--folder FOLDER]

A folder, such as `data/faces`, is read as a gate reads faces. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from pytest_kycquant.data.faces import load_faces
from pytest_kycquant.data.near_duplicates import near_duplicates
from pytest_kycquant.data.pixel_facts import PixelFacts

Edit = Callable[[Image.Image], Image.Image]
IMAGES = 4  # of each person


def jpeg(quality: int) -> Edit:
    """Encode and decode."""

    def edit(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return edit


def resized(factor: float, method: Image.Resampling = Image.Resampling.BILINEAR) -> Edit:
    return lambda image: image.resize(
        (max(1, int(factor * image.width)), max(1, int(factor * image.height))), method
    )


def cropped(share: float) -> Edit:
    def edit(image: Image.Image) -> Image.Image:
        x, y = share * image.width / 2, share * image.height / 2
        return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))

    return edit


def turned(method: Image.Transpose) -> Edit:
    return lambda image: image.transpose(method)


def noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 8, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def hue(image: Image.Image) -> Image.Image:
    turned = np.array(image.convert("HSV"))
    turned[..., 0] += 40
    return Image.fromarray(turned, "HSV").convert("RGB")


def barred(share: float) -> Edit:
    """Black over the lowest part."""

    def edit(image: Image.Image) -> Image.Image:
        barred = image.copy()
        barred.paste((0, 0, 0), (0, round((1 - share) * image.height), image.width, image.height))
        return barred

    return edit


def framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, round(0.02 * image.width))


def padded(image: Image.Image) -> Image.Image:
    """Grey beside it, up to twice the width."""
    return ImageOps.pad(image, (2 * image.width, image.height), color=(114, 114, 114))


def gamma(power: float) -> Edit:
    return lambda image: image.point(lambda value: int(255 * (value / 255) ** power))


EDITS: dict[str, Edit] = {
    "mirrored": turned(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees": turned(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": turned(Image.Transpose.ROTATE_180),
    "JPEG at quality 40": jpeg(40),
    "JPEG at quality 10": jpeg(10),
    "80 % of the size": resized(0.8),
    "half the size": resized(0.5),
    "half the size, nearest pixel": resized(0.5, Image.Resampling.NEAREST),
    "a tenth brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "a fifth brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "a fifth darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "contrast raised by 30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "noise": noisy,
    "mirrored, half the size, JPEG at quality 40": lambda image: jpeg(40)(
        resized(0.5)(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    ),
    "negative": ImageOps.invert,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "red and blue swapped": lambda image: Image.merge("RGB", image.split()[::-1]),
    "hue turned by 56 degrees": hue,
    "red channel only": lambda image: image.getchannel(0).convert("RGB"),
    "blue channel only": lambda image: image.getchannel(2).convert("RGB"),
    "gamma .5": gamma(0.5),
    "gamma 2": gamma(2.0),
    "two fifths brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "histogram equalized": ImageOps.equalize,
    "blurred (sigma 2)": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "blurred (sigma 5)": lambda image: image.filter(ImageFilter.GaussianBlur(5)),
    "black bar of 10 %": barred(0.1),
    "black frame of 2 %": framed,
    "grey padding": padded,
    "shifted by 3 pixels": lambda image: ImageChops.offset(image, 3, 0),
    "cropped by 5 %": cropped(0.05),
    "cropped by 10 %": cropped(0.1),
    "turned by 3 degrees": lambda image: image.rotate(3, Image.Resampling.BILINEAR),
}


def rendered(people: int) -> tuple[list[Image.Image], NDArray[np.int64]]:
    """Render people, and return their photographs and the person on each."""
    from models.rendering.faces import aligned

    images = [
        Image.fromarray(aligned(400_000 + person, index))
        for person in range(people)
        for index in range(IMAGES)
    ]
    return images, np.repeat(np.arange(people), IMAGES)


def read(folder: Path) -> tuple[list[Image.Image], NDArray[np.int64]]:
    """Read faces from a folder."""
    faces = load_faces(folder)
    pixels = (faces.images.pixels(index) for index in range(len(faces.images)))
    return [Image.fromarray(each) for each in pixels], faces.subjects


def thumbnails(images: Iterator[Image.Image]) -> NDArray[np.uint8]:
    return PixelFacts.of(np.asarray(image) for image in images).thumbnails


def report(images: list[Image.Image], people: NDArray[np.int64]) -> str:
    """Measure all edits and the originals, and return a Markdown table."""
    originals = thumbnails(iter(images))
    lines = ["| edit | found |", "|---|---|"]
    for name, edit in EDITS.items():
        pairs = near_duplicates(originals, thumbnails(edit(image) for image in images))
        found = len({one for one, other in pairs if one == other})
        lines.append(f"| {name} | {found / len(images):.1%} |")
    wrong = near_duplicates(originals, people=people)
    both = near_duplicates(originals)
    total = len(people) * (len(people) - 1) // 2
    same = sum(int(count) * (int(count) - 1) // 2 for count in np.bincount(people))
    return "\n".join(
        [
            *lines,
            "",
            f"{len(images):,} images of {len(set(people.tolist())):,} people. False alarms: "
            f"{len(wrong):,} in {total - same:,} pairs of different people, "
            f"{len(both) - len(wrong):,} in {same:,} pairs of one person.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    print(report(*(read(asked.folder) if asked.folder else rendered(asked.people))))


if __name__ == "__main__":
    main()
