"""The runtime "torch": exported programs are opened without running code of their file."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_kycquant.errors import ModelError, RuntimeUnavailableError, SpecError
from pytest_kycquant.quantize.contents import contents
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.formats import identify
from pytest_kycquant.spec.runtime import Runtime
from tests.worlds.population import Run
from tests.worlds.projects import project, rewrite_ratio, run, shared_cache  # noqa: F401
from tests.worlds.torch_models import SOURCE, exported, torch_or_skip, write_source

torch = torch_or_skip()

RUNTIME = Runtime("torch")
MARK = "KYCQUANT_CODE_RAN"


def module() -> Any:
    """A small embedder with two outputs."""

    class Embedder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.PReLU(8)
            )
            self.fc = torch.nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            pooled = self.features(x).mean((2, 3))
            return self.fc(pooled), pooled

    torch.manual_seed(0)
    return Embedder().eval()


def saved_program(model: Any, *shapes: tuple[int, ...], **options: Any) -> bytes:
    stream = io.BytesIO()
    inputs = tuple(torch.zeros(shape) for shape in shapes or [(1, 3, 16, 16)])
    torch.export.save(torch.export.export(model, inputs, **options), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def content() -> bytes:
    return saved_program(module())


def image(batch: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 1, (batch, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("from_path", [True, False])
def test_a_program_gives_what_its_module_gives(
    content: bytes, tmp_path: Path, from_path: bool
) -> None:
    (tmp_path / "m.pt2").write_bytes(content)
    model = library(RUNTIME).open(tmp_path / "m.pt2" if from_path else content)
    assert model.inputs == ("x",)
    assert [port.shape for port in model.input_ports] == [(1, 3, 16, 16)]
    assert [(port.shape, port.dtype) for port in model.output_ports] == [
        ((1, 4), "float32"),
        ((1, 8), "float32"),
    ]
    with torch.inference_mode():
        expected = module()(torch.from_numpy(image()))
    for found, tensor in zip(model.run({"x": image()}), expected, strict=True):
        np.testing.assert_array_equal(found, tensor.numpy())


def test_outputs_are_copies(content: bytes) -> None:
    class Same(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.flatten(1)

    model = library(RUNTIME).open(saved_program(Same()))
    given = image()
    (found,) = model.run({"x": given})
    found[:] = 7
    assert not (given == 7).any()


def test_an_array_that_is_read_only(content: bytes) -> None:
    given = image()
    given.flags.writeable = False
    library(RUNTIME).open(content).run({"x": given})


def test_a_batch_that_is_free() -> None:
    batch = torch.export.Dim("batch", min=1, max=8)
    stream = io.BytesIO()
    program = torch.export.export(
        module(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes={"x": {0: batch}}
    )
    torch.export.save(program, stream)
    model = library(RUNTIME).open(stream.getvalue())
    assert model.input_ports[0].shape == (None, 3, 16, 16)
    assert model.run({"x": image(5)})[0].shape == (5, 4)
    with pytest.raises(ModelError, match=r"generated model: fails \(.*to be <= 8, but got 9"):
        model.run({"x": image(9)})


def test_several_inputs_by_their_names() -> None:
    class Difference(torch.nn.Module):
        def forward(self, selfie: Any, document: Any) -> Any:
            return selfie - document

    model = library(RUNTIME).open(saved_program(Difference(), (1, 2), (1, 2)))
    assert model.inputs == ("selfie", "document")
    one, two = np.array([[1, 2]], np.float32), np.array([[4, 8]], np.float32)
    (found,) = model.run({"document": two, "selfie": one})
    assert found.tolist() == [[-3, -6]]


def test_another_shape(content: bytes) -> None:
    model = library(RUNTIME).open(content)
    with pytest.raises(ModelError, match=r"generated model: fails \(.*got 17"):
        model.run({"x": np.zeros((1, 3, 17, 16), np.float32)})


def test_one_thread_does_all_the_work() -> None:
    class Heavy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*[torch.nn.Conv2d(32, 32, 3) for _ in range(8)])

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    work = (
        library(RUNTIME)
        .open(saved_program(Heavy(), (1, 32, 96, 96)))
        .runner({"x": np.ones((1, 32, 96, 96), np.float32)})
    )
    work()
    thread, process = time.thread_time(), time.process_time()
    for _ in range(20):
        work()
    thread, process = time.thread_time() - thread, time.process_time() - process
    assert thread > 0.9 * process
    assert library(RUNTIME).clock == "thread"


def test_threads_of_the_process_are_held_to_one(content: bytes) -> None:
    model = library(RUNTIME).open(content)
    seen: list[int] = []

    def work() -> None:
        torch.set_num_threads(2)  # as another library might
        model.run({"x": image()})
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=work)
    other.start()
    other.join()
    assert seen == [1]


def test_runs_at_the_same_time_do_not_disturb_each_other(content: bytes) -> None:
    model = library(RUNTIME).open(content)
    given = [image() + number for number in range(8)]
    expected = [model.run({"x": each})[0] for each in given]
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        for _ in range(20):
            found[number] = model.run({"x": given[number]})[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, each in enumerate(expected):
        np.testing.assert_array_equal(found[number], each)


def test_what_it_says_of_itself() -> None:
    found = library(RUNTIME)
    assert found.describe() == (
        f"torch {torch.__version__}, eager, set_num_threads(1), inference mode"
    )
    assert found.settings()["torch.set_num_threads"] == "1"


def test_float32_that_is_computed_otherwise() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(RuntimeUnavailableError, match="may compute float32 in bfloat16"):
            library(RUNTIME).load()
    finally:
        torch.set_float32_matmul_precision("highest")


def test_options() -> None:
    with pytest.raises(SpecError, match="torch has none here"):
        library(Runtime("torch", options={"threads": 2}))


def of_torch_2_6(*, state: bytes | None = None) -> bytes:
    """A program as torch before 2.8 saved it."""
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    found = serialize(torch.export.export(module(), (torch.zeros(1, 3, 16, 16),)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
        archive.writestr("serialized_exported_program.json", found.exported_program)
        archive.writestr("serialized_state_dict.pt", state or found.state_dict)
        archive.writestr("serialized_constants.pt", found.constants)
        archive.writestr("serialized_example_inputs.pt", found.example_inputs)
    return stream.getvalue()


def test_a_file_of_older_versions() -> None:
    model = library(RUNTIME).open(of_torch_2_6())
    with torch.inference_mode():
        expected, _ = module()(torch.from_numpy(image()))
    np.testing.assert_array_equal(model.run({"x": image()})[0], expected.numpy())


def test_code_in_a_file_of_older_versions(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="loading it could run any code"):
        library(RUNTIME).open(of_torch_2_6(state=saved(Evil())))
    assert MARK not in "".join(capfd.readouterr())


# What is not an exported program


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_file(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    torch.jit.trace(module(), torch.zeros(1, 3, 16, 16)).save(str(path))
    with pytest.raises(ModelError, match=r"m\.pt2: is a TorchScript file"):
        library(RUNTIME).open(path)


def test_a_state_dict() -> None:
    with pytest.raises(ModelError, match=r"is a file of torch\.save, not an exported program"):
        library(RUNTIME).open(saved(module().state_dict()))


def test_another_archive() -> None:
    with pytest.raises(ModelError, match="is an archive without an exported program"):
        library(RUNTIME).open(rewritten(None, {"readme.txt": b"hello"}))


@pytest.mark.parametrize("damage", [lambda c: c[:2000], lambda c: b"no zip", lambda c: b""])
def test_a_file_that_is_damaged(
    content: bytes, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "m.pt2").write_bytes(damage(content))
    with pytest.raises(ModelError, match=r"m\.pt2: is"):
        library(RUNTIME).open(tmp_path / "m.pt2")


def test_weights_that_are_cut_off(content: bytes) -> None:
    changed = rewritten(content, {"data/weights/weight_0": bytes(8)})
    with pytest.raises(ModelError, match=r"torch \S+ cannot load it"):
        library(RUNTIME).open(changed)


def test_an_operator_that_torch_does_not_have(content: bytes) -> None:
    changed = of_program(
        content, lambda text: text.replace("torch.ops.aten.prelu.default", "torch.ops.own.nms.x")
    )
    with pytest.raises(ModelError, match=r"needs operators that torch does not have here: own\.nm"):
        library(RUNTIME).open(changed)


class Quantized(torch.nn.Module):
    """A product as PT2E writes it: integer weights, which are dequantized in the program."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(-8, 8, dtype=torch.int8).reshape(4, 4))

    def forward(self, x: Any) -> Any:
        given, known = torch.ops.quantized_decomposed, (0.5, 3, -128, 127, torch.int8)
        x = given.dequantize_per_tensor(given.quantize_per_tensor(x, *known), *known)
        weight = given.dequantize_per_tensor(self.weight, 0.25, 0, -128, 127, torch.int8)
        return torch.nn.functional.linear(x, weight)


