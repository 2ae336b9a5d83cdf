"""`dlplug bench ops`: what is measured, shown and kept."""

import json
import subprocess
import sys

import pytest
import torch

from dlplug.bench import session
from dlplug.bench.row import Contender, Missing, Peer, Row, Work
from dlplug.cli import bench_record

X = torch.arange(4.0)


def contender():
    return Contender(lambda: X + 0, lambda: [X])


def missing():
    raise Missing("no module acme")


def work(backend="cpu"):
    peers = {"torch": Peer(contender), "acme": Peer(missing), "slow": Peer(contender, True)}
    return Work(contender(), peers, lambda: [X.double()], 1e-6, backend)


ROWS = [
    Row("norm 4x4 float32 forward", work, 0, is_quick=True),
    Row("norm 4x4 bfloat16 forward", lambda: work("torch"), 0),
    Row("large float32 forward", work, 1 << 60),
]


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Instead of the real ones, which take minutes."""
    monkeypatch.setattr(session, "rows", lambda device: iter(ROWS))
    monkeypatch.setattr(session, "SECONDS", 0.0)
    monkeypatch.setattr(session, "QUICK_SECONDS", 0.0)


def test_each_row_is_shown_with_its_outcome(command):
    """Progress goes to standard error; the table and a line of counts to standard output."""
    done = command("bench", "ops", "--threads", "1")
    assert done.code == 0
    assert done.err.splitlines()[0].startswith("[1/3] norm 4x4 float32 forward, 1 thread: ")
    assert done.out.count("acme missing:") == 2  # of the rows that are not skipped
    last = done.out.splitlines()[-1]
    assert last.startswith("3 rows: ") and "1 routed to PyTorch, 1 skipped" in last


def test_json_is_all_of_standard_output(command):
    """One object with machine, versions and rows."""
    done = command("bench", "ops", "--json", "--threads", "1")
    record = json.loads(done.out)
    assert record["kind"] == "ops" and record["torch"] and record["processor"]
    assert [row["row"] for row in record["rows"]] == [row.name for row in ROWS]
    first, routed, skipped = record["rows"]
    assert first["peers"]["acme"] == {"missing": "no module acme"}
    assert first["peers"]["slow"]["ratio"] > 0 and first["outcome"] in ("win", "loss")
    assert routed["outcome"] == "routed" and skipped["skipped"].startswith("needs ")


def test_quick_takes_a_part_and_no_compiled_peer(command):
    """What is left out says so."""
    (row,) = command("bench", "ops", "--quick", "--json", "--threads", "1").json["rows"]
    assert row["row"] == ROWS[0].name
    assert row["peers"]["slow"] == {"left out": "it is compiled first"}


def test_only_chooses_rows(command):
    """By words, in any order; several times for more."""
    done = command("bench", "ops", "--only", "bfloat16 norm", "--only", "large", "--json")
    assert {row["row"] for row in done.json["rows"]} == {ROWS[1].name, ROWS[2].name}


def test_all_cores_and_one_are_the_default(command, monkeypatch):
    """Each number once."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    done = command("bench", "ops", "--only", "norm float32", "--json")
    assert [row["threads"] for row in done.json["rows"]] == [2, 1]
    done = command("bench", "ops", "--only", "large", "--threads", "1", "--threads", "1", "--json")
    assert [row["threads"] for row in done.json["rows"]] == [1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--threads", "0"], "--threads must be a whole number from 1 to"),
        (["--threads", "two"], "got 'two'"),
        (["--device", "gpu"], "--device must be cpu or cuda, got 'gpu'"),
        (["--only", "nrom"], "no row is called 'nrom'"),
        (["--onyl", "norm"], "did you mean '--only'?"),
        (["--resume"], "--resume goes on with a record"),
        (["--record", "a/b"], "--record must be a name"),
        (["--record", "x", "--quick"], "--record is for whole rows, not for --quick"),
    ],
)
def test_bad_input_is_one_error(command, arguments, told):
    """Before anything is measured."""
    done = command("bench", "ops", *arguments)
    assert done.code == 2 and told in done.err and not done.out
    assert "[1/" not in done.err


