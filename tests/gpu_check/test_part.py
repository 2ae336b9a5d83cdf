"""How a part is run, and what is kept of it."""

import os
import select
import time
from dataclasses import replace

import pytest

from tests.gpu_check.part import Part, python


def part(code, **fields):
    return Part("part", "a part", lambda context: python("-c", code), **fields)


def test_a_part_that_passes_is_told_by_its_last_line(context):
    """With the bars of a table taken out."""
    result = part("print('one'); print('2 | 3')").run(context)
    assert result.pop("seconds") > 0
    assert result == {"status": "passed", "detail": "2 / 3"}


def test_a_part_that_fails_leaves_its_output(context):
    """Standard error too."""
    result = part("import sys; print('before'); sys.exit('it is wrong')").run(context)
    assert result["status"] == "failed"
    assert sorted(result["output"].split("\n")) == ["", "before", "it is wrong"]


def test_a_part_that_runs_out_of_time_is_unfinished(context):
    """What it printed is kept; the next run starts it again."""
    late = replace(context, deadline=time.monotonic())
    result = Part("part", "", lambda _: ["sh", "-c", "echo begun; exec sleep 60"]).run(late)
    assert result["status"] == "unfinished" and result["detail"] == "begun"


def test_a_program_that_is_not_there_fails_its_part(context):
    """And no more than that: the others are still run."""
    result = Part("part", "", lambda context: ["no-such-program"]).run(context)
    assert result["status"] == "failed" and "no-such-program" in result["detail"]


@pytest.mark.parametrize(("ending", "status"), [("wait", "unfinished"), ("exit", "passed")])
def test_none_of_its_processes_outlives_it(ending, status, context, tmp_path):
    """One that does would hold the GPU."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    command = ["sh", "-c", f"sleep 60 >{pipe} & echo begun >{pipe}; {ending}"]
    late = replace(context, deadline=time.monotonic())
    result = Part("part", "", lambda context: command).run(late)
    assert result["status"] == status
    # Its end is read when nobody can write any more.
    os.set_blocking(end, True)
    assert os.read(end, 100) == b"begun\n"
    assert select.select([end], [], [], 30)[0] and os.read(end, 100) == b""
    os.close(end)
