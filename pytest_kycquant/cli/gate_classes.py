"""The gate classes of a gate file, which is run as pytest runs it, but without pytest."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from ..data.files import is_file
from ..errors import DataError, KycquantError, SpecError, one_line
from ..spec.model import KycModel
from ..spec.task import StrPath
from ..tasks.base import Resolve


def gate_classes(path: Path) -> list[Any]:
    """Run a gate file and return its classes with a `model`, in the order of their names.

    Args:
        path: the gate file. It may import its neighbours, as below pytest.

    Raises:
        SpecError: it is not a Python file, cannot be run, or has no gate class.
    """
    if not is_file(path) or path.suffix != ".py":
        raise SpecError(
            path,
            "is neither a gate file nor a kind of model",
            "give the path of a .py file, or face, liveness or detector",
        )
    sys.path.insert(0, str(path.parent.absolute()))
    name = f"_kycquant_gate_{path.stem}"
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except KycquantError:
        raise
    except Exception as error:  # a gate file is code of the user's
        what = f"cannot be imported ({type(error).__name__}: {one_line(error)})"
        raise SpecError(path, what, "run it with pytest, which shows the line") from error
    finally:
        sys.path.pop(0)
        sys.modules.pop(name, None)
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and each.__module__ == name
        and isinstance(getattr(each, "model", None), KycModel)
    ]
    if not found:
        raise SpecError(path, "has no class with a model", "give a file with a gate class")
    return found


def resolver(path: Path) -> Resolve:
    """How paths of a gate file are found: below the current folder, or else beside the file."""

    def resolve(given: StrPath, attribute: str) -> Path:
        tried = [Path.cwd() / given, path.parent.absolute() / given]
        for place in tried:
            if place.exists():
                return place
        raise DataError(
            attribute,
            f"{given} is neither at {' nor at '.join(map(str, dict.fromkeys(tried)))}",
            "run this from pytest's rootdir, or give an absolute path",
        )

    return resolve
