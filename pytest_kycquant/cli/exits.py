"""Exit codes of all commands, documented in docs/cli.md."""

from __future__ import annotations

from ..errors import KycquantError

DONE = 0
NEGATIVE = 1
"""It could not be done, or the answer is no."""
USAGE = 2
"""The command line is wrong; argparse uses the same number."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it."""


class UsageError(KycquantError):
    """Arguments that do not go together, which argparse cannot say."""
