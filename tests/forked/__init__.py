"""Processes of tests that find the heavy imports done, where start-up itself is not the subject.

One server for each process of pytest imports torch, Lightning and dlplug once. `python` is a
program to call in place of ``sys.executable``: as a command line of Python's, with files, pipes,
signals and exit codes as usual, but forked from the server. `start` does without the program.

What differs from a real process: modules are imported already, ``/proc/PID/environ`` is the
server's, and an exit leaves out what the interpreter does after the functions of ``atexit``. Hence
real processes remain where a test asks what is imported or how long that takes, where it finds
processes by their environment, and for the README's commands.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forked.client import Forked, ignored, request

ROOT = Path(__file__).parents[2]


def python() -> str:
    """Path of the program; ``sys.executable`` where tests run with several threads.

    A forked process would lack the threads of the server, so that has none.
    """
    return str(_folder() / "python") if os.environ.get("OMP_NUM_THREADS") == "1" else sys.executable


def start(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
) -> Forked:
    """Start a command line of Python's, which leads a process group of its own.

    Args:
        words: Of the command line, without the interpreter.
        folder: In which it works.
        environment: The whole of it.
        streams: File descriptors of its standard input, output and error.
    """
    address = str(_folder() / "socket")
    return request(address, words, folder, environment, streams, ignored())


@functools.cache
def _folder() -> Path:
    """Starts the server, which ends with this process; holds its socket and the program."""
    folder = Path(tempfile.mkdtemp(prefix="forked-"))
    atexit.register(shutil.rmtree, folder)
    address, program = folder / "socket", folder / "python"
    # Isolated, and without site-packages: 20 ms instead of the imports.
    program.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        f"from client import main\nmain({sys.executable!r}, {str(address)!r}, *sys.argv[1:])\n"
    )
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forked.server", str(address), str(program)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(_end, server)  # runs before the folder goes
    if server.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the fork server ended with {server.wait()}")
    return folder


def _end(server: subprocess.Popen) -> None:
    server.stdin.close()
    server.wait()
    server.stdout.close()
