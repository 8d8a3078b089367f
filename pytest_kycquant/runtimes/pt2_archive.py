"""Exported programs of torch as files: what of a ``.pt2`` file may reach `torch.export.load`.

That function trusts its file. It unpickles objects, loads native code, evaluates expressions of
sizes as Python, and turns names into the source of a function. A model file is data here, so its
parts are checked and written into a new archive, which alone is loaded. What it does not need,
such as example inputs and guards, is left out.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ModelError, one_line
from ..spec.coerce import shown

_EXPORT = "export the model again: torch.export.save(torch.export.export(model, inputs), path)"
_MODEL = "models/model.json"
_LEGACY = "serialized_exported_program.json"  # of torch before 2.8
_PICKLED = ("serialized_state_dict.pt", "serialized_constants.pt")
_EXAMPLES = ("data/sample_inputs/model.pt", "serialized_example_inputs.pt")
_WEIGHTS = ("data/weights/", "data/constants/")
_OBJECTS = ("custom_obj_", "opaque_obj_")
_NATIVE = ("data/aotinductor/", "data/executorch/")
_KEPT = ("archive_format", "archive_version", "byteorder", "version", ".data/")
# Names become identifiers of a generated function, or strings in it; paths of modules have dots.
_NAME = re.compile(r"[\w.:+\-/<>\[\] ]*")
_TARGET = re.compile(r"torch\.ops\.\w+\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+")
_FREE = {"metadata", "as_string", "as_strings", "guards_code"}
_FUNCTION = re.compile(r"[A-Z]\w*|floor|ceiling")  # of sympy; Python's own are lower case
# Operators of torch that it has once a module is imported: those of programs that PT2E quantizes.
_REGISTERED = {"quantized_decomposed": "torch.ao.quantization.fx._decomposed"}
_SUMS = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Name,
    ast.Constant,
)  # fmt: skip


def checked_archive(content: bytes, where: object) -> bytes:
    """Check an exported program and return an archive of its data alone.

    Args:
        content: the ``.pt2`` file.
        where: the file, for messages.

    Raises:
        ModelError: it is something else, is damaged, needs an operator that is not there, or holds
            what could run code when it is loaded.
    """
    root, files = _read(content, where)
    program = _program(files, where)
    _check_operators(program, where)
    for name in _pickled(files, where):
        _check_pickle(files.get(name, b""), name, where)
    kept: dict[str, bytes] = {}
    for name, data in files.items():
        if name in (_MODEL, _LEGACY):
            kept[name] = json.dumps(program).encode()
        elif name in _EXAMPLES:
            kept[name] = b""
        elif name.startswith((*_WEIGHTS, *_PICKLED, *_KEPT)):
            kept[name] = data
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in kept.items():
            archive.writestr(root + name, data)
    return stream.getvalue()


def _read(content: bytes, where: object) -> tuple[str, dict[str, bytes]]:
    """The folder that all files of an archive are in, and these files."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            packed = any(each.compress_type for each in archive.infolist())
            found = {name: b"" if packed else archive.read(name) for name in names}
    except Exception as error:  # zipfile raises a dozen types
        raise ModelError(
            where, f"is not a file of torch.export, or is damaged ({one_line(error)})", _EXPORT
        ) from error
    if len(found) != len(names):
        raise ModelError(where, "holds two files of one name", _EXPORT)
    root = next((n.removesuffix(_MODEL) for n in names if n.endswith(f"/{_MODEL}")), "")
    files = {name.removeprefix(root): data for name, data in found.items()}
    if _MODEL in files or _LEGACY in files:
        if native := [name for name in files if name.startswith(_NATIVE)]:
            problem = f"holds compiled code, {shown(native[0])}, which would run unchecked"
            raise ModelError(where, problem, _EXPORT)
        if packed:  # small files could fill the memory
            raise ModelError(where, "is compressed, which torch never does", _EXPORT)
        return root, files
    bare = {name.partition("/")[2] for name in names}
    if "constants.pkl" in bare:
        problem = "is a TorchScript file, not an exported program"
    elif "data.pkl" in bare:
        problem = "is a file of torch.save, not an exported program"
    else:
        problem = "is an archive without an exported program"
    raise ModelError(where, problem, _EXPORT)


