"""Errors, exit codes and output of the program as a whole."""

import errno
import io
import json
import signal
import subprocess
import sys

import pytest

from dlplug import cli
from dlplug.cli import dispatch
from dlplug.errors import ConfigError


@pytest.fixture
def failing(monkeypatch):
    def install(error):
        def run(arguments):
            raise error

        monkeypatch.setattr(dispatch, "run", run)

    return install


ERROR = ConfigError("it is wrong", where="a.yaml, line 1", known="x", fix="do y")


def test_an_error_is_a_message_and_exit_code_2(command, failing):
    """On standard error, without a traceback."""
    failing(ERROR)
    done = command("fit")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "ConfigError: it is wrong\n  where: a.yaml, line 1\n  known: x\n  fix:   do y\n"
    )


def test_with_json_the_error_is_the_last_line_of_output(command, failing):
    """For programs; the message for people stays on standard error."""
    failing(ERROR)
    done = command("fit", "--json")
    assert done.code == 2 and done.err.startswith("ConfigError: it is wrong")
    assert done.json == {
        "error": {
            "type": "ConfigError",
            "what": "it is wrong",
            "where": "a.yaml, line 1",
            "known": "x",
            "fix": "do y",
        }
    }


@pytest.mark.parametrize(("arguments", "variable"), [(["--traceback"], ""), ([], "1")])
def test_a_traceback_can_be_asked_for(command, failing, monkeypatch, arguments, variable):
    """By an option or by the environment."""
    monkeypatch.setenv("DLPLUG_TRACEBACK", variable)
    failing(ERROR)
    with pytest.raises(ConfigError):
        command("fit", *arguments)


def test_a_bug_keeps_its_traceback(command, failing):
    """Only errors that the user can act on are made short."""
    failing(ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        command("fit")


def test_ctrl_c_gives_130(command, failing):
    """What shells expect."""
    failing(KeyboardInterrupt())
    done = command("fit")
    assert (done.code, done.err) == (130, "interrupted\n")


@pytest.fixture
def ctrl_c():
    """As in a terminal: a process that a script starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_ctrl_c_that_an_import_makes_another_error_of(
    command, fake_distribution, ctrl_c, is_interrupted
):
    """As numpy's does; without Ctrl-C it is the component's fault."""
    source = (
        "import os, signal\n"
        f"try:\n    if {is_interrupted}: os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    pass\n"
        "raise RecursionError('too deep')\n"
    )
    lines = {"dlplug.commands": {"slow": "acme_slow:main"}}
    fake_distribution("acme-slow", "1.0", entry_points=lines, modules={"acme_slow": source})
    done = command("slow")
    if is_interrupted:
        assert (done.code, done.err) == (130, "interrupted\n")
    else:
        assert done.code == 2 and "RecursionError: too deep" in done.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_reader_that_leaves_is_no_error(monkeypatch, tmp_path):
    """``dlplug plugins list | head -1`` ends quietly."""
    line = f"{sys.executable} -m dlplug fit --trainer.help | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("trainer: arguments") and done.stderr == ""


@pytest.mark.parametrize("arguments", ["guide", "fti --json", "plugins list"])
def test_output_that_cannot_be_written_is_no_bug(arguments):
    """A text, a line of JSON, a table; nothing is said twice at the end."""
    line = f"{sys.executable} -m dlplug {arguments} > /dev/full"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    last = "StorageError: the output cannot be written: No space left on device"
    assert done.stderr.splitlines()[-1] == last and "Traceback" not in done.stderr
    assert done.returncode == 74


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("fti --json | true", 2),
        ("fti 2>&1 | true", 2),
        ("fti 2> /dev/full", 2),
        ("fti >&- 2>&-", 2),
        ("fti --json >&-", 2),
        ("guide >&-", 0),
    ],
)
def test_an_exit_code_does_not_depend_on_who_reads(line, code):
    """One who has gone, a full disk, nobody at all."""
    line = f"{sys.executable} -m dlplug {line}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "--run", LONG),
        ("test", "--run", LONG),
        ("test", "--data", "digits", "--ckpt_path", LONG),
        ("runs", "list", "--root", LONG),
        ("fit", "--plugin", f"{LONG}.py"),
    ],
)
def test_a_name_that_no_file_system_takes(command, arguments):
    """Told as an error of the command line, and as an exception to who asks for it."""
    done = command(*arguments)
    assert done.code == 2 and done.out == ""
    assert done.err.startswith("ConfigError: ") and LONG in done.err
    assert done.err.endswith(": File name too long\n")
    with pytest.raises(OSError, match="File name too long"):
        command(*arguments, "--traceback")


def test_what_may_not_be_read(command, failing):
    """A folder of somebody else's; other failures of files are bugs, or told where they happen."""
    failing(PermissionError(errno.EACCES, "Permission denied", "/their/runs"))
    done = command("runs", "list")
    assert (done.code, done.err) == (2, "ConfigError: /their/runs: Permission denied\n")
    failing(OSError(errno.EIO, "Input/output error", "/a"))
    with pytest.raises(OSError, match="Input/output error"):
        command("runs", "list")


def test_the_module_runs_as_a_program():
    """``python -m dlplug`` gives the exit code to the shell."""
    done = subprocess.run(
        [sys.executable, "-m", "dlplug", "fti", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["fix"].startswith("did you mean 'fit'?")


def test_the_exit_code_of_a_command_is_passed_on(monkeypatch, capsys):
    """A plugin's command that returns nothing has succeeded."""
    monkeypatch.setattr(dispatch, "run", lambda arguments: 3)
    assert cli.main(["x"]) == 3
    monkeypatch.setattr(sys, "argv", ["dlplug", "--version"])
    monkeypatch.undo()
    assert isinstance(sys.stdout, io.TextIOBase)
