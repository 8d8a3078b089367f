"""The default INT8 recipe as the gates carry it out, for benchmarks that compare it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pytest_kycquant.quantize import (
    Ingredients,
    PreparedModel,
    calibration_of,
    equalize_channels,
    measure_sensitivity,
    observe_activations,
    observe_equalized,
    rewrite,
    sensitivity_images,
    shift_images,
    tune_ranges,
)
from pytest_kycquant.runtimes.environment import u8s8_saturates
from pytest_kycquant.spec.recipe import Recipe

Images = Sequence[tuple[str, NDArray[np.float32]]]


def default_ingredients(
    prepared: PreparedModel,
    calibration: Images,
    probes: Sequence[NDArray[np.float32]],
    rewrites: Sequence[str],
) -> Ingredients:
    """Calibrate a model for `Recipe("int8")`, whatever it keeps in FP32 or leaves out.

    Args:
        prepared: the prepared FP32 model.
        calibration: images with names.
        probes: images to verify graphs with.
        rewrites: names of the rewrites to start from.
    """
    seen = observe_activations(prepared, calibration)
    source, channels = equalize_channels(prepared, seen.channels, probes)
    known = observe_equalized(source, seen, channels, calibration)
    number = len(calibration)
    matters = measure_sensitivity(source, [calibration[i] for i in sensitivity_images(number)])
    some = [calibration[i][1] for i in shift_images(number, probes[0].shape)]
    needed = calibration_of(Recipe("int8"))
    assert needed is not None
    return Ingredients(
        prepared=source,
        saturates=u8s8_saturates(),
        ranges=tune_ranges(source, known.ranges(*needed, matters), some),
        rewritten=rewrite(source, rewrites, probes, integer=True) if rewrites else None,
        statistics=channels,
        images=some,
    )