def _program(files: Mapping[str, bytes], where: object) -> Any:
    """The program as plain values, with every text checked that torch would evaluate."""
    try:
        program = json.loads(files[_MODEL if _MODEL in files else _LEGACY])
        for text, key in _texts(program):
            _check_text(text, key, where)
        if "guards_code" in program:
            program["guards_code"] = []  # Python; sizes are checked without them
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        problem = f"holds a program that cannot be read ({one_line(error)})"
        raise ModelError(where, problem, _EXPORT) from error
    return program


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a program that are not free, with the key that each stands under."""
    if isinstance(value, str):
        yield value, key
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, "name"
            if name not in _FREE:
                yield from _texts(each, name)


def _check_text(text: str, key: str, where: object) -> None:
    if key == "expr_str":
        fits = _is_sum(text)
    elif key in ("target", "as_operator"):
        fits = _TARGET.fullmatch(text) is not None
    else:
        fits = _NAME.fullmatch(text) is not None or _is_structure(text, where)
    if not fits:
        problem = f"holds {shown(text)}, which torch would evaluate as code"
        raise ModelError(where, problem, _EXPORT)


def _is_structure(text: str, where: object) -> bool:
    """Whether a text describes how inputs nest: JSON with names in it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, str):
        return False
    for each, _ in _texts(value):
        _check_text(each, "name", where)
    return True


def _is_sum(text: str) -> bool:
    """Whether a text is an expression of sizes, such as ``2*Symbol('s0', integer=True) + 1``.

    Functions of sympy may evaluate a text that they are given, so a text may only be a word.
    """
    try:
        parts = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    operators = (ast.operator, ast.unaryop, ast.cmpop, ast.expr_context)
    for part in parts:
        if isinstance(part, ast.Call):
            named = isinstance(part.func, ast.Name) and _FUNCTION.fullmatch(part.func.id)
            if not named:
                return False
        if isinstance(part, ast.Constant) and not _is_plain(part.value):
            return False
        if not isinstance(part, (*_SUMS, *operators)):
            return False
    return True


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float)) or (
        isinstance(value, str) and re.fullmatch(r"\w+", value) is not None
    )


def _check_operators(program: Any, where: object) -> None:
    """Name the operators of a program that torch does not have here."""
    import torch

    missing = set()
    for text, key in _texts(program):
        if key != "target" or not text.startswith("torch.ops."):
            continue
        names = text.split(".")[2:]
        _register(names[0])
        found: Any = torch.ops
        for name in names:
            found = getattr(found, name, None)
        if found is None:
            missing.add(text.removeprefix("torch.ops."))
    if missing:
        raise ModelError(
            where,
            f"needs operators that torch does not have here: {', '.join(sorted(missing))}",
            "install the package that adds them and import it in conftest.py, or export the model "
            "without them",
        )


def _register(namespace: str) -> None:
    """Import the part of torch that adds the operators of a namespace, if there is one."""
    if namespace in _REGISTERED:
        with contextlib.suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is to become part of another package
            importlib.import_module(_REGISTERED[namespace])


def _pickled(files: Mapping[str, bytes], where: object) -> Iterator[str]:
    """Names of the files of an archive that torch unpickles.

    Raises:
        ModelError: one of them is an object that is not a tensor.
    """
    for name, data in files.items():
        folder = next((each for each in _WEIGHTS if name.startswith(each)), None)
        if name in _PICKLED or (folder and name.endswith(".pt")):
            yield name
        if folder is None or not name.endswith(".json"):
            continue
        try:
            payloads = [(str(p["path_name"]), p["use_pickle"]) for p in _payloads(data)]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            problem = f"holds weights that cannot be read ({one_line(error)})"
            raise ModelError(where, problem, _EXPORT) from error
        for path, pickled in payloads:
            if path.startswith(_OBJECTS):
                raise _unsafe(where, path)
            if pickled:
                yield folder + path


def _payloads(data: bytes) -> list[dict[str, Any]]:
    return list(json.loads(data)["config"].values())


def _check_pickle(data: bytes, name: str, where: object) -> None:
    """Unpickle tensors and nothing else, as torch does not when it loads a program."""
    import torch

    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a pickle can do wrong
        raise _unsafe(where, name) from error


def _unsafe(where: object, name: str) -> ModelError:
    problem = f"holds {shown(name)}, a pickle of more than tensors: loading it could run any code"
    return ModelError(where, problem, _EXPORT)
