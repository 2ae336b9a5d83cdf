"""JSONL: classes or documents, padded batches, errors with file and line."""

import json

import pytest
import torch

from dlplug.data.text.jsonl import JSONL
from dlplug.errors import DataError, InvalidValueError
from tests.data.divided import EXPECTED, VALUES, positions


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture
def file(tmp_path):
    records = [{"text": "ab" * (i % 9 + 1), "label": "xyz"[i % 3]} for i in range(90)]
    return write(tmp_path / "a.jsonl", records)


def ready(path, stage="test", **arguments):
    data = JSONL(path, **({"batch_size": 16} | arguments))
    data.setup(stage)
    return data


def test_texts_have_classes(file):
    """Tokens as wide as the longest of the batch, and a class each; equal shares everywhere."""
    data = ready(file, label="label")
    spec = data.data_spec
    assert (spec.num_classes, spec.class_names, spec.vocab_size) == (3, ("x", "y", "z"), 261)
    for tokens, labels in data.train_dataloader():
        assert tokens.dtype == labels.dtype == torch.int64 and labels.shape == (len(tokens),)
        assert bool((tokens != 0).any(dim=0).all()) and tokens.shape[1] <= 18
    assert torch.equal(data.split("test").labels.bincount(), torch.tensor([6, 6, 6]))


def test_long_texts_are_cut(file):
    """At sequence_length."""
    tokens, _ = next(iter(ready(file, label="label", sequence_length=5).train_dataloader()))
    assert tokens.shape[1] == 5


def test_labels_can_be_put_together(file):
    """By data.classes; a label that is not among them is named with its line."""
    classes = {"x": "one", "y": "two", "z": "two"}
    assert ready(file, label="label", classes=classes).data_spec.class_names == ("one", "two")
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: label 'z' is not among data\.classes"):
        ready(file, label="label", classes={"x": "one", "y": "two"})


def test_numbers_and_truth_values_are_classes(tmp_path):
    """By their text."""
    path = write(tmp_path / "a.jsonl", [{"text": "a", "label": i % 2} for i in range(20)])
    assert ready(path, label="label").data_spec.class_names == ("0", "1")


def test_documents_predict_their_next_tokens(tmp_path):
    """Start in front, end as the last target, nothing at padding; a cut text has no end."""
    path = write(tmp_path / "a.jsonl", [{"text": "ab"}, {"text": "abcdef"}] * 10)
    data = ready(path, sequence_length=4, validation_fraction=0.0, test_fraction=0.0)
    assert data.data_spec.preparation["prefix"] == [2]
    tokens, targets = data.split("train").__getitems__([0, 1])
    a = ord("a") + 5
    assert tokens.tolist() == [[2, a, a + 1, 0], [2, a, a + 1, a + 2]]
    assert targets.tolist() == [[a, a + 1, 3, -100], [a, a + 1, a + 2, a + 3]]


def test_inputs_from_outside_need_no_training_data(file, tmp_path):
    """JSON lines, or a text per line, with the run's tokenizer; documents get start and end."""
    spec = ready(file, label="label").data_spec
    data = JSONL("missing.jsonl", label="label")
    data.adopt(spec)
    lines = tmp_path / "lines.txt"
    lines.write_text("hello\n\nhi\n")
    inputs = data.read_input(lines)
    assert len(inputs) == 2 and inputs.__getitems__([1]).shape == (1, 2)
    written = write(tmp_path / "b.jsonl", [{"text": "hello"}])
    assert torch.equal(data.read_input(written).__getitems__([0]), inputs.__getitems__([0, 1])[:1])
    alone = JSONL("missing.jsonl")
    alone.adopt(spec)
    tokens, targets = alone.read_input(lines).__getitems__([1])
    assert tokens.tolist() == [[2, 109, 110]] and targets.tolist() == [[109, 110, 3]]


@pytest.mark.parametrize("name", ["b.json", "b.ndjson", "b"])
def test_json_lines_have_any_ending(file, tmp_path, name):
    """Those to predict as those to train on; a text in braces is none."""
    data = ready(file, label="label")
    write(tmp_path / name, [{"text": "hello", "label": "x"}, {"text": "hi"}])
    inputs = data.read_input(tmp_path / name).__getitems__([0, 1])
    texts = [data.saved_tokenizer().decode(row) for row in inputs.tolist()]
    assert texts == ["hello", "hi"]
    (tmp_path / name).write_text("{hello}\n")
    assert data.read_input(tmp_path / name).__getitems__([0]).shape == (1, 7)


