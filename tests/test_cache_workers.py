"""Processes that ask for the same artefact at the same time build it once."""

import subprocess
import sys
from pathlib import Path

from pytest_kycquant.cache import Cache

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


WAITER = """
import sys
from pathlib import Path
from pytest_kycquant import cache

cache._PATIENCE = 0.1
shared = cache.Cache(Path(sys.argv[1]), {}, on_wait=print)
with shared.machine(exclusive=True):
    print("alone")
"""


def test_waiting_is_announced_and_ends(tmp_path: Path) -> None:
    with Cache(tmp_path, {}).machine(exclusive=False):
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", WAITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiting for another process (")
        assert process.poll() is None
    assert process.communicate(timeout=60)[0] == "alone\n"


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
