"""From the FP32 file to the variants that the gates compare with it.

Importing this package imports neither onnx nor onnxruntime: a test suite without gates pays
nothing for it.
"""

from .calibrate import Ranges, collect_ranges
from .channels import ChannelStatistics, collect_channels
from .equalize import equalize_channels
from .model import LoadedModel, check_input, load_model
from .partial import FullyQuantized, keep_in_float
from .preparation import PreparedModel, operators, postprocessing, prepare
from .recipes import build, calibration_of, corrects_biases, equalizes, quantize_whole
from .rewrites import REWRITES, applicable, nothing_to_rewrite, rewrite
from .static import static_types
from .variant import Variant

__all__ = [
    "REWRITES",
    "ChannelStatistics",
    "FullyQuantized",
    "LoadedModel",
    "PreparedModel",
    "Ranges",
    "Variant",
    "applicable",
    "build",
    "calibration_of",
    "check_input",
    "collect_channels",
    "collect_ranges",
    "corrects_biases",
    "equalize_channels",
    "equalizes",
    "keep_in_float",
    "load_model",
    "nothing_to_rewrite",
    "operators",
    "postprocessing",
    "prepare",
    "quantize_whole",
    "rewrite",
    "static_types",
]