def test_a_gpu_that_is_not_there_is_an_error(command, monkeypatch):
    """Nothing falls back to the processor unseen."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = command("bench", "ops", "--device", "cuda")
    assert done.code == 2 and "there is no GPU that torch" in done.err and not done.out


def test_an_error_of_our_own_is_a_failure(command, monkeypatch):
    """The exit code says so."""
    wrong = Contender(lambda: X, lambda: [X + 1])
    bad = Work(wrong, {"torch": Peer(contender)}, lambda: [X.double()], 1e-6, "cpu")
    monkeypatch.setattr(session, "rows", lambda device: iter([Row("wrong", lambda: bad, 0)]))
    done = command("bench", "ops", "--threads", "1")
    assert done.code == 1 and "failed, dlplug's own error is 3.3e-01" in done.err


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with records, whose page notes that it was made."""
    folder = tmp_path / "checkout"
    (folder / "tests" / "bench" / "results").mkdir(parents=True)
    page = "from pathlib import Path; Path('made').touch()"
    for name, text in {"__init__.py": "", "bench/__init__.py": "", "bench/page.py": page}.items():
        (folder / "tests" / name).write_text(text)
    monkeypatch.setattr(bench_record, "checkout", lambda: folder)
    return folder


def test_a_record_keeps_the_rows_of_the_same_machine(command, checkout):
    """Rows that are measured anew replace the old ones; the page is written anew."""
    path = checkout / "tests" / "bench" / "results" / "ops-here.json"
    for only in ("norm float32", "norm", "large"):
        assert command("bench", "ops", "--record", "here", "--only", only).code == 0
    record = json.loads(path.read_text())
    assert [row["row"] for row in record["rows"]][::2] == [ROWS[0].name, ROWS[1].name, ROWS[2].name]
    assert all(row["commit"] and row["date"] for row in record["rows"])
    assert (checkout / "made").exists()
    path.write_text(json.dumps(record | {"dlplug": "0.0.1"}))
    command("bench", "ops", "--record", "here", "--only", "large", "--threads", "1")
    assert len(json.loads(path.read_text())["rows"]) == len(record["rows"])
    path.write_text(json.dumps(record | {"processor": "another"}))
    command("bench", "ops", "--record", "here", "--only", "large", "--threads", "1")
    assert len(json.loads(path.read_text())["rows"]) == 1


def test_a_record_is_gone_on_with(command, checkout):
    """What it has from this commit is left out; from another one it is measured anew."""
    path = checkout / "tests" / "bench" / "results" / "ops-here.json"
    words = ("bench", "ops", "--record", "here", "--resume", "--json")
    assert len(command(*words, "--only", "large").json["rows"]) == 2
    assert len(command(*words).json["rows"]) == 4 and command(*words).json["rows"] == []
    record = json.loads(path.read_text())
    record["rows"][0]["commit"] = "another"
    path.write_text(json.dumps(record))
    (row, other) = command(*words).json["rows"]
    assert row["row"] == other["row"] == record["rows"][0]["row"]


def test_a_row_that_failed_is_measured_again(command, checkout, monkeypatch):
    """Going on with a record does not take it for done; once it is right, it is."""
    values = iter([X + 1, X + 1, X])

    def changing():
        value = next(values)
        ours = Contender(lambda: X, lambda: [value])
        return Work(ours, {"torch": Peer(contender)}, lambda: [X.double()], 1e-6, "cpu")

    monkeypatch.setattr(session, "rows", lambda device: iter([Row("changing", changing, 0)]))
    words = ("bench", "ops", "--record", "here", "--resume", "--json", "--threads", "1")
    found = [command(*words) for _ in range(4)]
    assert [done.code for done in found] == [1, 1, 0, 0]
    assert [len(done.json["rows"]) for done in found] == [1, 1, 1, 0]


def test_what_is_measured_is_kept_at_once(command, checkout, monkeypatch):
    """An interruption loses the row that is being measured, and no other."""

    def interrupt():
        raise KeyboardInterrupt

    rows = [ROWS[0], Row("interrupted", interrupt, 0)]
    monkeypatch.setattr(session, "rows", lambda device: iter(rows))
    assert command("bench", "ops", "--record", "here", "--threads", "1").code == 130
    record = json.loads((checkout / "tests/bench/results/ops-here.json").read_text())
    assert [row["row"] for row in record["rows"]] == [ROWS[0].name]


def test_a_record_needs_a_checkout(command, tmp_path, monkeypatch):
    """Said before anything is measured."""
    monkeypatch.setattr(bench_record, "checkout", lambda: tmp_path)
    done = command("bench", "ops", "--record", "here")
    assert done.code == 2 and "keep what --json prints" in done.err and "[1/" not in done.err


def test_lightning_is_not_needed():
    """A real row, in a fresh interpreter in which it cannot be imported."""
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "from dlplug.bench import norms, session\n"
        "norms.SHAPES, norms.SMALL = [(8, 16)], []\n"
        "from dlplug.cli import main\n"
        "sys.exit(main(['bench', 'ops', '--only', 'dropout+add_rms_norm 4096x768 float32',"
        " '--json', '--threads', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)["rows"]
    assert row["outcome"] in ("win", "loss"), done.stderr
