"""The table of commands. It is all that ``kycquant --help`` loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """One command: a line of `COMMANDS`.

    Args:
        title: what it does, in one line of at most 64 characters.
        module: its module, which has `arguments(parser)`, which adds what the command takes, and
            `run(given)`, which does the work and returns an exit code of `exits`. Its docstring is
            the description in ``--help``. What is heavy is imported within `run`.
    """

    title: str
    module: str


_HERE = __package__

COMMANDS: Mapping[str, Command] = {
    "init": Command("look at a model and write a gate file that runs", f"{_HERE}.init"),
    "inspect": Command("say what quantization can do for a model", f"{_HERE}.inspect"),
    "quantize": Command("make one quantized file, without judging it", f"{_HERE}.quantize"),
    "plan": Command("say what data can decide, and how much is missing", f"{_HERE}.plan"),
    "html": Command("show a JSON report as one HTML page with plots", f"{_HERE}.html"),
    "list": Command("list exported models with their verdicts", f"{_HERE}.listing"),
    "status": Command("say whether exported models still fit", f"{_HERE}.status"),
    "merge": Command("unite the reports of the shards of a run", f"{_HERE}.merge"),
    "compare": Command("say what got better or worse between two reports", f"{_HERE}.compare"),
    "history": Command("show reports over time, as tables and as a plot", f"{_HERE}.history"),
}
"""All commands by name, in the order of ``--help``. To add one, write its module and add a line."""
