"""How prepared samples become what a session is fed, and its outputs those of each sample.

A sample is what a model sees of one image or one row of data: an array of shape (1, ...), or such
arrays by the names of the inputs if the model has several. Files differ in the types of their
inputs, some take a fixed number of samples in each run, and some want further inputs that never
change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..spec.coerce import shown

Array: TypeAlias = NDArray[Any]
Sample: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Feeding:
    """What every run of the files of one model is fed, beside the samples.

    Args:
        types: numpy type of each input that samples give, by its name, such as "uint8". An input
            that is not named keeps the type of the samples.
        batch: number of samples in each run. Fewer are filled up with copies of the last one, whose
            outputs are dropped.
        constants: value of each further input, by its name. It is given to those files that still
            have this input.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    batch: int = 1
    constants: Mapping[str, Array] = field(default_factory=dict)

    def stacked(self, samples: Sequence[Sample]) -> Sample:
        """One sample of the shape and the types that the model takes, made of 1 to `batch` samples.

        Raises:
            ModelError: a value does not fit into the type of its input.
        """
        filled = [*samples, *[samples[-1]] * (self.batch - len(samples))]
        if isinstance(filled[0], Mapping):
            rows = cast("list[Mapping[str, Array]]", filled)
            return {name: self._joined(name, [row[name] for row in rows]) for name in rows[0]}
        (name,) = self.types or ("",)
        return self._joined(name, cast("list[Array]", filled))

    def feed(self, samples: Sequence[Sample], inputs: Sequence[str]) -> dict[str, Array]:
        """The arrays of one run, by the names of the inputs.

        Args:
            samples: 1 to `batch` samples.
            inputs: names of the inputs of the file.

        Raises:
            ModelError: a value does not fit into the type of its input.
        """
        given = named(
            self.stacked(samples), [name for name in inputs if name not in self.constants]
        )
        return given | {name: a for name, a in self.constants.items() if name in inputs}

    def runs(self, samples: Iterable[T]) -> Iterator[list[T]]:
        """Group samples into those of each run, in their order."""
        stream = iter(samples)
        while group := list(islice(stream, self.batch)):
            yield group

    def split(self, outputs: Sequence[Array], count: int) -> list[list[Array]]:
        """The outputs of each sample of a run, of shape (1, ...) where there is a batch.

        Args:
            outputs: the outputs of the run.
            count: number of samples without those that fill up the batch.

        Returns:
            The outputs of each sample. An output whose first dimension is not the batch belongs to
            all samples alike; `unsplit` names it.
        """
        if self.batch == 1:
            return [list(outputs)]
        whole = set(self.unsplit(outputs))
        return [
            [array if at in whole else array[row : row + 1] for at, array in enumerate(outputs)]
            for row in range(count)
        ]

    def unsplit(self, outputs: Sequence[Array]) -> list[int]:
        """Indices of the outputs whose first dimension is not the batch of several samples."""
        if self.batch == 1:
            return []
        return [at for at, array in enumerate(outputs) if array.shape[:1] != (self.batch,)]

    def facts(self) -> dict[str, Any]:
        """Plain values of the constants, for keys; empty if there are none."""
        return {n: [str(a.dtype), a.tolist()] for n, a in sorted(self.constants.items())}

    def _joined(self, name: str, arrays: list[Array]) -> Array:
        kind = self.types.get(name)
        converted = [array if kind is None else _as_type(array, kind, name) for array in arrays]
        return converted[0] if len(converted) == 1 else np.concatenate(converted)


def named(sample: Sample, inputs: Sequence[str]) -> dict[str, Array]:
    """The arrays of a sample by the names of the inputs; a single array is the only input's."""
    if isinstance(sample, Mapping):
        return dict(sample)
    (name,) = inputs
    return {name: sample}


def arrays_of(sample: Sample) -> tuple[Array, ...]:
    """The arrays of a sample, in the order of their names."""
    if isinstance(sample, Mapping):
        return tuple(sample[name] for name in sorted(sample))
    return (sample,)


def _as_type(array: Array, kind: str, name: str) -> Array:
    """Convert an array to the type of an input without changing what it says.

    A float is rounded to a shorter float, as production rounds it; a number that is not whole never
    becomes an integer.
    """
    if array.dtype == kind:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(kind)
        if np.dtype(kind).kind == "f":
            same = bool(np.isfinite(found).all()) or not bool(np.isfinite(array).all())
        else:
            same = np.array_equal(found, array)
    if same:
        return found
    wrong = array[~np.isfinite(found) if np.dtype(kind).kind == "f" else found != array].ravel()[0]
    what = "is not finite" if np.dtype(kind).kind == "f" else "is not one of its values"
    raise ModelError(
        f"input {shown(name)}",
        f"is {kind}, and {wrong:.6g} {what}",
        "give whole numbers that it holds; pixels as they are, with mean=0 and scale=1 in "
        "Preprocess, since such a model normalizes them itself"
        if np.dtype(kind).kind in "iu"
        else f"keep values within the range of {kind}",
    )
