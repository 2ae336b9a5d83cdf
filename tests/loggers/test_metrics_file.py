"""The run's own record of metrics."""

import json
import math
from pathlib import Path

import pytest
import torch

from dlplug.errors import StorageError
from dlplug.loggers.metrics_file import MetricsFile, cut_metrics, read_metrics


def test_a_row_for_each_call(tmp_path):
    """Step counts the steps taken, epoch from 0, values by name."""
    path = tmp_path / "metrics.jsonl"
    logger = MetricsFile(path)
    logger.log_metrics({"val_loss": 0.5, "epoch": 2}, step=9)
    logger.log_metrics({"test_loss": 0.25, "epoch": 3}, step=10)
    rows = read_metrics(path)
    assert [(r["step"], r["epoch"]) for r in rows] == [(10, 2), (10, None)]
    assert rows[0]["val_loss"] == 0.5 and rows[1]["test_loss"] == 0.25
    assert rows[0]["time"] > 1.7e9


def test_what_is_not_finite_is_still_json(tmp_path):
    """NaN and infinity are strings in the file and floats when read."""
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).log_metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=0)
    row = json.loads(path.read_text(), parse_constant=None)
    assert (row["a"], row["b"], row["c"]) == ("nan", "inf", "-inf")
    read = read_metrics(path)[0]
    assert math.isnan(read["a"]) and read["b"] == math.inf and read["c"] == -math.inf


def test_nothing_is_written_before_the_folder_is_known(tmp_path, monkeypatch):
    """Without a path the logger waits."""
    monkeypatch.chdir(tmp_path)
    MetricsFile().log_metrics({"a": 1.0}, step=0)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_is_left_out(tmp_path):
    """A crash in the middle of a write costs that line only."""
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).log_metrics({"a": 1.0}, step=0)
    with path.open("a") as file:
        file.write('{"step": 2, "ep')
    assert [row["a"] for row in read_metrics(path)] == [1.0]


def test_cutting_takes_out_what_will_be_written_again(tmp_path):
    """Rows up to the step stay, later ones and tests go; a torn line too."""
    path = tmp_path / "metrics.jsonl"
    logger = MetricsFile(path)
    for step in range(4):
        logger.log_metrics({"a": float(step), "n": math.nan}, step=step)
    with path.open("a") as file:
        file.write("{torn")
    cut_metrics(path, 2, None, is_over=True)
    assert [row["a"] for row in read_metrics(path)] == [0.0, 1.0]
    logger.log_metrics({"a": 7.0}, step=2)
    assert [row["a"] for row in read_metrics(path)] == [0.0, 1.0, 7.0]


def test_what_a_crash_came_before_is_added_once(tmp_path):
    """The row that was to come after the checkpoint: added if it is missing, kept if it is not."""
    path = tmp_path / "metrics.jsonl"
    logger = MetricsFile(path)
    logger.log_metrics({"val_loss": 3.0, "epoch": 0}, step=1)
    pending = {"step": 2, "epoch": 0, "train_loss": torch.tensor(1.5)}
    for _ in range(2):
        cut_metrics(path, 2, pending, is_over=False)
        rows = read_metrics(path)
        assert [row.get("train_loss") for row in rows] == [None, 1.5]
        assert rows[1].keys() == {"step", "epoch", "time", "train_loss"} and rows[1]["time"] > 0


@pytest.mark.parametrize("is_over", [True, False])
def test_a_test_that_was_cut_short_is_written_again(tmp_path, is_over):
    """It follows the last step once more, unless the training had come to its end."""
    path = tmp_path / "metrics.jsonl"
    logger = MetricsFile(path)
    logger.log_metrics({"train_loss": 1.0, "epoch": 0}, step=3)
    logger.log_metrics({"test_loss": 2.0, "epoch": 1}, step=4)
    cut_metrics(path, 4, None, is_over=is_over)
    assert [row.get("test_loss") for row in read_metrics(path)] == [None, 2.0][: 1 + is_over]


def test_a_missing_file_has_no_rows(tmp_path):
    """A run that ended before its first log."""
    assert read_metrics(tmp_path / "none.jsonl") == []


FULL = Path("/dev/full")


def test_a_full_disk_is_an_error(tmp_path):
    """One that names the file."""
    with pytest.raises(StorageError, match="/dev/full cannot be written: No space left"):
        MetricsFile(FULL).log_metrics({"a": 1.0}, step=0)


def test_a_training_goes_on_while_the_disk_is_full(tmp_path, capsys):
    """Where it is to: said once, and every line is written in its order when there is room."""
    logger = MetricsFile(FULL, goes_on=True)
    for step in range(3):
        logger.log_metrics({"a": float(step)}, step=step)
    said = capsys.readouterr().err
    assert said.count("No space left") == said.count("the training goes on") == 1
    logger.path = tmp_path / "metrics.jsonl"
    logger.log_metrics({"a": 3.0}, step=3)
    assert [row["a"] for row in read_metrics(logger.path)] == [0.0, 1.0, 2.0, 3.0]


def test_metrics_that_are_still_missing_at_the_end_are_an_error(tmp_path):
    """Unless something else has ended the training; what can be written is written."""
    logger = MetricsFile(FULL, goes_on=True)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("failed")
    with pytest.raises(StorageError):
        logger.finalize("success")
    logger.path = tmp_path / "metrics.jsonl"
    logger.finalize("success")
    logger.finalize("success")
    assert [row["a"] for row in read_metrics(logger.path)] == [1.0]
