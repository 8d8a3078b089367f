"""Load and check the FP32 file: every fault in it is reported here, before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, one_line
from ..runtimes.feeding import Feeding
from ..runtimes.model_files import read_model
from ..spec.coerce import shown
from .activation_check import check_activations
from .computed_weights import computed_weights
from .constants import check_constants, count_subnormal
from .fixed_inputs import fix_inputs
from .local_functions import check_functions, inlined, with_casts
from .model_inputs import Input, check_arrays, check_image_input, feeding_of, inputs_of
from .operators_check import check_not_training, check_operators_known, check_versions
from .precision_check import check_operators, check_stored_types, check_stored_weights
from .randomness_check import check_deterministic
from .rounding_check import check_values, half_precision
from .structure_check import check_structure
from .weight_sources import weights_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from .model_inputs import Shape


@dataclass(frozen=True)
class LoadedModel:
    """An FP32 model that can be gated.

    Args:
        path: file that the model was read from.
        proto: the model, with external data loaded and constant inputs turned into constants.
        digest: hexadecimal SHA-256 of the file and of its external data files.
        size: total bytes of the file and of its external data files.
        files: the file and its external data files.
        opset: version of the standard operator set.
        inputs: the inputs that an image or a row of data gives.
        output_names: names of all outputs, in order.
        subnormal_weights: number of nonzero float32 weights that are closer to zero than the
            smallest normal number. Some CPUs multiply such numbers many times more slowly.
        half_precision: type of 16 bits that holds all its weights exactly; "" if none does.
        feeding: how images or rows of data are fed to it and to its variants.
    """

    path: Path
    proto: ModelProto
    digest: str
    size: int
    files: tuple[Path, ...]
    opset: int
    inputs: tuple[Input, ...]
    output_names: tuple[str, ...]
    subnormal_weights: int
    half_precision: str = ""
    feeding: Feeding = field(default_factory=Feeding)

    @property
    def input_name(self) -> str:
        """Name of the first input, which is the only one of a model of images."""
        return self.inputs[0].name

    @property
    def types(self) -> dict[str, str]:
        """Numpy names of the types of inputs and outputs, as far as they are known."""
        from onnx import helper

        kinds = {info.name: info.type.tensor_type.elem_type for info in self.proto.graph.output}
        known = {
            name: str(helper.tensor_dtype_to_np_dtype(kind)) for name, kind in kinds.items() if kind
        }
        return known | dict(self.feeding.types)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Dimensions of the first input; None where one is dynamic."""
        return self.inputs[0].shape or ()


def load_model(
    path: Path, constants: Mapping[str, Any] | None = None, *, arrays: bool = False
) -> LoadedModel:
    """Read and check an FP32 model.

    Args:
        path: ONNX file; its weights may be in external data files in the same folder.
        constants: value of each input that never changes, by its name.
        arrays: whether the other inputs may be any, such as two images or the ids of tokens;
            `check_input` compares them with the data. False wants a single image.

    Raises:
        ModelError: the file is missing, damaged, not an ONNX model, not FP32 or not a function of
            its image, its inputs are not those, or a constant does not fit.
    """
    read = read_model(path)
    proto = read.proto
    check_structure(path, proto)
    check_versions(path, proto)
    check_functions(path, proto)
    _check_onnx(path, proto)
    proto, fixed = fix_inputs(path, proto, constants or {})
    inputs = inputs_of(proto.graph)
    if not arrays:
        check_image_input(path, inputs, None)
    expanded = with_casts(inlined(path, proto))
    check_operators_known(path, expanded)
    check_deterministic(path, expanded)
    check_not_training(path, expanded)
    check_operators(path, expanded)
    check_stored_types(path, read.proto)
    weights = tuple(weights_of(expanded))
    check_stored_weights(path, weights)
    check_activations(path, expanded)
    _check_outputs(path, proto.graph)
    check_constants(path, expanded.graph)
    check_values(path, weights, computed_weights(path, expanded, weights))
    return LoadedModel(
        path=path,
        proto=proto,
        digest=read.digest,
        size=read.size,
        files=read.files,
        opset=next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")),
        inputs=inputs,
        output_names=tuple(output.name for output in proto.graph.output),
        subnormal_weights=count_subnormal(expanded.graph),
        half_precision=half_precision(expanded.graph),
        feeding=feeding_of(inputs, fixed),
    )


def check_input(model: LoadedModel, shape: Shape | Mapping[str, Shape]) -> None:
    """Check that images or rows of data fit the inputs that the model declares.

    Args:
        model: a loaded model.
        shape: shape of one preprocessed image, such as (1, 3, 112, 112), or the shapes of the
            arrays of one row by the names of the inputs.

    Raises:
        ModelError: there are other inputs, or a fixed dimension differs. A first dimension above 1
            is a fixed batch, which fits.
    """
    if isinstance(shape, Mapping):
        check_arrays(model.path, model.inputs, shape)
    else:
        check_image_input(model.path, model.inputs, shape)


def _check_onnx(path: Path, proto: ModelProto) -> None:
    import onnx

    # Of outputs, onnx requires shapes, which onnxruntime infers.
    shapeless = [i for i in proto.graph.output if not i.type.tensor_type.HasField("shape")]
    tensors = [info for info in shapeless if info.type.HasField("tensor_type")]
    for info in tensors:
        info.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as error:
        raise ModelError(
            path,
            f"is not a valid ONNX model ({one_line(error)})",
            "export the model again and run onnx.checker on it",
        ) from error
    finally:
        for info in tensors:
            info.type.tensor_type.ClearField("shape")
    if not any(o.domain in ("", "ai.onnx") for o in proto.opset_import):
        raise ModelError(
            path, "does not import the standard operator set", "export the model again"
        )


def _check_outputs(path: Path, graph: GraphProto) -> None:
    from onnx import TensorProto

    names = [info.name for info in graph.output]
    given = {info.name for info in graph.input} - {tensor.name for tensor in graph.initializer}
    for info in graph.output:
        if info.type.WhichOneof("value") not in (None, "tensor_type"):
            raise ModelError(
                path,
                f"output {shown(info.name)} is not a tensor",
                "export the model without sequences and maps among its outputs",
            )
        if info.type.tensor_type.elem_type == TensorProto.STRING:
            raise ModelError(
                path,
                f"output {shown(info.name)} is text, which nothing can be compared with",
                "export the model without it, and look labels up in your own code",
            )
        if info.name in given or names.count(info.name) > 1:
            what = "is its input" if info.name in given else "occurs twice"
            raise ModelError(
                path, f"output {shown(info.name)} {what}", "export the model without that output"
            )
