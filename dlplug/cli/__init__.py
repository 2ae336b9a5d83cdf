"""The command line: one file per command, nothing but parsing and a call.

Importing this package loads no other library; a command imports what it needs when it runs.
"""

import os
import sys

from dlplug.errors import DlplugError

__all__ = ["main"]

# Exit codes: the error's own, 1 (Python's) for a bug, 130 for Ctrl-C.
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; None for those of this process.
    Returns:
        The exit code: 0, or that of a `DlplugError` (told on standard error), or 130 after Ctrl-C.
        Any other exception is a bug and is raised.
    """
    from dlplug.cli.dispatch import run

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except DlplugError as error:
        if "--traceback" in arguments or os.environ.get("DLPLUG_TRACEBACK", "") not in ("", "0"):
            raise
        return _report(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would flush once more at exit and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _report(error: DlplugError, as_json: bool) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if as_json:
        import json

        fields = {name: getattr(error, name) for name in ("what", "where", "known", "fix")}
        print(json.dumps({"error": {"type": type(error).__name__, **fields}}), flush=True)
    return error.exit_code
