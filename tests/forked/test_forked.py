"""A forked command behaves as a real process of Python does, and differs only where it says so."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import forked
from tests.forked.client import SIZE, Forked
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


@pytest.fixture
def connection():
    """To the server, as a program that asks has one; a stopped one goes on at the end."""
    assert forked.python() != sys.executable
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Path(forked.python()).parent / "socket"))
        yield connection


def server_of(connection):
    """Number of the process that listens."""
    ucred = struct.Struct("3i")
    option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, ucred.size)
    return ucred.unpack(option)[0]


def question(folder):
    """The bytes that ask for a process which waits for ever."""
    (folder / "waits.py").write_text("import signal\nsignal.pause()\n")
    asked = {"words": ["waits.py"], "folder": str(folder), "environment": dict(os.environ)}
    data = json.dumps(asked | {"ignored": []}).encode()
    return SIZE.pack(len(data)) + data


def assert_it_serves(folder):
    (folder / "prints.py").write_text("print('served')")
    _, ours = outcomes(["prints.py"], folder)
    assert (ours.returncode, ours.stdout) == (0, "served\n"), ours.stderr


@pytest.mark.parametrize("length", [0, 3, SIZE.size, SIZE.size + 5, None])
def test_the_server_outlives_who_asks(tmp_path, connection, length):
    """Gone before the question, within it, and before the answer."""
    server = server_of(connection)
    os.kill(server, signal.SIGSTOP)  # it cannot answer before who asks is gone
    try:
        if data := question(tmp_path)[:length]:
            first = data[: SIZE.size]
            socket.send_fds(connection, [first], (0, 1, 2))
            connection.sendall(data[len(first) :])
        connection.close()
    finally:
        os.kill(server, signal.SIGCONT)
    assert_it_serves(tmp_path)


def test_the_server_outlives_who_asks_together_with_the_process(tmp_path, connection):
    """The end of the process is what it hears of first."""
    data = question(tmp_path)
    socket.send_fds(connection, [data[: SIZE.size]], (0, 1, 2))
    connection.sendall(data[SIZE.size :])
    pid, server = Forked(connection).pid, server_of(connection)
    handle = os.pidfd_open(pid)
    os.kill(server, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([handle], [], [], 240)[0]
        connection.close()
    finally:
        os.kill(server, signal.SIGCONT)
        os.close(handle)
    assert_it_serves(tmp_path)


def test_a_signal_after_the_end_changes_nothing(tmp_path):
    """It finds no process; the exit code is the process's."""
    (tmp_path / "ends.py").write_text(
        "import os, sys\nprint(os.getpid(), flush=True)\ninput()\nsys.exit(7)\n"
    )
    pipe, command = subprocess.PIPE, [forked.python(), "ends.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as ends:
        pid = int(ends.stdout.readline())
        ends.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, ends.pid, os.WSTOPPED | os.WNOWAIT)
        ends.stdin.write("\n")
        ends.stdin.flush()
        limit = time.monotonic() + 240
        while Path(f"/proc/{pid}").exists():  # until the server has asked how it ended
            assert time.monotonic() < limit
            time.sleep(0.01)
        ends.send_signal(signal.SIGTERM)
        ends.send_signal(signal.SIGCONT)
        assert ends.wait(240) == 7
