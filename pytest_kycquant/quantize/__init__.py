"""From the FP32 file to the variants that the gates compare with it.

The package is also a function: ``pytest_kycquant.quantize("model.onnx", images, "int8")`` makes a
file (`front_door.quantize`). `Quantizer` makes variants of one model for any number of recipes.

Importing this package imports neither onnx nor onnxruntime, so a test suite without gates does not
pay for them.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType

from .activation_bias import shift_images
from .builder import (
    Ingredients,
    build,
    calibration_of,
    corrects_biases,
    equalizes,
    quantize_whole,
)
from .built import Built, ModelFile
from .channels import ChannelStatistics, channel_images, observe_channels
from .constants import broken_constants
from .equalize import equalize_channels
from .front_door import quantize as _quantize
from .load import LoadedModel, check_input, load_model
from .mixed import FullyQuantized, keep_in_float
from .preparation import (
    PreparedModel,
    operators,
    postprocessing,
    prepare,
)
from .quantizer import Quantizer
from .range_search import tune_ranges
from .ranges import (
    Activations,
    Ranges,
    observe_activations,
    observe_extremes,
    range_images,
)
from .rewrites import (
    applicable,
    nothing_to_rewrite,
    rewrite,
)
from .saturation import Exposure, exposure_of
from .sensitivity import Sensitivity, measure_sensitivity, sensitivity_images
from .static import static_types

__all__ = [
    "Activations",
    "Built",
    "ChannelStatistics",
    "Exposure",
    "FullyQuantized",
    "Ingredients",
    "LoadedModel",
    "ModelFile",
    "PreparedModel",
    "Quantizer",
    "Ranges",
    "Sensitivity",
    "applicable",
    "broken_constants",
    "build",
    "calibration_of",
    "channel_images",
    "check_input",
    "corrects_biases",
    "equalize_channels",
    "equalizes",
    "exposure_of",
    "keep_in_float",
    "load_model",
    "measure_sensitivity",
    "nothing_to_rewrite",
    "observe_activations",
    "observe_channels",
    "observe_extremes",
    "operators",
    "postprocessing",
    "prepare",
    "quantize_whole",
    "range_images",
    "rewrite",
    "sensitivity_images",
    "shift_images",
    "static_types",
    "tune_ranges",
]


class _Callable(ModuleType):
    """A package that is also a function."""

    __call__ = staticmethod(_quantize)
    __signature__ = inspect.signature(_quantize)  # otherwise the first argument would be self

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Pickle it as its name, as functions are, for use in other processes."""
        return importlib.import_module, (self.__name__,)


__doc__ = f"quantize{_Callable.__signature__}\n\n{inspect.getdoc(_quantize)}\n\n{__doc__}"
# https://docs.python.org/3/reference/datamodel.html#customizing-module-attribute-access
sys.modules[__name__].__class__ = _Callable
