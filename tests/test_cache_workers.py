"""Processes that ask for the same artefact at the same time build it once."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, time
from pathlib import Path
from pytest_kycquant.cache import Cache

def build(folder):
    with open(Path(sys.argv[1]) / "log", "a") as log:
        log.write("built\\n")
    time.sleep(0.3)
    (folder / "x").write_text("1")

print(Cache(Path(sys.argv[1]) / "cache", {}).entry("k", [1], build))
"""


def test_built_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    outputs = {process.communicate(timeout=60)[0] for process in processes}
    assert len(outputs) == 1
    assert (tmp_path / "log").read_text() == "built\n"
