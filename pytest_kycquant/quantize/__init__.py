"""From the FP32 file to the variants that the gates compare with it.

Importing this package imports neither onnx nor onnxruntime: a test suite without gates pays
nothing for it.
"""

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
from .channels import ChannelStatistics
from .equalize import equalize_channels
from .load import (
    LoadedModel,
    broken_constants,
    check_input,
    load_model,
)
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
    observe_equalized,
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
    "observe_equalized",
    "operators",
    "postprocessing",
    "prepare",
    "quantize_whole",
    "rewrite",
    "sensitivity_images",
    "shift_images",
    "static_types",
    "tune_ranges",
]
