"""The entry point: finds the command, parses its arguments, and turns errors into one line.

argparse is enough for commands that take a path or two and a few options, it costs nothing to
import beside the interpreter, and a plugin should bring no command line library into the
environment of every test suite.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

from ..errors import KycquantError, printable
from .commands import COMMANDS
from .exits import INTERRUPTED, NEGATIVE, USAGE, UsageError

WIDTH = 80
"""Columns that every command fits into."""
_NAME = "kycquant"
_CODES = "exit codes: 0 done, 1 not possible or a negative answer, 2 wrong usage"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments after the name of the program; None takes those of the process.

    Returns:
        The exit code, see `exits`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        name, rest = _chosen(words)
        module = importlib.import_module(COMMANDS[name].module)
        parser = _parser(name, module)
        given = parser.parse_args(rest)
    except SystemExit as stopped:  # argparse has printed help or an error
        return stopped.code if isinstance(stopped.code, int) else USAGE
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            code: int = module.run(given)
        sys.stdout.flush()
    except KycquantError as error:
        print(f"{_NAME} {name}: {error}", file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else NEGATIVE
    except KeyboardInterrupt:
        print(f"{_NAME} {name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NEGATIVE
    return code


def _chosen(words: list[str]) -> tuple[str, list[str]]:
    """The command and what follows it."""
    parser = argparse.ArgumentParser(
        prog=_NAME,
        usage=f"{_NAME} COMMAND ...",
        description="Quantize identity-verification models, and plan and write their gates.",
        epilog=f"{_listed()}\n\n{_NAME} COMMAND --help says more.\n{_CODES}",
        formatter_class=_RawHelp,
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    first = words[:1]
    if not first:
        parser.print_help()
        raise SystemExit(USAGE)
    return parser.parse_args(first).command, words[1:]


def _listed() -> str:
    wide = max(map(len, COMMANDS))
    rows = [f"  {name:{wide}}  {command.title}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *rows])


def _parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{_NAME} {name}",
        description=module.__doc__,
        epilog=_CODES,
        formatter_class=_RawHelp,
        allow_abbrev=False,  # an option that is added later must not change what a script means
    )
    module.arguments(parser)
    return parser


class _RawHelp(argparse.RawDescriptionHelpFormatter):
    """Help of at most 80 columns, whatever the terminal has."""

    def __init__(self, prog: str) -> None:
        columns = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        super().__init__(prog, max_help_position=24, width=columns - 1)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"{_NAME}: warning: {printable(str(message))}", file=sys.stderr)
