"""The command line: one file per command, nothing but parsing and a call.

Importing this package loads no other library; a command imports what it needs when it runs.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dlplug.errors import ComponentLoadError, ConfigError, DlplugError, StorageError

__all__ = ["main"]

# Exit codes: the error's own, 1 (Python's) for a bug, 130 for Ctrl-C.
INTERRUPTED = 130
# What a file system says to a name that a user has chosen, wherever it is met.
REFUSED = (errno.ENAMETOOLONG, errno.EACCES)
FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; None for those of this process.
    Returns:
        The exit code: 0, or that of a `DlplugError` (told on standard error), or 130 after Ctrl-C.
        A name that the file system refuses, and no room for the output, are told as such errors.
        Any other exception is a bug and is raised.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _replace_closed()
    try:
        return _exit_code(arguments)
    except BrokenPipeError:  # the reader (`| head`) has gone
        _drop(sys.stdout)
        return 0
    except OSError as error:
        problem = _problem(error)
        if problem is None or _wants_traceback(arguments):
            raise
        try:
            sys.stdout.flush()
        except OSError:
            _drop(sys.stdout)
        return _report(problem, as_json="--json" in arguments and error.errno not in FULL)


def _exit_code(arguments: list[str]) -> int:
    noted: list[int] = []
    try:
        with _noting_interrupts(noted):
            from dlplug.cli.dispatch import run

            code = run(arguments)
            sys.stdout.flush()
            return code
    except DlplugError as error:
        if _wants_traceback(arguments):
            raise
        if not (noted and isinstance(error, ComponentLoadError)):
            return _report(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        pass
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


@contextmanager
def _noting_interrupts(noted: list[int]) -> Iterator[None]:
    """Ctrl-C raises as ever, and is noted: numpy's import makes another error of it."""

    def note(signum: int, frame: object) -> None:
        noted.append(signum)
        raise KeyboardInterrupt

    is_usual = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    )
    if is_usual:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if is_usual and signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _wants_traceback(arguments: list[str]) -> bool:
    return "--traceback" in arguments or os.environ.get("DLPLUG_TRACEBACK", "") not in ("", "0")


def _problem(error: OSError) -> DlplugError | None:
    """What a user can act on."""
    if error.errno in FULL:
        return StorageError(f"{error.filename or 'the output'} cannot be written: {error.strerror}")
    if error.errno in REFUSED and error.filename is not None:
        return ConfigError(f"{error.filename}: {error.strerror}")
    return None


def _replace_closed() -> None:
    """Let nobody read what goes to a stream that was closed (`>&-`), which is None in Python."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nobody = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nobody)
            setattr(sys, f"__{name}__", nobody)


def _drop(stream: TextIO) -> None:
    """Python would flush once more at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report(error: DlplugError, as_json: bool) -> int:
    try:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except OSError:  # nobody can be told but by the exit code
        _drop(sys.stderr)
    try:
        if as_json:
            import json

            fields = {name: getattr(error, name) for name in ("what", "where", "known", "fix")}
            print(json.dumps({"error": {"type": type(error).__name__, **fields}}))
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
    return error.exit_code
