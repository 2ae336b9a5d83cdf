"""pairs: batches, files, and what is wrong with a pair."""

import pytest

from dlplug.data.text.pairs import Pairs
from dlplug.data.text.tokenizer import END, START
from dlplug.errors import DataError


def loaded(tmp_path, text, name="x.tsv", **arguments):
    (tmp_path / name).write_text(text)
    chosen = {"batch_size": 2, "validation_fraction": 0.0, "test_fraction": 0.0} | arguments
    data = Pairs(str(tmp_path / name), **chosen)
    data.setup("fit")
    return data


def test_a_batch_has_source_target_and_next_tokens(tmp_path):
    """As wide as its longest; the target is one behind what is to be written."""
    data = loaded(tmp_path, "ab\tcba\nb\ta\n")
    inputs, following = data.split("train").__getitems__([0, 1])
    a, b, c = data.saved_tokenizer().encode("abc")
    assert inputs["source"].tolist() == [[a, b], [b, 0]]
    assert inputs["target"].tolist() == [[START, c, b, a], [START, a, 0, 0]]
    assert following.tolist() == [[c, b, a, END], [a, END, -100, -100]]


def test_json_lines_have_named_fields(tmp_path):
    """Other names than source and target can be given."""
    text = '{"en": "one", "de": "eins"}\n'
    data = loaded(tmp_path, text, "x.jsonl", source="en", target="de")
    inputs, _ = data.split("train").__getitems__([0])
    assert data.saved_tokenizer().decode(inputs["source"][0].tolist()) == "one"


def test_sources_come_from_a_file_of_lines(tmp_path):
    """With the run's tokenizer, which the saved spec holds."""
    trained = loaded(tmp_path, "ab\tcba\n")
    data = Pairs("nowhere.tsv")
    data.adopt(trained.data_spec)
    (tmp_path / "new.txt").write_text("b\n\nab\n")
    batch = data.read_input(tmp_path / "new.txt").__getitems__([0, 1])
    a, b = data.saved_tokenizer().encode("ab")
    assert batch["source"].tolist() == [[b, 0], [a, b]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.tsv", "a\tb\na\n", "x.tsv, line 2: 1 columns\n  known: two, divided by a tab"),
        ("x.tsv", "a\tb\na\t\n", "x.tsv, line 2: target is empty"),
        ("x.tsv", "\n", "x.tsv holds no pairs"),
        ("x.jsonl", '{"source": "a"}\n', "x.jsonl, line 1: no field 'target'"),
        ("x.tsv", "a\tb\naaaaaa\tb\n", "x.tsv, line 2: 'aaaaaa' has 6 tokens"),
        # The end token needs room as well.
        ("x.tsv", "a\tbbbbb\n", "x.tsv, line 1: 'bbbbb' has 6 tokens, data.sequence_length is 5"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, message):
    """With file and line."""
    with pytest.raises(DataError) as error:
        loaded(tmp_path, text, name, sequence_length=5)
    assert message in str(error.value)


def test_inputs_are_checked_too(tmp_path):
    """A file without a text, and a source that is too long."""
    data = loaded(tmp_path, "a\tb\n", sequence_length=5)
    (tmp_path / "new.txt").write_text("\n")
    with pytest.raises(DataError, match=r"new.txt holds no texts"):
        data.read_input(tmp_path / "new.txt")
    (tmp_path / "new.txt").write_text("a\naaaaaaa\n")
    with pytest.raises(DataError, match=r"new.txt, line 2: 'aaaaaaa' has 7 tokens"):
        data.read_input(tmp_path / "new.txt")
