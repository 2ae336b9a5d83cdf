"""A forked command behaves as a real process of Python does, and differs only where it says so."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.forked.server import MODULES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    os.environ.get("OMP_NUM_THREADS") != "1", reason="with several threads nothing is forked"
)
# As many filters of warnings as the heavy imports add stand in front of those of the options.
REPORT = f"""
import {", ".join(MODULES)}
import __main__, json, multiprocessing, os, signal, sys, warnings
print("told", file=sys.stderr)
handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
print(json.dumps([
    sys.argv, sys.path, os.getcwd(), dict(os.environ), __name__, __file__, sys.stdin.read(),
    sys.warnoptions, [str(f) for f in warnings.filters], __main__.__spec__ and __spec__.name,
    handlers, multiprocessing.current_process().name, sys.stdout.encoding, sys.stdout.isatty(),
    sys.stdout.line_buffering, sys.stdin.isatty(),
]))
"""


def outcomes(words, folder, environment=None, **options):
    """Of the real process, and of the forked one."""
    for interpreter in (sys.executable, forked.python()):
        yield subprocess.run(
            [interpreter, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
            capture_output=True,
            text=True,
            timeout=240,
            **options,
        )


def assert_same(words, folder, environment=None, **options):
    real, ours = outcomes(words, folder, environment, **options)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        real.returncode,
        real.stdout,
        real.stderr,
    )


@pytest.mark.parametrize("options", [[], ["-W", "error"], ["-Wignore::UserWarning", "-Wdefault"]])
@pytest.mark.parametrize("words", [["report.py"], ["-m", "reports.first"]], ids=["file", "module"])
def test_a_command_finds_what_a_real_process_finds(tmp_path, options, words):
    """Its arguments, path, folder, environment, standard streams, name, signals and warnings."""
    package = tmp_path / "reports"
    package.mkdir()
    (package / "__init__.py").touch()
    for path in (tmp_path / "report.py", package / "first.py"):
        path.write_text(REPORT)
    own = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'x'}", "ACME": "a\u00e9\udcff b"}
    real, ours = outcomes([*options, *words, "a b", "-W"], tmp_path, own, input="x\ny")
    assert ours.returncode == real.returncode == 0 and ours.stderr == real.stderr == "told\n"
    for found, expected in zip(json.loads(ours.stdout), json.loads(real.stdout), strict=True):
        assert found == expected
    assert '"a b", "-W"' in ours.stdout
    assert ("error" in options) == ("'error', None, <class 'Warning'>" in ours.stdout)


@pytest.mark.parametrize(
    "text",
    [
        "import sys; sys.exit(7)",
        "import sys; sys.exit(-1)",
        "import sys; sys.exit('a reason')",
        "import sys; sys.exit()",
        "print('x', end='')",
        "import os; os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os; os.abort()",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start(); print('first')",
        "import warnings; warnings.simplefilter('always'); warnings.warn('careful')",
    ],
)
def test_it_ends_as_a_real_process_does(tmp_path, text):
    """Exit code or signal, what is printed, functions for the end, threads."""
    (tmp_path / "ends.py").write_text(text)
    assert_same(["ends.py"], tmp_path)


def test_an_error_is_told_with_its_traceback(tmp_path):
    """The frames of the server stand above those of the script."""
    (tmp_path / "fails.py").write_text("def f():\n    raise ValueError('wrong')\nf()\n")
    real, ours = outcomes(["fails.py"], tmp_path)
    assert ours.returncode == real.returncode == 1
    first, *frames = real.stderr.splitlines(keepends=True)
    assert ours.stderr.startswith(first) and ours.stderr.endswith("".join(frames))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_reaches_it(tmp_path, number):
    """As sent to the program that stands for it; the process itself is gone afterwards."""
    (tmp_path / "waits.py").write_text(
        "import os, signal, sys, threading\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print(os.getpid(), flush=True)\nsignal.pause()\n"
    )
    codes = []
    for interpreter in (sys.executable, forked.python()):
        pipe = subprocess.PIPE
        command = [interpreter, "waits.py"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as waits:
            handle = os.pidfd_open(int(waits.stdout.readline()))
            waits.send_signal(number)
            codes.append(waits.wait(240))
            assert select.select([handle], [], [], 240)[0], "it is still there"
            os.close(handle)
    assert codes[0] == codes[1] == (9 if number == signal.SIGUSR1 else -number)


def test_it_starts_processes_as_itself(tmp_path):
    """``sys.executable`` forks again; what ``-c`` gives is run by a real interpreter."""
    (tmp_path / "starts.py").write_text(
        "import subprocess, sys\n"
        "asked = 'import sys; print(len(sys.argv), \"torch\" in sys.modules)'\n"
        "open('asks.py', 'w').write(asked)\n"
        "for words in (['asks.py', 'x'], ['-c', asked], ['-W', 'error', '-c', asked]):\n"
        "    print(subprocess.run([sys.executable, *words], capture_output=True).stdout.decode())\n"
    )
    _, ours = outcomes(["starts.py"], tmp_path)
    assert ours.stdout.split() == ["2", "True", "1", "False", "1", "False"]


def test_nothing_is_shared_by_two_commands(tmp_path):
    """Neither modules, nor the environment, nor random numbers."""
    (tmp_path / "leaves.py").write_text(
        "import os, random, sys, types, numpy\n"
        "print('mark' in sys.modules, os.environ.get('MARK'), random.random())\n"
        "print(numpy.random.rand())\n"
        "sys.modules['mark'] = types.ModuleType('mark'); os.environ['MARK'] = '1'\n"
    )
    first, second = ([*outcomes(["leaves.py"], tmp_path)][1].stdout for _ in range(2))
    assert first.startswith("False None ") and second.startswith("False None ")
    assert not set(first.split()[2:]) & set(second.split()[2:])


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (["x.py"], {"OMP_NUM_THREADS": "2"}, "OMP_NUM_THREADS: a change for which"),
        (["x.py"], {"DLPLUG_BACKEND": "reference"}, "DLPLUG_BACKEND: a change for which"),
        (["-O", "x.py"], {}, "-O: an option for which"),
    ],
)
def test_what_it_cannot_do_is_an_error(tmp_path, words, environment, message):
    """What Python, or an import, reads before a command begins."""
    (tmp_path / "x.py").write_text("")
    _, ours = outcomes(words, tmp_path, environment)
    assert ours.returncode == 1 and message in ours.stderr
