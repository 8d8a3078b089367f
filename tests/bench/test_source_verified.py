"""FP32 is compared with the torch model that it was exported from, and with other runtimes."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pytest_kycquant import FaceVerification, KycModel, Preprocess
from pytest_kycquant.bench.conversion import Conversion
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.errors import DataError, ModelError, RuntimeUnavailableError, SpecError
from pytest_kycquant.quantize.load import load_model
from pytest_kycquant.runtimes import RUNTIMES, library
from pytest_kycquant.runtimes.growth import (
    Layer,
    _module_path,
    difference,
    first_growth,
    output_difference,
    verify,
)
from pytest_kycquant.spec.runtime import Runtime, RuntimeLine
from tests.worlds.outcomes import stopped
from tests.worlds.population import Run, embedder
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401
from tests.worlds.torch_models import exported, torch_or_skip, write_source


@pytest.fixture
def torch() -> Any:
    return torch_or_skip()


def probes() -> Iterator[tuple[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    for number in range(3):
        yield f"face_{number}.png", rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)


def conversion(path: Path, context: Any = None) -> Conversion:
    loaded = load_model(path)

    def resolve(given: Any, attribute: str) -> Path:
        found = path.parent.parent / given
        if not found.exists():
            raise DataError(attribute, f"{found} does not exist", "give another path")
        return found

    context = context or scratch_context()
    return Conversion(context, loaded, "face", resolve, probes, lambda: [loaded.digest])


@pytest.fixture
def face(tmp_path: Path) -> Path:
    write_source(tmp_path)
    (tmp_path / "models").mkdir()
    onnx.save(embedder(), tmp_path / "models" / "face.onnx")
    return tmp_path / "models" / "face.onnx"


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    """A file beside another one, with something changed."""
    proto = onnx.load(path)
    change(proto.graph)
    onnx.save(proto, path.with_name("changed.onnx"))
    return path.with_name("changed.onnx")


def scaled(name: str, factor: float) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        (tensor,) = (each for each in graph.initializer if each.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, name))

    return change


def source_of(torch: Any, face: Path) -> Any:
    scope: dict[str, Any] = {"__file__": str(face.parent.parent / "source.py")}
    exec((face.parent.parent / "source.py").read_text(), scope)
    return scope["make"]()


# A source that fits


@pytest.mark.parametrize("given", ["source.py:make", "model.pt2"])
def test_a_file_that_computes_what_its_source_does(torch: Any, face: Path, given: str) -> None:
    (face.parent.parent / "model.pt2").write_bytes(exported(source_of(torch, face).eval()))
    note = conversion(face).verify_source(given)
    assert note.startswith("its outputs differ by at most ")
    assert note.endswith(f" of their largest value from {given}")


def test_a_module_that_can_be_imported(
    torch: Any, face: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face.parent.parent / "kycquant_own_source.py").write_text(
        (face.parent.parent / "source.py").read_text()
    )
    monkeypatch.syspath_prepend(face.parent.parent)
    conversion(face).verify_source("kycquant_own_source:make")


def test_it_is_compared_once(torch: Any, face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (face.parent.parent / "model.pt2").write_bytes(exported(source_of(torch, face).eval()))
    context = scratch_context()
    first = conversion(face, context).verify_source("model.pt2")
    monkeypatch.setattr("pytest_kycquant.runtimes.torch_source.open_source", None)
    assert conversion(face, context).verify_source("model.pt2") == first


def test_another_source_is_compared_again(torch: Any, face: Path) -> None:
    path, context = face.parent.parent / "model.pt2", scratch_context()
    model = source_of(torch, face).eval()
    path.write_bytes(exported(model))
    conversion(face, context).verify_source("model.pt2")
    model.tail[0].weight.data *= 1.1
    path.write_bytes(exported(model))
    with pytest.raises(ModelError, match=r"differs from model\.pt2 beyond float accuracy"):
        conversion(face, context).verify_source("model.pt2")


# The first operator where a difference grows


@pytest.mark.parametrize("given", ["source.py:make", "model.pt2"])
@pytest.mark.parametrize(
    ("weights", "operator", "layer"),
    [
        ("first.w", "Conv 'first'", "of stem"),
        ("slope", "PRelu 'prelu'", "of act"),
        ("third.w", "Conv 'third'", r"of body\.1"),
        ("fourth.w", "Conv 'fourth'", r"of tail\.0"),
        ("gemm.w", "Gemm 'gemm'", "of head"),
    ],
)
def test_the_layer_is_named(
    torch: Any, face: Path, given: str, weights: str, operator: str, layer: str
) -> None:
    (face.parent.parent / "model.pt2").write_bytes(exported(source_of(torch, face).eval()))
    with pytest.raises(
        ModelError,
        match=rf"changed\.onnx: differs from {given} beyond float accuracy: on face_0\.png, output "
        rf"'output' differs by .* of its largest value; the first operator where it grows is "
        rf"{operator} \(\w+ {layer} in {given}\), which .* although its inputs agree; export it",
    ):
        conversion(changed(face, scaled(weights, 1.05))).verify_source(given)


def test_only_the_first_of_two_is_named(torch: Any, face: Path) -> None:
    def change(graph: Any) -> None:
        scaled("second.w", 1.02)(graph)
        scaled("fifth.w", 3.0)(graph)

    with pytest.raises(ModelError, match="where it grows is Conv 'second'"):
        conversion(changed(face, change)).verify_source("source.py:make")


def test_a_difference_that_float_accuracy_explains(torch: Any, face: Path) -> None:
    conversion(changed(face, scaled("third.w", 1.0001))).verify_source("source.py:make")


@pytest.mark.parametrize("dynamo", [True, False])
def test_a_file_of_torchs_exporter(torch: Any, tmp_path: Path, dynamo: bool) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.PReLU(8)),
        nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()
    model[0][1].running_var.uniform_(0.5, 2)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "face.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 3, 16, 16),), str(path), dynamo=dynamo, verbose=False,
            external_data=False,
        )  # fmt: skip
    (tmp_path / "model.pt2").write_bytes(exported(model))
    conversion(path).verify_source("model.pt2")  # BatchNorm is folded in one and not in the other

    def change(graph: Any) -> None:
        node = [each for each in graph.node if each.op_type == "Conv"][1]
        scaled(node.input[1], 0.9)(graph)

    with pytest.raises(ModelError, match=r"grows is Conv \S+ \(conv2d of 1\.0 in model\.pt2\)"):
        conversion(changed(path, change)).verify_source("model.pt2")


def test_paths_of_modules_in_names_of_operators() -> None:
    def path(name: str, **properties: str) -> str:
        node = helper.make_node("Conv", ["x"], ["y"], name=name)
        for key, value in properties.items():
            node.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=value)
        return _module_path(node)

    assert path("/features/features.0/Conv") == "features.0"
    assert path("/layer1/layer1.0/conv1/Conv") == "layer1.0.conv1"
    assert path("/fc/Gemm") == "fc"
    assert path("/Add") == path("Conv_12") == ""
    assert path("n1", name_scopes="['', 'features', 'features.1', 'prelu']") == "features.1"
    assert path("n1", name_scopes="nothing") == ""


def test_a_tensor_without_counterpart_is_passed_over() -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["a"], name="own"),  # the other model has no such tensor
        helper.make_node("Log", ["a"], ["b"], name="back"),
        helper.make_node("Neg", ["b"], ["y"], name="wrong"),
    ]
    infos = [helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    x = np.array([1, 2, 3, 5], np.float32)
    found = {"a": np.exp(x), "b": x, "y": -x}
    layers = [Layer("same", "", x), Layer("twice", "", 2 * x * np.float32([1, 1, 1, 1.4]))]
    where = first_growth(graph, {**found, "y": x * 3}, layers, "the source")
    assert "where it grows is Neg 'wrong' (twice in the source)," in where
    where = first_growth(graph, found, layers[:1], "the source")
    assert "begins at Neg 'wrong' or behind it; no layer of the source" in where


@pytest.mark.parametrize(
    ("expected", "found", "result"),
    [
        ([1.0, 2.0], [1.0, 2.002], 0.001),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1e-5, 2e-5], [1e-5, 2.01e-5], 1e-4),  # not 5e-3: kernels round sigmoids so
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, np.inf], [1.0, -np.inf], np.inf),
        ([1.0, 2.0], [1.0, np.inf], np.inf),
    ],
)
def test_relative_differences(expected: Any, found: Any, result: float) -> None:
    assert difference(np.array(expected), np.array(found)) == pytest.approx(result)


def test_scores_beside_boxes_have_a_scale_of_their_own() -> None:
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 320, (1, 4, 100)), rng.uniform(0, 0.9, (1, 1, 100))
    expected = np.concatenate([boxes, scores], 1)
    found = expected.copy()
    found[0, 4, 7] += 0.02
    for one, two in ((expected, found), (expected.swapaxes(1, 2), found.swapaxes(1, 2))):
        assert difference(one, two) < 1e-3 < output_difference(one, two)
    embedding = rng.normal(0, 1, (1, 512))
    embedding[0, 3] = 1e-5  # the scale of one value is not that of its rounding
    rounded = embedding + 1e-6
    assert output_difference(embedding, rounded) == difference(embedding, rounded)


# Sources that do not fit


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("source.py:other", r"grows is Conv 'fourth' \(\w+ of tail\.0 in source\.py:other"),
        (
            "source.py:infinite",
            r"'output' is NaN or Inf in one of them only; .* grows is Gemm 'gemm' \(addmm of head",
        ),
        ("source.py:Two", r"face\.onnx: has 1 outputs, and source\.py:Two has 2"),
        ("source.py:Wide", r"output 'output' has the shape \(1, 96\), and \(1, 50\) in source\.py"),
        ("source.py:Pair", r"has 2 inputs, and face\.onnx has 1"),
        ("source.py:Text", r"returns 'str', which is not a tensor"),
        ("source.py:Picky", r"fails on what the ONNX file takes \(no faces, please\)"),
        ("source.py:broken", r"cannot be loaded \(RuntimeError: no weights\)"),
        ("source.py:NUMBER", r"source\.py:NUMBER: is 'int', not an nn\.Module"),
        ("source.py:none", r"cannot be loaded \(AttributeError: .*none"),
        ("no_such_package.faces:make", r"cannot be loaded \(ModuleNotFoundError: No module named"),
    ],
)
def test_sources_that_do_not_fit(torch: Any, face: Path, given: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        conversion(face).verify_source(given)


@pytest.mark.parametrize("given", ["nowhere.py:make", "nowhere.pt2"])
def test_a_source_that_does_not_exist(torch: Any, face: Path, given: str) -> None:
    with pytest.raises(DataError, match=rf"KycModel\.source: .*{given.partition(':')[0]}"):
        conversion(face).verify_source(given)


def test_a_program_of_other_images(torch: Any, face: Path) -> None:
    model = torch.nn.Flatten()
    (face.parent.parent / "model.pt2").write_bytes(exported(model, (1, 3, 32, 32)))
    with pytest.raises(ModelError, match=r"has the shape \(1, 3, 32, 32\), and the images have"):
        conversion(face).verify_source("model.pt2")


def test_a_program_in_training_mode(torch: Any, face: Path) -> None:
    (face.parent.parent / "model.pt2").write_bytes(exported(source_of(torch, face).train()))
    with pytest.raises(ModelError, match=r"was exported in training mode: dropout"):
        conversion(face).verify_source("model.pt2")


def test_a_source_that_is_random(torch: Any, face: Path) -> None:
    class Noisy(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            return torch.rand(1, 96) + x.sum()

    (face.parent.parent / "model.pt2").write_bytes(exported(Noisy()))
    with pytest.raises(ModelError, match=r"model\.pt2: gives other outputs each time it runs"):
        conversion(face).verify_source("model.pt2")


def test_a_file_that_is_not_a_program(torch: Any, face: Path) -> None:
    (face.parent.parent / "model.pt2").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(ModelError, match=r"model\.pt2: is not a file of torch\.export, or is"):
        conversion(face).verify_source("model.pt2")


def test_without_torch(face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(RuntimeUnavailableError, match=r'install --upgrade "pytest-kycquant\[torc'):
        conversion(face).verify_source("source.py:make")


# What a gate file says


def model(**options: Any) -> KycModel:
    return KycModel(
        options.pop("path", "face.onnx"), Preprocess(size=(16, 16)), FaceVerification("faces"),
        **options,
    )  # fmt: skip


def test_sources_in_a_gate_file(tmp_path: Path) -> None:
    assert model().sources == ()
    assert model(source="m.pt2").sources == ("m.pt2",)
    assert model(source=tmp_path / "m.pt2").sources == (str(tmp_path / "m.pt2"),)
    assert model(source="own.faces:Embedder.make").sources == ("own.faces:Embedder.make",)


@pytest.mark.parametrize("given", ["model.pt", "model", "own.faces", ":make", "own:", "a:b c", 3])
def test_sources_that_are_not_torch_models(given: Any) -> None:
    with pytest.raises(SpecError, match=r"KycModel\.source: .* is not a (torch model|path)"):
        model(source=given)


def test_one_source_for_each_file() -> None:
    with pytest.raises(SpecError, match=r"KycModel\.source: there are 2 for 1 files"):
        model(source=("a.pt2", "b.pt2"))


# FP32 on another runtime


class Faulty:
    """onnxruntime, but one of its operators computes wrongly; see `Library`."""

    clock, stops = "thread", True
    wrong = "third.w"
    opened = 0

    def __init__(self, runtime: Runtime) -> None:
        pass

    def describe(self) -> str:
        return "faulty 1.0"

    def settings(self) -> Mapping[str, str]:
        return {}

    def load(self) -> None:
        pass

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> Any:
        type(self).opened += 1
        content = model if isinstance(model, bytes) else model.read_bytes()
        proto = onnx.ModelProto.FromString(content)
        if self.wrong:
            scaled(self.wrong, 1.01)(proto.graph)
        return library().open(proto.SerializeToString(), threads=threads, exact=exact)


class Fusing(Faulty):
    """A runtime that is wrong only where no tensor between operators is asked for."""

    def describe(self) -> str:
        return "fusing 1.0"

    def open(self, model: bytes | Path, *, threads: int = 1, exact: bool = False) -> Any:
        assert isinstance(model, bytes)
        alone = len(onnx.ModelProto.FromString(model).graph.output) == 1
        self.wrong = "third.w" if alone else ""  # type: ignore[misc]
        return super().open(model, threads=threads, exact=exact)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    for kind in (Faulty, Fusing):
        line = RuntimeLine(f"{__name__}:{kind.__name__}")
        monkeypatch.setitem(RUNTIMES, kind.__name__.lower(), line)
    monkeypatch.setattr(Faulty, "wrong", "third.w")
    monkeypatch.setattr(Faulty, "opened", 0)
    return Runtime("faulty")


def test_a_runtime_with_a_faulty_operator(face: Path, faulty: Runtime) -> None:
    with pytest.raises(
        ModelError,
        match=r"face\.onnx: differs on faulty 1\.0 from FP32 on onnxruntime beyond float accuracy: "
        r"on face_0\.png, .*; the first operator where it grows is Conv 'third', which .* although",
    ):
        conversion(face).verify_runtime(faulty)


def test_a_fault_of_what_a_runtime_fuses(face: Path, faulty: Runtime) -> None:
    with pytest.raises(
        ModelError, match="no operator deviates by itself, so what the runtime fuses"
    ):
        conversion(face).verify_runtime(Runtime("fusing"))


def test_a_sound_runtime_is_compared_once(
    face: Path, faulty: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "wrong", "")
    context = scratch_context()
    for _ in range(3):
        conversion(face, context).verify_runtime(faulty)
    assert Faulty.opened == 1


def test_a_difference_that_is_lost_on_the_way(face: Path, faulty: Runtime) -> None:
    """One output does not show the fault of its branch, and the other one does."""

    def change(graph: Any) -> None:
        nodes = [
            helper.make_node("Clip", ["d"], ["clipped"], name="clip"),
            helper.make_node("Mul", ["clipped", "zero"], ["nothing"], name="nothing"),
        ]
        graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
        graph.node.extend(nodes)
        graph.output.append(helper.make_tensor_value_info("nothing", 1, None))

    with pytest.raises(ModelError, match="first operator where it grows is Conv 'third', which"):
        conversion(changed(face, change)).verify_runtime(faulty)


@pytest.mark.parametrize("runtime", [Runtime(), Runtime("torch")])
def test_runtimes_that_are_not_compared(face: Path, runtime: Runtime) -> None:
    conversion(face).verify_runtime(runtime)


def test_outputs_are_compared_in_their_order() -> None:
    one = np.ones((1, 2), np.float32)
    assert verify([one, one * 2], [one, one * 2], "ab", "m.tflite", "m.onnx") == (0.0, None)
    _, deviation = verify([one, one * 2], [one, one * 3], "ab", "m.tflite", "m.onnx")
    assert deviation is not None
    assert deviation.describe() == "output 'b' differs by 0.5 of its largest value"


# Gates


def gate(folder: Path, source: str) -> None:
    path = folder / "test_gate.py"
    line = 'calibration="calibration.npz",'
    path.write_text(path.read_text().replace(line, f'{line}\n        source="{source}",'))


def test_a_gate_with_a_source_that_fits(
    torch: Any,
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    project(golden=False, precisions='"int8-weights"', fallback=None)
    write_source(pytester.path)
    gate(pytester.path, "source.py:make")
    recorded = run("--kycquant-update-golden", "-q", "-k", "test_size")
    recorded.assert_outcomes(passed=1, deselected=5)
    result = run("-v")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == sum(outcomes.values()), result.stdout.str()
    result.stdout.fnmatch_lines(["*its outputs differ by at most * from source.py:make*"])


def test_a_gate_with_the_source_of_another_model(
    torch: Any,
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
    pytester: pytest.Pytester,
) -> None:
    project(golden=False, precisions='"int8-weights"', fallback=None)
    write_source(pytester.path)
    gate(pytester.path, "source.py:other")
    result = run("--kycquant-update-golden", "-v")
    stopped(result, 6)
    assert not (pytester.path / "golden" / "face.json").exists()
    result.stdout.fnmatch_lines(["*face.onnx: differs from source.py:other*Conv 'fourth'*"])


def test_a_gate_on_a_faulty_runtime(
    faulty: Runtime,
    project: Callable[..., None],  # noqa: F811
    run: Run,  # noqa: F811
) -> None:
    project(precisions='Recipe("int8-weights", runtime="faulty")', fallback=None)
    result = run("-v")
    stopped(result, 6)
    result.stdout.fnmatch_lines(["*face.onnx: differs on faulty 1.0 from FP32*Conv 'third'*"])
