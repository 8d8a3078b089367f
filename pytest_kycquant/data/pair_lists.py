"""Lists of comparisons on disk: LFW ``pairs.txt`` in both its forms, and CSV."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import DataError
from .files import check_text, listed
from .pairs import Comparisons, check_comparable
from .tables import (
    image_name,
    malformed,
    read_table,
    read_text,
)

if TYPE_CHECKING:
    from .faces import FaceSet

_REQUIRED = ("left", "right", "same")
_OPTIONAL = ("left_subject", "right_subject")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}
_ROW_REMEDY = "fill in every column; same must be 0, 1, true or false"
_EMPTY_REMEDY = "list the pairs to compare"
_MOST_PAIRS = 10**9
_LFW_REMEDY = "follow the format of LFW's pairs.txt, or use a .csv file"


class _Pair(NamedTuple):
    """One line of a list: two images and what the list claims about them."""

    line: int
    left: str
    right: str
    same: bool
    left_subject: str | None = None
    right_subject: str | None = None


def load_pairs(path: Path, faces: FaceSet) -> Comparisons:
    """Load a list of comparisons and check every line against the images.

    Args:
        path: a ``.csv`` with the columns ``left``, ``right`` (image names relative to the data
            folder), ``same`` (0, 1, true or false) and optionally ``left_subject``,
            ``right_subject``. Any other suffix means LFW's format: a header with the numbers of
            folds and of pairs n, then n matched and n mismatched pairs for each fold. A header
            with n only means a single fold.
        faces: the images; the list must agree with their identities.

    Returns:
        The comparisons in the order of the list.

    Raises:
        DataError: a line or the header is malformed, the number of lines is wrong, an image does
            not exist, a label contradicts the folders, an image is compared with itself, a pair
            appears twice (perhaps swapped), or there are no genuine or no impostor pairs.
    """
    text = read_text(path, _EMPTY_REMEDY)
    known: defaultdict[str, list[int]] = defaultdict(list)
    if path.suffix.lower() == ".csv":
        pairs = _parse_csv(text, path)
        for index, name in enumerate(faces.images.names):
            known[name].append(index)
    else:
        pairs = _parse_lfw(text, path)
        for index, name in enumerate(faces.images.names):
            known[str(PurePosixPath(name).with_suffix(""))].append(index)
    left, right = _resolve(pairs, known, path, faces)
    _check_labels(pairs, left, right, path, faces)
    _check_repeats(pairs, left, right, path)
    comparisons = Comparisons(
        faces.subjects, np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
    )
    check_comparable(comparisons, path)
    return comparisons


def _parse_csv(text: str, path: Path) -> list[_Pair]:
    rows = read_table(
        text, path, _REQUIRED, _OPTIONAL, empty_remedy=_EMPTY_REMEDY, row_remedy=_ROW_REMEDY
    )
    pairs = []
    for line, values in rows:
        same = _TRUTH.get(values["same"].lower())
        if same is None or not all(values.values()):
            raise malformed(path, line, _ROW_REMEDY)
        pairs.append(
            _Pair(
                line,
                image_name(values["left"], path),
                image_name(values["right"], path),
                same,
                values.get("left_subject"),
                values.get("right_subject"),
            )
        )
    return pairs


def _parse_lfw(text: str, path: Path) -> list[_Pair]:
    lines = [
        (number, line.split("\t") if "\t" in line else line.split())
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    for number, fields in lines:
        for field in fields:
            check_text(field.strip(), path, f"the value in line {number}")
    header, body = lines[0][1], lines[1:]
    try:
        counts = [int(field) for field in header]
    except ValueError:
        counts = []
    if len(counts) not in (1, 2) or not all(0 <= count < _MOST_PAIRS for count in counts):
        raise DataError(
            path,
            f"line {lines[0][0]} is not an LFW header ('10 300' or '1100')",
            _LFW_REMEDY,
        )
    folds, size = (1, counts[0]) if len(counts) == 1 else counts
    if folds * size == 0:
        raise DataError(path, "has no entries", _EMPTY_REMEDY)
    if len(body) != 2 * folds * size:
        raise DataError(
            path,
            f"has {len(body)} pairs but its header announces {2 * folds * size}",
            "download it again or correct the header",
        )
    pairs = []
    for place, (number, fields) in enumerate(body):
        matched = place // size % 2 == 0
        try:
            pairs.append(_lfw_pair(number, [field.strip() for field in fields], matched))
        except ValueError as error:
            form = "name<TAB>i<TAB>j" if matched else "name<TAB>i<TAB>other<TAB>j"
            kind = "matched" if matched else "mismatched"
            raise DataError(
                path, f"line {number} is malformed: a {kind} pair is {form}", _LFW_REMEDY
            ) from error
    return pairs


def _lfw_pair(line: int, fields: list[str], matched: bool) -> _Pair:
    """Read the fields of one line; raise ValueError if they are not a pair of this kind."""
    if matched:
        name, one, two = fields
        other = name
    else:
        name, one, other, two = fields
    if not (name and other):
        raise ValueError
    left, right = f"{name}/{name}_{int(one):04d}", f"{other}/{other}_{int(two):04d}"
    return _Pair(line, left, right, matched)


def _resolve(
    pairs: list[_Pair], known: dict[str, list[int]], path: Path, faces: FaceSet
) -> tuple[list[int], list[int]]:
    """Find the indices of the left and of the right image of each pair."""
    missing = []
    ambiguous = []
    for pair in pairs:
        for name in (pair.left, pair.right):
            found = known.get(name, [])
            if not found:
                missing.append(f"{name} (line {pair.line})")
            elif len(found) > 1:
                ambiguous.append(f"{name} (line {pair.line})")
    if missing:
        raise DataError(
            path,
            f"lists images that {faces.images.origin} does not have: {listed(missing)}",
            "add them or correct the list",
        )
    if ambiguous:
        raise DataError(
            path,
            f"lists images that exist with several suffixes: {listed(ambiguous)}",
            "keep one file of each",
        )
    return [known[pair.left][0] for pair in pairs], [known[pair.right][0] for pair in pairs]


def _check_labels(
    pairs: list[_Pair], left: list[int], right: list[int], path: Path, faces: FaceSet
) -> None:
    wrong = []
    for pair, one, two in zip(pairs, left, right, strict=True):
        first = faces.subject_names[faces.subjects[one]]
        second = faces.subject_names[faces.subjects[two]]
        for image, claimed, actual in (
            (pair.left, pair.left_subject, first),
            (pair.right, pair.right_subject, second),
        ):
            if claimed is not None and claimed != actual:
                wrong.append(f"line {pair.line} ({image} is {actual}, not {claimed})")
        if pair.same != (first == second):
            claim = "same" if pair.same else "different"
            wrong.append(f"line {pair.line} ({first} and {second} are labelled {claim})")
    if wrong:
        raise DataError(
            path,
            f"contradicts the identities of the images: {listed(wrong)}",
            "correct the list or move the images",
        )


def _check_repeats(pairs: list[_Pair], left: list[int], right: list[int], path: Path) -> None:
    seen: dict[tuple[int, int], int] = {}
    itself = []
    repeated = []
    for pair, one, two in zip(pairs, left, right, strict=True):
        key = (min(one, two), max(one, two))
        if one == two:
            itself.append(f"line {pair.line}")
        elif key in seen:
            repeated.append(f"line {pair.line} (see line {seen[key]})")
        else:
            seen[key] = pair.line
    if itself:
        raise DataError(
            path, f"compares an image with itself: {listed(itself)}", "remove these lines"
        )
    if repeated:
        raise DataError(
            path,
            f"has the same pair twice, perhaps swapped: {listed(repeated)}",
            "remove the copies: they would count as evidence twice",
        )