def test_a_program_that_pt2e_quantized_in_a_process_that_did_not_make_it(tmp_path: Path) -> None:
    pytest.importorskip("torch.ao.quantization.fx._decomposed")
    path = tmp_path / "m.pt2"
    path.write_bytes(saved_program(Quantized(), (1, 4)))
    code = f"""
import numpy as np
from pathlib import Path
from pytest_kycquant.quantize.contents import contents
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.formats import identify
from pytest_kycquant.spec.runtime import Runtime
path = Path({str(path)!r})
opened = library(Runtime("torch")).open(path)
print(opened.run({{opened.inputs[0]: np.ones((1, 4), np.float32)}})[0].tolist())
print(contents(path, identify(path).digest).quantized)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[[-6.5, -2.5, 1.5, 5.5]]", "{'linear': 1}"], done.stderr


def test_an_input_that_is_not_a_tensor() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: Any, factor: int) -> Any:
            return x * factor

    stream = io.BytesIO()
    torch.export.save(torch.export.export(Scaled(), (torch.zeros(1, 2), 3)), stream)
    with pytest.raises(ModelError, match="has an input that is not a tensor"):
        library(RUNTIME).open(stream.getvalue())


# Files that would run code


class Evil:
    """An object whose unpickling prints a mark."""

    def __reduce__(self) -> Any:
        return print, (MARK,)


def rewritten(content: bytes | None, files: Mapping[str, bytes]) -> bytes:
    """An archive with some files replaced or added."""
    known: dict[str, bytes] = {}
    if content is not None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            known = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(known), "archive/").split("/")[0]
    known |= {f"{root}/{name}": data for name, data in files.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in known.items():
            archive.writestr(name, data)
    return stream.getvalue()


def file_of(content: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (full,) = (each for each in archive.namelist() if each.endswith(f"/{name}"))
        return archive.read(full)


def of_program(content: bytes, change: Callable[[str], str]) -> bytes:
    text = change(file_of(content, "models/model.json").decode())
    return rewritten(content, {"models/model.json": text.encode()})


def pickled_weight(content: bytes, path: str = "weight_0") -> bytes:
    name = "data/weights/model_weights_config.json"
    config = json.loads(file_of(content, name))
    weight = config["config"]["features.0.weight"]
    weight["use_pickle"], weight["path_name"] = True, path
    files = {name: json.dumps(config).encode(), f"data/weights/{path}": saved(Evil())}
    return rewritten(content, files)


def evil_constant(content: bytes, path: str) -> bytes:
    name = "data/constants/model_constants_config.json"
    config = {"config": {"c": {"path_name": path, "is_param": False, "use_pickle": True}}}
    files = {name: json.dumps(config).encode(), f"data/constants/{path}": pickle.dumps(Evil())}
    return rewritten(content, files)


def evil_size(content: bytes) -> bytes:
    expression = {"as_expr": {"expr_str": f'print("{MARK}") or 1', "hint": {"as_int": 16}}}
    return of_program(
        content,
        lambda text: text.replace('{"as_int": 16}', json.dumps(expression), 1),
    )


REFUSED = {
    "a pickled weight": pickled_weight,
    "weights of older files": lambda c: rewritten(c, {"data/weights/model.pt": saved(Evil())}),
    "a constant": lambda c: evil_constant(c, "tensor_0"),
    "a custom object": lambda c: evil_constant(c, "custom_obj_0"),
    "an opaque object": lambda c: evil_constant(c, "opaque_obj_0"),
    "a size": evil_size,
    "a function of Python": lambda c: of_program(
        c, lambda t: t.replace("torch.ops.aten.prelu.default", "torch.serialization.os.system")
    ),
    "an extension": lambda c: of_program(
        c, lambda t: t.replace("torch.ops.aten.prelu.default", "#print")
    ),
    "the name of an input": lambda c: of_program(
        c, lambda t: t.replace('"name": "x"', f'"name": "x=print(\'{MARK}\')"')
    ),
    "the name of a weight": lambda c: of_program(
        c, lambda t: t.replace('"fc.weight"', f'"a\\") or print(\'{MARK}\') or (\\""')
    ),
    "compiled code": lambda c: rewritten(c, {"data/aotinductor/model/x.so": b"\x7fELF"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_code_of_a_file_is_not_run(
    content: bytes, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = REFUSED[what](content)
    assert changed != content
    with pytest.raises(ModelError, match=r"run any code|would evaluate as code|run unchecked"):
        library(RUNTIME).open(changed)
    assert MARK not in "".join(capfd.readouterr())


@pytest.mark.parametrize("what", ["example inputs", "guards"])
def test_what_a_program_does_not_need_is_left_out(
    content: bytes, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = rewritten(content, {"data/sample_inputs/model.pt": saved(Evil())})
    if what == "guards":
        program = json.loads(file_of(content, "models/model.json"))
        program["guards_code"] = [f'print("{MARK}") or True']
        changed = rewritten(content, {"models/model.json": json.dumps(program).encode()})
    model = library(RUNTIME).open(changed)
    assert model.run({"x": image()})[0].shape == (1, 4)
    assert MARK not in "".join(capfd.readouterr())


def test_the_mark_shows_what_torch_itself_would_do(
    content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r"."):  # only after it has run the code
        torch.export.load(io.BytesIO(pickled_weight(content)))
    assert MARK in capfd.readouterr().out


def test_an_archive_that_is_compressed(content: bytes) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/models/model.json", file_of(content, "models/model.json"))
    with pytest.raises(ModelError, match="is compressed, which torch never does"):
        library(RUNTIME).open(stream.getvalue())


def quantized(model: Any) -> Any:
    """The module with the weights of its convolutions and its layer in 8 bits."""

    class Layer(torch.nn.Module):
        def __init__(self, layer: Any) -> None:
            super().__init__()
            weight = layer.weight.detach()
            scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / 127
            self.register_buffer("weight", torch.round(weight / scale).to(torch.int8))
            self.register_buffer("scale", scale)
            self.bias = layer.bias
            self.stride = getattr(layer, "stride", None)

        def forward(self, x: Any) -> Any:
            weight = self.weight.to(torch.float32) * self.scale
            if self.stride is None:
                return torch.nn.functional.linear(x, weight, self.bias)
            return torch.nn.functional.conv2d(x, weight, self.bias, self.stride)

    for name, child in model.named_children():
        if isinstance(child, (torch.nn.Conv2d, torch.nn.Linear)):
            setattr(model, name, Layer(child))
        else:
            quantized(child)
    return model


@pytest.fixture
def given_program(
    project: Callable[..., None],  # noqa: F811
    pytester: pytest.Pytester,
) -> Callable[[Callable[[Any], Any]], None]:
    """Write a gate of a ``.pt2`` file that is made of the embedder."""

    def write(change: Callable[[Any], Any]) -> None:
        project(precisions='"int8-weights"', fallback=None)
        gate = pytester.path / "test_gate.py"
        text = gate.read_text().replace("Recipe\n", "Prequantized, Recipe\n", 1)
        gate.write_text(text.replace('"int8-weights"', 'Prequantized("model.pt2")'))
        scope: dict[str, Any] = {"__file__": str(write_source(pytester.path))}
        exec(SOURCE, scope)
        (pytester.path / "model.pt2").write_bytes(exported(change(scope["make"]().eval())))

    return write


def test_a_gate_judges_a_program_that_was_given(
    given_program: Callable[[Callable[[Any], Any]], None],
    run: Run,  # noqa: F811
) -> None:
    given_program(quantized)
    result = run("-v")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == sum(outcomes.values()), result.stdout.str()
    result.stdout.fnmatch_lines(["*runs on torch *"])


def test_a_gate_of_a_program_in_float(
    given_program: Callable[[Callable[[Any], Any]], None],
    run: Run,  # noqa: F811
) -> None:
    given_program(lambda model: model)
    result = run("-v")
    assert result.parseoutcomes().keys() == {"errors", "unjudged"}, result.stdout.str()
    result.stdout.fnmatch_lines(["*model.pt2: is a float file*"])


def test_what_a_program_contains(tmp_path: Path) -> None:
    model = module()
    model.fc = quantized(torch.nn.Sequential(model.fc))[0]
    model.features[1].weight.data[2] = float("nan")
    (tmp_path / "m.pt2").write_bytes(saved_program(model))
    found = contents(tmp_path / "m.pt2", identify(tmp_path / "m.pt2").digest)
    assert (found.quantized, found.kept) == ({"linear": 1}, {"conv2d": 1})
    assert found.broken == ("features.1.weight",)
    assert found.notes == ("1 of 1 conv2d are in float",)
