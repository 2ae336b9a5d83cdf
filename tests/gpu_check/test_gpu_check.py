"""The check of a GPU, as far as it can be seen without one."""

import json
import time

import pytest
import torch

from tests.gpu_check import __main__ as program
from tests.gpu_check import report, small_calls, train
from tests.gpu_check.parts import PARTS, Context, Part, python
from tests.gpu_check.state import NOT_RUN, State, digest


@pytest.fixture
def context(tmp_path):
    """With time enough."""
    return Context(tmp_path, tmp_path, "here", time.monotonic() + 100, "")


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


def test_a_part_that_runs_out_of_time_is_unfinished(tmp_path):
    """What it printed is kept; the next run starts it again."""
    context = Context(tmp_path, tmp_path, "here", time.monotonic(), "")
    result = part("print('begun', flush=True)\nwhile True: pass").run(context)
    assert result["status"] == "unfinished" and result["detail"] == "begun"


def test_a_part_that_cannot_run_here_is_skipped(context):
    """As the wheel without a wheel."""
    wheel = next(part for part in PARTS if part.name == "wheel")
    assert wheel.run(context)["status"] == "skipped"


def test_what_passed_counts_until_the_sources_change(tmp_path):
    """Not by date: a copy of a checkout has new dates, and no history."""
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "a.cu").write_text("one")
    state = State(tmp_path, tmp_path)
    state.keep("build", {"status": "passed"})
    state.keep("tests", {"status": "failed"})
    assert state.has_passed("build") and not state.has_passed("tests")
    assert State(tmp_path, tmp_path).has_passed("build")
    (tmp_path / "csrc" / "a.cu").write_text("two")
    changed = State(tmp_path, tmp_path)
    assert changed.result("build") == NOT_RUN and changed.digest != state.digest
    assert digest(tmp_path) == changed.digest


def test_the_report_shows_every_part(tmp_path):
    """And what a failed one printed; times that were kept lie beside it."""
    failed = {"status": "failed", "seconds": 2.0, "detail": "no", "output": "a trace\n"}
    results = {"build": failed, "tests": NOT_RUN}
    records = tmp_path / "records"
    records.mkdir()
    (records / "ops-here.json").write_text("{}")
    report.write(tmp_path, "here", results, records)
    record = json.loads((tmp_path / "gpu-check-here.json").read_text())
    assert record["parts"] == results and record["torch"] == torch.__version__
    page = (tmp_path / "gpu-check-here.md").read_text()
    assert "| build | failed | 2 | no |" in page and "a trace" in page and "not run" in page
    assert (tmp_path / "ops-here.json").exists()


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys, tmp_path):
    """It says so, and leaves nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert program.main(["--folder", str(tmp_path / "new")]) == 2
    assert "there is no GPU" in capsys.readouterr().out and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("codes", "told", "code"),
    [
        (["pass", "pass"], ["passed", "passed"], 0),
        (["pass", "raise SystemExit(1)"], ["passed", "failed"], 1),
    ],
)
def test_the_check_goes_on_where_it_stopped(codes, told, code, monkeypatch, capsys, tmp_path):
    """A part that has passed is not run again; one that failed is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    runs = tmp_path / "runs"
    codes = [f"open({str(runs)!r}, 'a').write('{i}')\n{text}" for i, text in enumerate(codes)]
    commands = [lambda _, text=text: python("-c", text) for text in codes]
    parts = [Part(f"p{i}", "", command) for i, command in enumerate(commands)]
    monkeypatch.setattr(program, "PARTS", parts)
    arguments = ["--folder", str(tmp_path / "check"), "--name", "here", "--wheels", "none"]
    assert program.main([*arguments, "--minutes", "0"]) == 75 and not runs.exists()
    assert program.main(arguments) == code and runs.read_text() == "01"
    assert program.main(arguments) == code
    assert runs.read_text() == ("01" if code == 0 else "011")
    found = json.loads((tmp_path / "check" / "gpu-check-here.json").read_text())["parts"]
    assert [result["status"] for result in found.values()] == told
    assert "p0: passed before" in capsys.readouterr().out


def test_names_of_parts_are_unique():
    """Each leaves a file of its name."""
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_small_calls_reach_every_op():
    """On the processor, by the same lines."""
    assert small_calls.norms("cpu") > 100
    assert small_calls.optimizers("cpu") == 42
    assert small_calls.attentions("cpu") > 40
    assert small_calls.hopper_attentions("cpu") == 0  # tests/ops calls it in the emulation


@pytest.mark.slow
def test_trainings_agree_with_the_reference(monkeypatch, tmp_path, capfd):
    """On the processor; a kernel that is wrong shows in the loss."""
    monkeypatch.setattr(train, "TOLERANCE", {"32-true": train.TOLERANCE["32-true"]})
    assert train.main(str(tmp_path), "cpu", "cpu") == 0
    assert "apart by" in capfd.readouterr().out
    found = {"cpu": [2.0, 1.0], "reference": [2.1, 1.0]}
    monkeypatch.setattr(train, "losses", lambda *words: found[words[-1]])
    assert train.main(str(tmp_path), "cpu", "cpu") == 1
