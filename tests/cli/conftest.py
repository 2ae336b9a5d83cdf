"""Fixtures of the command-line tests."""

import json

import pytest

from dlplug.cli import main
from tests.plugin.fakes import fake_distribution, private_memory

__all__ = ["command", "fake_distribution", "private_memory"]


class Outcome:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Call it with a command line to run it in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        code = main(list(arguments))
        return Outcome(code, *capsys.readouterr())

    return run
