"""Small pictures of the cases that weigh most, for a page that was asked to show them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from ..data.images import ImageSet
from ..data.rows import RowSet
from ..errors import DataError
from .judge import Judge
from .records import VariantRecord

_SIDE = 160  # pixels of the longer side
_QUALITY = 80


def pictures_of(judge: Judge, records: Iterable[VariantRecord]) -> dict[str, str]:
    """Data URIs of JPEGs of all images that offenders of these records name, by their names.

    An image that cannot be shown, such as an input that is not an image, is left out: the page
    names it nevertheless.

    Args:
        judge: the judge of the model, whose images they are.
        records: the variants.
    """
    named = {
        name
        for record in records
        for result in record.gates.values()
        for offender in result.offenders
        for name in offender.images
    }
    data = judge.variants.data
    found: dict[str, str] = {}
    for part in (data.evaluation, data.selection):
        if part is None or isinstance(part.images, RowSet):  # which has no pixels
            continue
        for index, name in enumerate(part.images.names):
            if name in named and name not in found:
                found |= _encoded(part.images, index)
    return found


def _encoded(images: ImageSet, index: int) -> dict[str, str]:
    from PIL import Image

    try:
        picture = Image.fromarray(images.pixels(index))
    except DataError:
        return {}
    picture.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    text = base64.b64encode(written.getvalue()).decode("ascii")
    return {images.names[index]: f"data:image/jpeg;base64,{text}"}
