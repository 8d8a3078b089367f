"""Would a file of somebody else's agree with FP32 if its pixels were prepared otherwise?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import KycquantError
from ..spec.alternatives import alternatives, written
from .given_files import interface_of

if TYPE_CHECKING:
    from ..quantize import ModelFile
    from ..spec.model import Preprocess
    from ..spec.prequantized import Prequantized
    from .given_files import Fp32

_MOST = 0.3  # error of outputs relative to their size with which they are still FP32's
_BETTER = 0.5  # of the error that it has now, to be worth a word
_KINDS = ("channels", "range")


def better_feeding(source: Fp32, asked: Prequantized, file: ModelFile) -> str:
    """What to write in ``Prequantized(preprocess=Preprocess(...))``, if that brings it to FP32.

    Other orders of colours and other ranges are tried on one image, together, too.

    Args:
        source: the FP32 file.
        asked: what the gate file names.
        file: the file.

    Returns:
        The fields to change, as code; "" if none of them helps beyond doubt.
    """
    specs = source.task.model.preprocesses[source.index : source.index + 1]
    if not specs or specs[0].function is not None or specs[0].standardize:
        return ""
    now = asked.preprocess or specs[0]
    before = _error(source, asked, file, now)
    found = [(_error(source, asked, file, other), other) for other in _others(now)]
    error, best = min(found, key=lambda each: each[0], default=(np.inf, now))
    return written(now, best) if error < min(_MOST, _BETTER * before) else ""


def _others(spec: Preprocess) -> Iterator[Preprocess]:
    """Preprocessings with one change, and with one of each kind."""
    ones = [each for each in alternatives(spec) if each.kind in _KINDS]
    for one in ones:
        yield one.spec
        if one.kind == "channels":
            yield from (two.spec for two in alternatives(one.spec) if two.kind == "range")


def _error(source: Fp32, asked: Prequantized, file: ModelFile, spec: Preprocess) -> float:
    """How far outputs are from FP32's on one image, relative to their size; infinite if refused."""
    fp32, feed = source.fp32.open(exact=False), source.probe
    outputs = dict(zip(fp32.outputs, fp32.run(feed), strict=True))
    try:
        opened = file.open_as_it_is()
        interface = interface_of(source, replace(asked, preprocess=spec), file.path, opened)
        found = interface.present(opened).run(feed)
    except KycquantError:
        return np.inf
    errors = []
    for each, array in zip(interface.outputs, found, strict=True):
        wanted = np.asarray(outputs[each.of], np.float64)
        size = max(float(np.sqrt((wanted**2).sum())), 1e-30)
        errors.append(float(np.sqrt(((array - wanted) ** 2).sum())) / size)
    worst = max(errors, default=np.inf)
    return worst if np.isfinite(worst) else np.inf
