"""Exit codes of all commands, documented in docs/cli.md."""

from __future__ import annotations

DONE = 0
NEGATIVE = 1
"""It could not be done, or the answer is no."""
USAGE = 2
"""The command line is wrong; argparse uses the same number."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it."""
