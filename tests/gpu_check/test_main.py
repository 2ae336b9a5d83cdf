"""The whole check, with other parts, as far as it can be seen without a GPU."""

import json

import pytest
import torch

from tests.gpu_check import __main__ as program
from tests.gpu_check.part import Part, python


@pytest.fixture
def check(monkeypatch, tmp_path):
    """A function that runs the check with parts of these codes; each writes its number."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(program, "WORK", tmp_path / "work")

    def made(number, text, **fields):
        code = f"open({str(tmp_path / 'runs')!r}, 'a').write('{number}')\n{text}"
        return Part(f"p{number}", "", lambda context: python("-c", code), **fields)

    def run(*parts, words=()):
        (tmp_path / "runs").write_text("")
        given = [part if isinstance(part, tuple) else (part, {}) for part in parts]
        monkeypatch.setattr(
            program, "PARTS", [made(i, text, **fields) for i, (text, fields) in enumerate(given)]
        )
        folder = ["--folder", str(tmp_path / "out"), "--name", "here", "--wheels", "none"]
        code = program.main([*folder, *words])
        return code, (tmp_path / "runs").read_text()

    return run


def told(folder):
    found = json.loads((folder / "gpu-check-here.json").read_text())["parts"]
    return [result["status"] for result in found.values()]


FAIL = "raise SystemExit(1)"


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys, tmp_path):
    """It says so, and leaves nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert program.main(["--folder", str(tmp_path / "new")]) == 2
    assert "there is no GPU" in capsys.readouterr().out and not (tmp_path / "new").exists()


def test_the_check_goes_on_where_it_stopped(check, capsys, tmp_path):
    """A part that has passed is not run again; one that failed is, after all new ones."""
    assert check("pass", "pass", words=["--minutes", "0"]) == (75, "")
    assert check("pass", FAIL) == (1, "01")
    assert told(tmp_path / "work") == told(tmp_path / "out") == ["passed", "failed"]
    assert check("pass", FAIL, "pass") == (1, "21")
    assert "p0: passed before" in capsys.readouterr().out
    assert check("pass", "pass", "pass") == (0, "1")
    assert check("pass", "pass", "pass") == (0, "")


def test_what_may_no_longer_hold_is_seen_each_time(check, capsys):
    """What needs it is not started where it has failed, nor counted as passed before."""
    build, needs = ({"is_repeated": True}, {"needs": "p0"})
    assert check(("pass", build), ("pass", needs), "pass") == (0, "012")
    assert check(("pass", build), ("pass", needs), "pass") == (0, "0")
    assert check((FAIL, build), ("pass", needs), ("pass", needs), "pass") == (1, "03")
    assert "p2: not started, p0 has not passed" in capsys.readouterr().out
    parts = [("pass", build), *4 * ["pass"], ("pass", needs)]
    assert check(*parts, words=["--only", "p5"]) == (75, "05")
