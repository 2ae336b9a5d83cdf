"""Start command lines of dlplug without paying for the imports each time.

The server, a process of its own (``python -m tests.chaos.fork_server``), imports everything once.
For each line ``{"arguments": [...], "folder": ...}`` on its standard input it forks a child, which
leads a process group of its own and does what ``python -m dlplug ARGUMENTS`` does from there on.
It answers ``{"pid": ...}`` at once and ``{"status": ...}`` when the child has ended.
"""

import json
import os
import select
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What a training imports while it runs.
MODULES = (
    "dlplug.cli.fit",
    "dlplug.run.verbs",
    "dlplug.config",
    "sklearn.datasets",
    "matplotlib.figure",
)
# A fork takes no threads along. The allocator of pyarrow, which pandas imports, knows that.
FORK_SAFE = "jemalloc_bg_thd"


class ForkServer:
    """The client's side; a context that ends the server.

    Args:
        folder: For the caches of plugins and facts, so that kills cannot hurt the user's.
    """

    def __init__(self, folder: Path):
        command = [sys.executable, "-m", "tests.chaos.fork_server"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(folder), stdin=pipe, stdout=pipe, bufsize=0
        )

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def start(self, arguments: list[str], folder: Path) -> int:
        """Start ``dlplug ARGUMENTS`` in a folder; one at a time.

        Returns:
            Number of the process, and of its group.
        """
        request = {"arguments": arguments, "folder": str(folder)}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        return self._answer()["pid"]

    def status(self, timeout: float) -> int | None:
        """How the process ended: its exit code, or minus the signal; None while it runs.

        Args:
            timeout: Seconds to wait for its end.
        """
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return None
        return self._answer()["status"]

    def _answer(self) -> dict[str, int]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with {self.process.wait()}")
        return json.loads(line)


def environment(folder: Path) -> dict[str, str]:
    """Of every process of a training: one thread, tests importable, caches in ``folder``."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder)}
    return os.environ | own


def serve() -> None:
    """The server's side."""
    for name in MODULES:
        __import__(name)
    for line in sys.stdin:
        request = json.loads(line)
        lost = [name for name in _threads() if name != FORK_SAFE]
        if lost:
            raise RuntimeError(f"a forked training would lack the threads {', '.join(lost)}")
        pid = os.fork()
        if not pid:
            _run(request["arguments"], Path(request["folder"]))
        os.setpgid(pid, pid)  # the child does too; whoever comes first
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


def _threads() -> list[str]:
    """Names of this process's threads, but for the first one."""
    tasks = Path("/proc/self/task").iterdir()
    return [(t / "comm").read_text().strip() for t in tasks if t.name != str(os.getpid())]


def _run(arguments: list[str], folder: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        output = os.open("output.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        sys.argv = ["dlplug", *arguments]
        from dlplug.cli import main

        code = main(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
