"""pairs: batches, files, and what is wrong with a pair."""

import json

import pytest

from dlplug.data.text.pairs import Pairs
from dlplug.data.text.tokenizer import END, START
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions


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
    ("name", "text", "alone"),
    [
        ("x.tsv", "ab\tcba\nb\ta\n", "ab\nb\n"),
        (
            "x.jsonl",
            '{"en": "ab", "de": "a"}\n{"en": "b", "de": "b"}\n',
            '{"en": "ab"}\n{"en": "b"}\n',
        ),
    ],
)
def test_inputs_are_the_sources_of_a_file_of_pairs(tmp_path, name, text, alone):
    """The very ones that it trains on; a file that has no targets does as well."""
    arguments = {"source": "en", "target": "de"} if name == "x.jsonl" else {}
    data = loaded(tmp_path, text, name, **arguments)
    expected = data.split("train").__getitems__([0, 1])[0]["source"]
    (tmp_path / f"new-{name}").write_text(alone)
    for path in (tmp_path / name, tmp_path / f"new-{name}"):
        assert data.read_input(path).__getitems__([0, 1])["source"].equal(expected)


def test_json_lines_are_known_by_their_first_line(tmp_path):
    """Whatever the file is called, and whatever form the training's had."""
    data = loaded(tmp_path, "ab\tcba\n")
    (tmp_path / "new.ndjson").write_text('\n{"source": "b"}\n{"source": ""}\n')
    with pytest.raises(DataError, match=r"new\.ndjson, line 3: source is empty"):
        data.read_input(tmp_path / "new.ndjson")
    (tmp_path / "new.txt").write_text('{"a"\n')
    (row,) = data.read_input(tmp_path / "new.txt").__getitems__([0])["source"].tolist()
    assert len(row) == 4


def test_a_tab_may_stand_in_a_source_of_json_lines(tmp_path):
    """A file of lines has no columns then; of a table, a line without a source is named."""
    data = loaded(tmp_path, '{"source": "a\\tb", "target": "b"}\n', "x.jsonl")
    (tmp_path / "new.txt").write_text("a\tb\n")
    (row,) = data.read_input(tmp_path / "new.txt").__getitems__([0])["source"].tolist()
    assert data.saved_tokenizer().decode(row) == "a\tb"
    table = loaded(tmp_path, "a\tb\n")
    (tmp_path / "new.txt").write_text("a\tb\n\tb\n")
    with pytest.raises(DataError, match=r"new\.txt, line 2: source is empty"):
        table.read_input(tmp_path / "new.txt")


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


def test_pairs_that_are_too_long_are_set_aside(tmp_path, capsys):
    """Where some may be bad; each is named, and the others stay where they are."""
    text = "ab\tcba\n" * 9 + "aaaaaa\tb\n" + "b\ta\n" * 9 + "a\tbbbbbb\n"
    data = loaded(tmp_path, text, sequence_length=5, quarantine=0.1)
    assert data.quarantine.positions("train") == {9, 19} and data.split_sizes["train"] == 20
    told = capsys.readouterr().err
    assert "line 10: 'aaaaaa' has 6 tokens" in told and "line 20: 'bbbbbb' has 7 tokens" in told
    with pytest.raises(DataError, match=r"line 10: 'aaaaaa' has 6 .*\(and 1 more: .*line 20"):
        loaded(tmp_path, text + "a\tb\n", sequence_length=5, quarantine=0.05)


def test_inputs_are_checked_too(tmp_path):
    """A file without a text, and a source that is too long."""
    data = loaded(tmp_path, "a\tb\n", sequence_length=5)
    (tmp_path / "new.txt").write_text("\n")
    with pytest.raises(DataError, match=r"new.txt holds no texts"):
        data.read_input(tmp_path / "new.txt")
    (tmp_path / "new.txt").write_text("a\naaaaaaa\n")
    with pytest.raises(DataError, match=r"new.txt, line 2: 'aaaaaaa' has 7 tokens"):
        data.read_input(tmp_path / "new.txt")


@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
@pytest.mark.parametrize("way", VALUES)
def test_pairs_are_divided_by_a_column_or_field(tmp_path, way, ending):
    """The last column of a file whose columns have no names."""
    path, key = tmp_path / f"x.{ending}", "2" if ending == "tsv" else "key"
    if ending == "tsv":
        path.write_text("".join(f"a\tb\t{value}\n" for value in VALUES[way]))
    else:
        records = [{"source": "a", "target": "b", "key": value} for value in VALUES[way]]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert positions(Pairs(str(path), split=way, split_by=key)) == EXPECTED[way]


def test_columns_between_are_left_out(tmp_path):
    """The number may also be written without quotes."""
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"a\tb\tnote\t{value}\n" for value in VALUES["group"]))
    data = Pairs(str(path), split="group", split_by=3)
    assert positions(data) == EXPECTED["group"]
    assert data.split("train").inputs["source"].shape[0] == 10


@pytest.mark.parametrize("split_by", ["key", "1", "-1"])
def test_what_is_no_further_column_is_refused(split_by):
    """Before the file is read; and an input is no key in JSON lines."""
    with pytest.raises(InvalidValueError, match=f"split_by = '{split_by}' is no column") as error:
        Pairs("x.tsv", split="group", split_by=split_by)
    assert error.value.known == "numbers from 2 on: 0 is the source, 1 the target"
    with pytest.raises(InvalidValueError, match="split_by = 'target' is an input or a target"):
        Pairs("x.jsonl", split="group", split_by="target")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tb", "line 2: 2 columns\n  known: two, .*; 3 with data.split_by 2"),
        ("a\tb\tc\td", "line 2: 4 columns"),
        ("a\tb\t", "line 2, column '2': the group is missing"),
    ],
)
def test_a_pair_without_a_group_is_named(tmp_path, line, message):
    """With file and line."""
    (tmp_path / "x.tsv").write_text(f"a\tb\ta\n{line}\n")
    with pytest.raises(DataError, match=message):
        Pairs(str(tmp_path / "x.tsv"), split="group", split_by="2").load()
