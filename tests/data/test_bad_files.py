"""Bad records of files that are read at once: all told together, or set aside without a trace."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dlplug.data.series.classification import SeriesClassification
from dlplug.data.split import SPLITS
from dlplug.data.split_data import SplitData
from dlplug.data.tables.csv import CSV
from dlplug.data.tables.parquet import Parquet
from dlplug.data.text.jsonl import JSONL
from dlplug.data.text.pairs import Pairs
from dlplug.data.text.token_labels import TokenLabels
from dlplug.errors import DataError

COUNT = 60
# Records, from 0, that are damaged.
BAD = (13, 31)


def csv_lines() -> list[str]:
    return ["x,color,y", *(f"{i},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}" for i in range(COUNT))]


def jsonl_lines() -> list[str]:
    return [json.dumps({"text": f"word{i}", "label": "ab"[i % 2]}) for i in range(COUNT)]


def pair_lines() -> list[str]:
    return [f"w{i}\tv{i}" for i in range(COUNT)]


def token_lines() -> list[str]:
    return [f"t{i} NOUN\nu{i} VERB\n" for i in range(COUNT)]


def series_lines() -> list[str]:
    return [f"{i % 2} {i} {i + 1} {i + 3}" for i in range(COUNT)]


def csv(path, **further):
    return CSV(str(path), target="y", **further)


def jsonl(path, **further):
    return JSONL(str(path), label="label", tokenizer="word", sequence_length=4, **further)


def pairs(path, **further):
    return Pairs(str(path), tokenizer="word", sequence_length=4, **further)


def tokens(path, **further):
    return TokenLabels(str(path), sequence_length=4, **further)


def series(path, **further):
    return SeriesClassification(str(path), **further)


Make = Callable[..., SplitData]
# Data module, lines of its file, what comes before the first record, damage, what is said of it.
CASES = [
    (csv, csv_lines, 1, lambda line: line.replace(line.split(",")[0], "x7", 1), "no finite number"),
    (csv, csv_lines, 1, lambda line: line + ",7", "4 cells in a table of 3 columns"),
    (csv, csv_lines, 1, lambda line: line[:-1], "the target is missing"),
    (jsonl, jsonl_lines, 0, lambda line: line[:-4], "no JSON"),
    (jsonl, jsonl_lines, 0, lambda line: line.replace("text", "txt"), "no field 'text'"),
    (jsonl, jsonl_lines, 0, lambda line: '{"text": " ", "label": "b"}', "text is empty"),
    (jsonl, jsonl_lines, 0, lambda line: '{"text": "a", "label": null}', "names no class"),
    (pairs, pair_lines, 0, lambda line: line.split("\t")[0], "1 columns"),
    (pairs, pair_lines, 0, lambda line: line.split("\t")[0] + "\t ", "target is empty"),
    (tokens, token_lines, 0, lambda line: line.replace(" VERB", ""), "lacks a token or a label"),
    (series, series_lines, 0, lambda line: line + "x", "is no number"),
    (series, series_lines, 0, lambda line: line.replace(" ", " ? ", 1), "no value"),
]
IDS = [f"{case[0].__name__}: {case[4]}" for case in CASES]
# The class or its place is gone with the record: its class is divided anew.
LOSE_CLASS = ("the target is missing", "no JSON", "no field 'text'", "names no class", "4 cells")


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "data.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def damaged(lines, first, damage, rows=BAD):
    lines = lines()
    for row in rows:
        lines[first + row] = damage(lines[first + row])
    return lines


def loaded(data):
    data.setup("test")
    return data


def seen(data) -> list[list]:
    """All batches of an evaluation of each split, as plain data."""
    return [plain(list(loader)) for loader in (data.val_dataloader(), data.test_dataloader())]


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(("make", "lines", "first", "damage", "reason"), CASES, ids=IDS)
def test_all_bad_records_are_told_at_once(tmp_path, make, lines, first, damage, reason):
    """Without a share: file and line of the first and the others."""
    data = make(written(tmp_path, damaged(lines, first, damage)))
    with pytest.raises(DataError) as error:
        data.setup("fit")
    text = str(error.value)
    assert reason in text and "(and 1 more: " in text
    assert text.count("data.txt, line ") == 2


@pytest.mark.parametrize(("make", "lines", "first", "damage", "reason"), CASES, ids=IDS)
def test_bad_records_are_set_aside_in_their_places(
    tmp_path, make, lines, first, damage, reason, capsys
):
    """Splits keep their sizes; each bad record is known in its split, named, and never seen."""
    intact = loaded(make(written(tmp_path, lines())))
    data = loaded(make(written(tmp_path, damaged(lines, first, damage)), quarantine=0.05))
    assert len(data.quarantine) == len(BAD)
    assert capsys.readouterr().err.count(reason) == len(BAD)
    assert sum(data.split_sizes.values()) == COUNT
    if not any(reason.startswith(word) for word in LOSE_CLASS):
        assert data.split_sizes == intact.split_sizes
    evaluated = sum(len(data.split(split)) for split in SPLITS[1:])
    known = sum(len(data.quarantine.positions(split)) for split in SPLITS[1:])
    counted = sum(len(batch[1]) for batches in seen(data) for batch in batches)
    assert counted == evaluated - known
    assert sum(len(batch[1]) for batch in data.train_dataloader()) == data.split_sizes["train"]


@pytest.mark.parametrize(("make", "lines", "first", "damage", "reason"), CASES, ids=IDS)
def test_too_many_bad_records_are_an_error(tmp_path, make, lines, first, damage, reason):
    """More than the share of all."""
    data = make(written(tmp_path, damaged(lines, first, damage)), quarantine=0.02)
    with pytest.raises(DataError, match="and 1 more"):
        data.setup("fit")


def test_other_records_stay_in_their_splits(tmp_path):
    """The class can still be read: validation and test are what they were, but for the bad ones."""
    intact = loaded(csv(written(tmp_path, csv_lines()), categorical=["x"], max_categories=60))
    rows = {split: intact.split(split).indices.tolist() for split in SPLITS}
    broken = damaged(csv_lines, 1, CASES[0][3])
    data = loaded(csv(written(tmp_path, broken), quarantine=0.05))
    for split in SPLITS:
        assert data.split(split).indices.tolist() == rows[split]
        bad = [rows[split].index(row) for row in BAD if row in rows[split]]
        assert data.quarantine.positions(split) == set(bad)


def test_what_is_learned_comes_from_good_records(tmp_path):
    """Mean and deviation as if the bad rows had never been there, and no sign of missing cells."""
    broken = damaged(csv_lines, 1, lambda line: "1e999" + line[line.index(",") :], rows=range(3))
    data = loaded(csv(written(tmp_path, broken), quarantine=0.1))
    good = [row for row in data.split("train").indices.tolist() if row > 2]
    (column,) = data.data_spec.preparation["features"]["numbers"]
    assert column["mean"] == pytest.approx(sum(good) / len(good))
    assert not column["has_indicator"]


def test_the_vocabulary_comes_from_good_records(tmp_path):
    """A record that is set aside teaches no words."""
    lines = jsonl_lines()
    lines[BAD[0]] = '{"text": "secret", "label": null}'
    data = loaded(jsonl(written(tmp_path, lines), quarantine=0.05))
    assert "secret" not in json.dumps(data.data_spec.preparation)
    assert "word1" in json.dumps(data.data_spec.preparation)


def test_a_bad_series_of_the_test_file_is_set_aside(tmp_path):
    """By its place in that file."""
    train = written(tmp_path, series_lines())
    test = tmp_path / "test.txt"
    lines = series_lines()
    lines[7] += "x"
    test.write_text("\n".join(lines))
    data = loaded(series(train, test_path=str(test), quarantine=0.05))
    assert data.quarantine.positions("test") == {7}
    assert len(data.quarantine) == 1
    assert sum(len(labels) for _, labels in data.test_dataloader()) == COUNT - 1


def test_a_bad_cell_of_parquet_is_set_aside(tmp_path):
    """By the same policy as in CSV."""
    pyarrow = pytest.importorskip("pyarrow", reason="the extra tables is not installed")
    from pyarrow import parquet

    values = [float(i) for i in range(COUNT)]
    values[BAD[0]] = float("inf")
    table = pyarrow.table({"x": values, "y": ["ab"[i % 2] for i in range(COUNT)]})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = loaded(Parquet(str(tmp_path / "t.parquet"), target="y", quarantine=0.05))
    assert len(data.quarantine) == 1
    with pytest.raises(DataError, match="row 14, column 'x': inf is no finite number"):
        Parquet(str(tmp_path / "t.parquet"), target="y").setup("fit")


def test_a_prediction_of_bad_records_is_refused(tmp_path):
    """Of the test split as a whole; the others can still be evaluated."""
    data = loaded(
        jsonl(
            written(tmp_path, damaged(jsonl_lines, 0, CASES[5][3], range(20, 36))), quarantine=0.5
        )
    )
    assert data.quarantine.positions("test")
    data.setup("predict")
    with pytest.raises(DataError, match=r"a prediction can leave out none: .*line"):
        data.predict_dataloader()
