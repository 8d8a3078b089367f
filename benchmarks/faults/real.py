"""A public face model and real faces, where they are present: see tests/real.

There are 600 people. The gates judge 300 of them and calibrate on 100; the other 200 decide the
truth. More damages therefore stay borderline than with rendered people, whose number is unlimited.
"""

from __future__ import annotations

import os
from pathlib import Path

from .images import ROOT

REAL = Path(os.environ.get("KYCQUANT_REAL", ROOT.parent / "shared" / "real"))
OTHERS = "others"
_MODEL = "models/mobilefacenet_fp32.onnx"
_CALIBRATION = 100  # people, as in tests/real


def present() -> bool:
    """Whether the model and the faces exist."""
    return (REAL / _MODEL).is_file()


def linked(root: Path) -> Path:
    """A rootdir with links to the files that tests/real judges, and to the 200 other people."""
    root.mkdir(parents=True, exist_ok=True)
    links = {
        "mobilefacenet_fp32.onnx": REAL / _MODEL,
        "evaluation": REAL / "faces" / "evaluation",
    }
    for number, person in enumerate(sorted((REAL / "faces" / "calibration").iterdir())):
        role = "calibration" if number < _CALIBRATION else OTHERS
        links[f"{role}/{person.name}"] = person
    for name, target in links.items():
        link = root / name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())
    return root
