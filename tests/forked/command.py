"""What ``python [OPTION ...] [-m MODULE | SCRIPT] [ARGUMENT ...]`` does, in a forked process."""

import atexit
import builtins
import importlib
import os
import re
import runpy
import signal
import sys
import threading
import traceback
import types
import warnings
from typing import Any

from tests.forked.client import PASSED

# What is read before a command begins, by Python or by an import: nothing can change it later.
EARLY = re.compile(
    r"PYTHON(?!PATH$|WARNINGS$)|OMP_|MKL_|LD_|LC_|LANG|MPL"
    r"|DLPLUG_(ATTENTION|BACKEND|CPU_ISA|LIBRARIES)$"
)


class Command:
    """Runs command lines, one in each process; made before the imports.

    Args:
        program: What they find as ``sys.executable``.
        num_defaults: How many filters of warnings there are without any option or import.
    """

    def __init__(self, program: str, num_defaults: int):
        self.program, self.num_defaults = program, num_defaults
        own = [sys.path[0], *os.environ["PYTHONPATH"].split(os.pathsep)]
        self.installed = [folder for folder in sys.path if folder not in own]
        self.before = dict(os.environ)

    def run(self, asked: dict[str, Any], streams: list[int]) -> None:
        """Never returns: the process ends as Python would.

        Args:
            asked: ``words`` after the interpreter, the ``folder`` to work in, the ``environment``,
                numbers of ``ignored`` signals.
            streams: Become standard input, output and error.
        """
        os.setpgid(0, 0)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        for number in PASSED:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else default)
        code = 1
        try:
            self._prepare(asked["folder"], asked["environment"])
            self._run(asked["words"])
            code = 0
        except SystemExit as end:
            code = exit_code(end)
        except KeyboardInterrupt:
            traceback.print_exc()
            code = -signal.SIGINT
        except BaseException:
            traceback.print_exc()
        self._end(code)

    def _prepare(self, folder: str, environment: dict[str, str]) -> None:
        changed = set(early(environment).items()) ^ set(early(self.before).items())
        if changed:
            names = ", ".join(sorted({name for name, _ in changed}))
            raise RuntimeError(f"{names}: a change for which a process must be a real one")
        os.chdir(folder)
        imported = {k: v for k, v in os.environ.items() if self.before.get(k) != v}
        os.environ.clear()
        os.environ.update(environment | imported)
        sys.executable = self.program
        importlib.invalidate_caches()
        if "numpy" in sys.modules:  # as random does by itself
            sys.modules["numpy"].random.seed()

    def _run(self, words: list[str]) -> None:
        options = list(filter(None, os.environ.get("PYTHONWARNINGS", "").split(",")))
        while words[0].startswith("-W"):
            value, words = (words[0][2:], words[1:]) if words[0] != "-W" else (words[1], words[2:])
            options.append(value)
        self._warn(options)
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        path = [*filter(None, given), *self.installed]
        if words[0] == "-m":
            sys.argv, sys.path[:] = words[1:], [os.getcwd(), *path]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        elif words[0].startswith("-"):
            raise RuntimeError(f"{words[0]}: an option for which a process must be a real one")
        else:
            folder = os.path.dirname(os.path.realpath(words[0]))
            sys.argv, sys.path[:] = words, [folder, *path]
            run_script(os.path.abspath(words[0]))

    def _warn(self, options: list[str]) -> None:
        """Filters as if the options had been there before the imports, which go in front."""
        sys.warnoptions[:] = options
        place = len(warnings.filters) - self.num_defaults
        before = warnings.filters[:place]
        for option in options:
            warnings._setoption(option)
        first = warnings.filters[: len(warnings.filters) - self.num_defaults - place]
        defaults = warnings.filters[-self.num_defaults :]
        warnings.filters[:] = [*before, *first, *defaults]
        warnings._filters_mutated()

    def _end(self, code: int) -> None:
        try:
            threading._shutdown()  # waits for those that are no daemons
            atexit._run_exitfuncs()
        finally:
            for stream in (sys.stdout, sys.stderr):
                if not stream.closed:
                    stream.flush()
            if code < 0:
                signal.signal(-code, signal.SIG_DFL)
                os.kill(os.getpid(), -code)
            os._exit(code)


def run_script(path: str) -> None:
    """As the main module; runpy's own way would lead to another name of the file in sys.argv."""
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    vars(module).update(__file__=path, __builtins__=builtins, __cached__=None)
    with open(path, "rb") as source:
        exec(compile(source.read(), path, "exec"), vars(module))


def early(environment: dict[str, str]) -> dict[str, str]:
    """What of an environment is read before a command begins."""
    return {name: value for name, value in environment.items() if EARLY.match(name)}


def exit_code(end: SystemExit) -> int:
    """As Python tells it; a text goes to standard error."""
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1
