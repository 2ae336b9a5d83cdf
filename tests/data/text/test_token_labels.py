"""TokenLabels: a label for each token, nothing at padding, errors with their line."""

import pytest
import torch

from dlplug.data.text.token_labels import TokenLabels
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions

CONLL = "-DOCSTART- -X- O\n\nGod NN B-PER\nsaid VB O\n\n\nMoses NN B-PER\n\n" * 20


def ready(data, stage="test"):
    data.setup(stage)
    return data


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(CONLL)
    return path


def test_each_token_has_a_label(file):
    """Padded with 0 and -100; classes in the order of their names."""
    data = ready(TokenLabels(str(file), test_fraction=0.0, validation_fraction=0.0))
    spec = data.data_spec
    assert (spec.class_names, spec.vocab_size, spec.num_classes) == (("B-PER", "O"), 8, 2)
    tokens, labels = data.split("train").__getitems__([0, 1])
    names = data.saved_tokenizer().name_of
    assert [[names(t) for t in row] for row in tokens.tolist()] == [
        ["God", "said"],
        ["Moses", "<padding>"],
    ]
    assert labels.tolist() == [[0, 1], [0, -100]] and labels.dtype == torch.int64


def test_columns_can_be_chosen_and_tabs_separate(tmp_path):
    """The second column as the label; tokens with spaces between tabs."""
    path = tmp_path / "a.tsv"
    path.write_text("New York\tLOC\tx\n\n" * 10)
    data = ready(TokenLabels(str(path), label_column=1))
    assert data.data_spec.class_names == ("LOC",)
    assert data.saved_tokenizer().symbols == ["New York"]


def test_inputs_from_outside_have_no_labels(file, tmp_path):
    """The token's column alone, with the run's vocabulary."""
    trained = ready(TokenLabels(str(file)))
    data = TokenLabels("missing")
    data.adopt(trained.data_spec)
    path = tmp_path / "b.txt"
    path.write_text("Moses\nwept\n")
    assert data.read_input(path).__getitems__([0]).tolist() == [
        [*trained.saved_tokenizer().encode("Moses"), 1]
    ]
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no tokens"):
        data.read_input(path)


def test_a_row_without_a_label_is_named_with_its_line(tmp_path):
    """As an editor counts lines."""
    path = tmp_path / "a.conll"
    path.write_text("God O\n\nsaid\n")
    with pytest.raises(DataError, match=r"a\.conll, line 3: 'said' lacks a token or a label"):
        TokenLabels(str(path)).load()
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no sentences"):
        TokenLabels(str(path)).load()
    with pytest.raises(InvalidValueError, match="token_column = 1, label_column = 1"):
        TokenLabels(str(path), token_column=1, label_column=1)


def test_a_label_that_the_run_does_not_know_is_named(file, tmp_path):
    """Instead of a KeyError."""
    trained = ready(TokenLabels(str(file)))
    (tmp_path / "b.conll").write_text("God NN B-PER\n\nEgypt NN B-LOC\n\n" * 10)
    data = TokenLabels(str(tmp_path / "b.conll"))
    data.adopt(trained.data_spec)
    with pytest.raises(
        DataError, match="the label 'B-LOC' is none of the trained classes"
    ) as error:
        data.load()
    assert "known: B-PER, O" in str(error.value)


def test_a_token_is_not_its_own_label(tmp_path):
    """The last column is the token's where there is no column of labels."""
    (tmp_path / "a.conll").write_text("1 x God\n")
    with pytest.raises(DataError, match="line 1: '1 x God' lacks a token or a label"):
        TokenLabels(str(tmp_path / "a.conll"), token_column=2).load()


@pytest.mark.parametrize("way", VALUES)
def test_a_column_divides_the_sentences(tmp_path, way):
    """The same value in all lines of a sentence."""
    sentences = [f"God {value} O\nsaid {value} O\n\n" for value in VALUES[way]]
    (tmp_path / "a.conll").write_text("".join(sentences))
    data = TokenLabels(str(tmp_path / "a.conll"), split=way, split_by="1")
    assert positions(data) == EXPECTED[way]


@pytest.mark.parametrize("way", ["group", "time"])
def test_documents_are_divided_whole(tmp_path, way):
    """Twenty of two sentences: by hashes of their numbers, or the last ones to the test."""
    document = "-DOCSTART- O\n\nGod O\n\nsaid O\n\n"
    (tmp_path / "a.conll").write_text(document * 20)
    data = TokenLabels(str(tmp_path / "a.conll"), split=way, split_by="-DOCSTART-")
    found = {name: sorted({row // 2 + 1 for row in rows}) for name, rows in positions(data).items()}
    assert sum(data.split_sizes.values()) == 40 == 2 * sum(map(len, found.values()))
    assert found["test"] == ([17, 18, 19, 20] if way == "time" else [4, 7, 18, 20])
    assert found["validation"] == ([15, 16] if way == "time" else [15])


@pytest.mark.parametrize(
    ("text", "split_by", "message"),
    [
        ("God a O\nsaid b O\n", "1", "line 1: column 1 is not the same .* sentence: 'a', then 'b'"),
        ("God a O\n\n\nsaid O\n", "2", "line 1: 'God a O' lacks a token or a label, or what data"),
        ("God train O\n\n\nsaid - O\n", "1", "line 4, column 1: '-' is no split"),
        ("God a O\n", "-DOCSTART-", "has no line that begins with -DOCSTART-"),
    ],
)
def test_sentences_that_cannot_be_divided_are_named(tmp_path, text, split_by, message):
    """With file and line."""
    (tmp_path / "a.conll").write_text(text)
    with pytest.raises(DataError, match=message):
        TokenLabels(str(tmp_path / "a.conll"), split="column", split_by=split_by).load()


@pytest.mark.parametrize(
    ("split_by", "message"),
    [("book", "split_by = 'book'\n  known: the number of a column, from 0, or -DOCSTART-"),
     ("0", "split_by = '0' is an input or a target")],
)  # fmt: skip
def test_what_is_no_column_is_refused(split_by, message):
    """Before the file is read."""
    with pytest.raises(InvalidValueError, match=message):
        TokenLabels("a.conll", split="group", split_by=split_by)