def test_a_label_that_the_run_does_not_know_is_refused(file, tmp_path):
    """With those that it knows."""
    spec = ready(file, label="label").data_spec
    data = JSONL(write(tmp_path / "b.jsonl", [{"text": "a", "label": "w"}] * 9), label="label")
    data.adopt(spec)
    with pytest.raises(DataError, match="the label 'w' is none of the trained classes"):
        data.load()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'text': 1}", r"line 2, column 2: no JSON: Expecting property name"),
        ("[1]", "line 2: list instead of an object"),
        ('{"txt": "a", "label": 1}', "line 2: no field 'text'\n  known: txt, label\n  fix:   did"),
        ('{"text": 7, "label": 1}', "line 2: text is 7, which is no text"),
        ('{"text": " ", "label": 1}', "line 2: text is empty"),
        ('{"text": "a", "label": null}', "line 2: label is None, which names no class"),
        ('{"text": "a", "label": 1.5}', "line 2: label is 1.5, which names no class"),
        ('{"text": "a", "label": ' + "1" * 5000 + "}", "line 2: no JSON: Exceeds the limit"),
        ('{"text": "a", "label": ' + "[" * 99999, "line 2: no JSON: maximum recursion depth"),
        (r'{"text": "a \ud83d", "label": 1}', r"line 2: text holds '\\ud83d', one half of a"),
    ],
)
def test_bad_records_are_named_with_their_line(tmp_path, line, message):
    """As an editor counts lines."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 0}\n' + line + "\n")
    with pytest.raises(DataError, match=message.replace("(", "\\(")):
        JSONL(str(path), label="label").load()


def test_files_and_classes_of_no_use_are_refused(tmp_path):
    """Nothing in it, one class, or classes without a label."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no records"):
        JSONL(str(path)).load()
    with pytest.raises(DataError, match="every label is 'x'"):
        JSONL(write(path, [{"text": "a", "label": "x"}] * 9), label="label").load()
    with pytest.raises(InvalidValueError, match="no field of the label"):
        JSONL(str(path), classes={"a": "b"})
    with pytest.raises(DataError, match="holds no texts"):
        (tmp_path / "b.txt").touch()
        JSONL(str(path)).read_input(tmp_path / "b.txt")


@pytest.mark.parametrize("label", ["label", None])
@pytest.mark.parametrize("way", VALUES)
def test_a_field_divides_the_texts(tmp_path, way, label):
    """By column, group and time, whether they have classes or are documents."""
    records = [{"text": "ab", "label": i % 2, "key": v} for i, v in enumerate(VALUES[way])]
    path = write(tmp_path / "a.jsonl", records)
    assert positions(JSONL(path, label=label, split=way, split_by="key")) == EXPECTED[way]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({}, "line 2: no field 'key'"),
        ({"key": None}, "line 2, field 'key': the group is missing"),
        ({"key": [1]}, r"line 2, field 'key': \[1\] is no text, number or date"),
    ],
)
def test_a_text_without_a_group_is_named(tmp_path, key, message):
    """With its line and field."""
    path = write(tmp_path / "a.jsonl", [{"text": "a", "key": "a"}, {"text": "b"} | key])
    with pytest.raises(DataError, match=message):
        JSONL(path, split="group", split_by="key").load()
    with pytest.raises(InvalidValueError, match="split_by = 'text' is an input or a target"):
        JSONL(path, split="group", split_by="text")


def test_a_saved_spec_divides_alike_and_new_texts_need_no_key(tmp_path):
    """The test of a run sees the same records."""
    records = [{"text": "ab", "label": i % 2, "key": v} for i, v in enumerate(VALUES["group"])]
    path = write(tmp_path / "a.jsonl", records)
    arguments = {"label": "label", "split": "group", "split_by": "key"}
    trained = JSONL(path, **arguments)
    trained.setup("fit")
    data = JSONL(path, **arguments)
    data.adopt(trained.data_spec)
    assert positions(data) == EXPECTED["group"]
    assert len(data.read_input(write(tmp_path / "new.jsonl", [{"text": "ba"}]))) == 1
