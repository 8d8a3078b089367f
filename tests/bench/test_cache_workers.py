"""Processes that ask for the same artefact at the same time build it once."""

import subprocess
import sys
from pathlib import Path

from pytest_kycquant.context.cache import Cache

SCRIPT = """
import sys, time
from pathlib import Path
from pytest_kycquant.context.cache import Cache

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
from pytest_kycquant.context import cache, locks

locks._PATIENCE = 0.1
shared = cache.Cache(Path(sys.argv[1]), {}, on_wait=print)
with shared.machine(exclusive=True):
    print("alone")
"""


TURNS = """
import random, sys, time
from pathlib import Path
from pytest_kycquant.context.cache import Cache

folder, name, exclusive = Path(sys.argv[1]), sys.argv[2], sys.argv[2].startswith("alone")

def note(what):
    with open(folder / "log", "a") as log:
        log.write(f"{what} {name}\\n")

for _ in range(5):
    with Cache(folder / "cache", {}).machine(exclusive=exclusive):
        note("in")
        time.sleep(random.random() / 50)
        note("out")
"""


def test_a_measurement_has_the_machine_to_itself(tmp_path: Path) -> None:
    """A process that measures excludes all others; those that do not measure may share."""
    names = ("alone 1", "alone 2", "shared 1", "shared 2")
    processes = [
        subprocess.Popen([sys.executable, "-c", TURNS, str(tmp_path), name]) for name in names
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * len(names)
    inside: set[str] = set()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 10 * len(names)
    for line in lines:
        event, name = line.split(" ", 1)
        inside ^= {name}
        assert (name in inside) == (event == "in")
        assert len(inside) < 2 or not any(other.startswith("alone") for other in inside), line


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
