"""What the terminal shows."""

import io
from pathlib import Path

from rich.console import Console

from dlplug.run.report import print_result
from dlplug.run.result import Result

METRICS = {"train_loss": 0.5, "val_loss": 0.25, "val_accuracy": 0.875, "test_loss": 0.125}


def shown(result):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_result(result, console)
    return console.file.getvalue()


def test_a_table_and_the_paths():
    """A column for each stage, and the paths whole even where they are long."""
    long = Path("/tmp/" + "x" * 120)
    text = shown(Result("fit", METRICS, run=long, picture=Path("p.png"), tests=1))
    lines = [line for line in text.splitlines() if "loss" in line or "accuracy" in line]
    assert [cell.strip() for cell in lines[0].strip("│┃ ").split("│")] == [
        "loss",
        "0.5000",
        "0.2500",
        "0.1250",
    ]
    assert "0.8750" in lines[1]
    assert "tested once on the test split" in text
    assert f"run          {long}" in text and "picture      p.png" in text


def test_nothing_in_a_name_is_markup():
    """Brackets and colons of paths, of metrics and of columns are shown as they are."""
    odd = "[bold]x[red] :smile:"
    paths = {name: Path(odd, name) for name in ("run", "picture", "checkpoint", "arrays")}
    text = shown(Result("fit", {f"val_{odd}": 1.0}, quarantined=3, rollbacks=1, **paths))
    assert text.count(odd) == 7  # the paths, the files of two counts, and the metric


def test_every_checkpoint_of_a_mean_is_named():
    """One line each."""
    text = shown(Result("predict", checkpoints=[Path("a.ckpt"), Path("b.ckpt")]))
    assert text.splitlines() == ["mean of      a.ckpt", "mean of      b.ckpt"]


def test_repeated_tests_are_said():
    """The number of times the test split was touched."""
    assert "tested 3 times on the test split" in shown(Result("test", METRICS, tests=3))


def test_bad_records_are_counted():
    """With the file that lists them, where there is a run."""
    text = shown(Result("fit", METRICS, run=Path("a/b"), quarantined=3))
    assert "3 records were set aside as bad: a/b/quarantine.jsonl" in text
    assert "1 record was set aside as bad\n" in shown(Result("test", METRICS, quarantined=1))
    assert "set aside" not in shown(Result("fit", METRICS))


def test_other_processes_print_nothing():
    """Only the first one does."""
    assert shown(Result("fit", METRICS, is_main=False)) == ""


def test_to_dict_is_plain():
    """Paths as text, nothing that is None."""
    result = Result("fit", METRICS, run=Path("a/b"), tests=1)
    assert result.to_dict() == {"verb": "fit", "metrics": METRICS, "run": "a/b", "tests": 1}


def test_the_first_predictions_are_shown(tmp_path):
    """Five rows and six columns; what is left out shows as dots."""
    path = tmp_path / "predictions.csv"
    columns = [f"c{i}" for i in range(8)]
    for num_rows in (1, 7):
        path.write_text("\n".join(",".join(columns) for _ in range(num_rows + 1)) + "\n")
        console = Console(width=100, record=True, file=io.StringIO())
        print_result(Result("predict", predictions=path), console)
        text = console.export_text()
        assert text.count("c5") == 1 + min(num_rows, 5) and "c6" not in text
