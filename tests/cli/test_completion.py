"""The scripts, run by the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlplug.cli.completion import SCRIPTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path):
    """Runs a script in a shell for which ``dlplug`` is this checkout's."""
    program = tmp_path / "bin" / "dlplug"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dlplug "$@"\n')
    program.chmod(0o755)
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "folder").mkdir()
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }

    def run(name, *options, script):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        done = subprocess.run(
            [name, *options, "-c", script],
            capture_output=True, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == ""
        return done.stdout.splitlines()

    return run


# Sets what readline would, calls the function that is registered, and prints what it offers.
BASH = """
source <(dlplug completion bash)
try() {
    COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    compopt() { spaced=no; }
    spaced=yes
    $(complete -p dlplug | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    echo "$spaced ${COMPREPLY[*]}"
}
"""


def test_bash_completes(shell):
    """Commands, names behind a space, an equals sign and a colon, arguments, files."""
    lines = (
        "dlplug desc",
        "dlplug fit --loss foc",
        "dlplug fit --loss=foc",
        "dlplug describe loss dlplug:foc",
        "dlplug fit --optimizer.h",
        "dlplug fit --config a",
        "dlplug fit --config fol",
        "dlplug fit --achitecture",
        "~/bin/dlplug gui",
    )
    script = BASH + "\n".join(f"try '{line}'" for line in lines)
    assert shell("bash", "--norc", script=script) == [
        "yes describe",
        "yes focal",
        "yes focal",
        "yes focal",
        "yes --optimizer.help",
        "yes a.yaml",
        "no folder/",
        "yes ",
        "yes guide",
    ]


def test_bash_s_own_compgen_accepts_the_words(shell):
    """They are words as bash generates them."""
    script = BASH + "try 'dlplug comple' >/dev/null; compgen -W \"${COMPREPLY[*]}\" -- comp"
    assert shell("bash", "--norc", script=script) == ["completion"]


def test_zsh_completes(shell):
    """What is handed to _describe: values with descriptions; a dot goes on without a space."""
    script = """
compdef() { registered=$1; }
_describe() {
    local word
    for word in ${@[3,-1]}; do [[ $word == -* || -z $word ]] || print -rl -- ${(P)word}; done
    print -r -- "options ${(j: :)@[4,-1]}"
}
source <(dlplug completion zsh)
try() { words=(dlplug "$@"); CURRENT=$#words; $registered; }
try fit --loss foc
try fit --arch
try describe loss dlplug:foc
"""
    assert shell("zsh", "-f", script=script) == [
        "focal:Focal loss for rare classes.",
        "options ",
        "--architecture:the model",
        "options ",
        "--architecture.:arguments of the architecture",
        "options -S ",
        "dlplug\\:focal:Focal loss for rare classes.",
        "options ",
    ]


def test_fish_completes(shell):
    """As fish itself says."""
    script = """
dlplug completion fish | source
complete -C 'dlplug desc'
complete -C 'dlplug fit --loss foc'
complete -C 'dlplug fit --loss=foc'
complete -C 'dlplug completion b'
"""
    assert shell("fish", "--no-config", script=script) == [
        "describe\tAll about one component, and how to use it.",
        "focal\tFocal loss for rare classes.",
        "--loss=focal\tFocal loss for rare classes.",
        "bash",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_printed(command, name):
    """Alone, so that it can be sourced."""
    assert command("completion", name).out == SCRIPTS[name]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["fsh"], "did you mean 'fish'?"), ([], "completion needs a shell"), (["bash", "x"], "'x'")],
)
def test_another_shell_is_an_error(command, arguments, text):
    """With what is known."""
    done = command("completion", *arguments)
    assert done.code == 2 and text in done.err


def test_help_says_how_to_install_it(command):
    """One line for each shell."""
    out = command("completion", "--help").out
    assert all(f"{name}:  " in out for name in SCRIPTS)
