"""Text: windows that stay within their split, streams that go on, errors with their line."""

import json
from itertools import pairwise

import pytest
import torch

from dlplug.data.text.corpus import Text
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.nn.absent import PADDING
from tests.data.divided import EXPECTED, SPLITS, VALUES

CHARACTERS = "".join(chr(ord("A") + i % 50) + chr(0x4E00 + i) for i in range(500))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(CHARACTERS)
    return path


def ready(path, stage="test", **arguments):
    chosen = {"tokenizer": "character", "sequence_length": 10, "batch_size": 4} | arguments
    data = Text(str(path), **chosen)
    data.setup(stage)
    return data


def texts_of(data, loader):
    decode = data.saved_tokenizer().decode
    return [decode(row) for tokens, _ in loader for row in tokens.tolist()]


def test_targets_are_the_next_tokens(file):
    """(B, T) and (B, T), int64; facts about the vocabulary are published."""
    data = ready(file)
    assert data.data_spec.sequence_length == 10 and data.data_spec.mask_token == 4
    for tokens, targets in data.train_dataloader():
        assert tokens.shape == targets.shape == (len(tokens), 10) and tokens.dtype == torch.int64
        assert torch.equal(tokens[:, 1:], targets[:, :-1])
        assert int(tokens.max()) < data.data_spec.vocab_size


def test_splits_follow_each_other_and_share_nothing(file):
    """In order: train, validation, test; also with windows that overlap."""
    data = ready(file, tokenizer="byte", stride=3)
    parts = [data.split(name).tokens for name in ("train", "validation", "test")]
    assert data.saved_tokenizer().decode(torch.cat(parts).tolist()) == CHARACTERS + "\n"
    assert len(parts[0]) > 6 * len(parts[1]) and len(parts[2]) > len(parts[1])
    train = data.split("train")
    assert int(train.starts[1]) == 3 and int(train.starts[-1]) + 11 <= len(train.tokens)


def test_the_vocabulary_is_that_of_the_training_part(file):
    """What comes later first is unknown."""
    data = ready(file)
    assert data.data_spec.vocab_size < len(set(CHARACTERS))
    assert 1 in data.split("test").tokens and 1 not in data.split("train").tokens


def test_every_training_token_is_predicted_once(file):
    """Windows follow each other without a gap."""
    data = ready(file)
    text = "".join(sorted(texts_of(data, data.train_dataloader())))
    assert len(text) == 700 and set(text) <= set(CHARACTERS)


def test_streams_go_on(file):
    """Row b of a batch begins where row b of the batch before ended, in every split."""
    data = ready(file, contiguous=True)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        batches = list(loader)
        assert len(batches) >= 2
        for (_, targets), (tokens, _) in pairwise(batches):
            assert torch.equal(targets[:, -1], tokens[:, 0]) and len(tokens) == 4
    first = texts_of(data, data.train_dataloader())
    assert first == texts_of(data, data.train_dataloader())


def test_folders_and_lists_are_read_in_order(tmp_path):
    """Files by name; each ends its last line."""
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name[0] * 50)
    data = Text(str(tmp_path), sequence_length=4, test_fraction=0.0, validation_fraction=0.0)
    data.setup("fit")
    decode = data.saved_tokenizer().decode
    assert decode(data.split("train").tokens.tolist()) == "a" * 50 + "\n" + "b" * 50 + "\n"
    paths = [str(tmp_path / "c.md"), str(tmp_path / "a.txt")]
    data = Text(paths, sequence_length=4)
    data.setup("fit")
    assert decode(data.split("train").tokens.tolist()).startswith("c" * 50 + "\naaa")


def test_json_lines_give_one_field(tmp_path):
    """A text per line."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"t": "word"}) + "\n" for _ in range(40)))
    data = Text(str(path), field="t", sequence_length=5)
    data.setup("fit")
    assert texts_of(data, data.val_dataloader())[0] == "word\n"
    with pytest.raises(ConfigError, match="holds JSON lines, and no field is named"):
        Text(str(path)).load()


def test_a_saved_tokenizer_is_used_again(file, tmp_path):
    """With other texts; inputs from outside become windows, the last one padded."""
    spec = ready(file).data_spec
    other = tmp_path / "b.txt"
    other.write_text("XYZ" * 100)
    data = Text(str(other), tokenizer="character", sequence_length=10)
    data.adopt(spec)
    inputs = data.read_input(file)
    batch = inputs.__getitems__([0, len(inputs) - 1])
    assert data.saved_tokenizer().decode(batch[0].tolist()) == CHARACTERS[:10]
    file.write_text(CHARACTERS[:13])
    batch = data.read_input(file).__getitems__([1])
    assert (batch[0] == PADDING).sum() == 7
    data.setup("fit")
    assert data.data_spec.preparation == spec.preparation


def test_inputs_from_json_lines_are_the_field(tmp_path):
    """As in the training, whatever the file is called; plain text is taken as it stands."""
    lines = [json.dumps({"t": f"text {i}", "u": "x"}) for i in range(40)]
    for name in ("a.jsonl", "a.ndjson"):
        (tmp_path / name).write_text("\n".join(lines))
    data = Text(str(tmp_path / "a.jsonl"), field="t", sequence_length=5)
    data.setup("fit")
    decode = data.saved_tokenizer().decode
    (tmp_path / "a.txt").write_text("plain")
    whole = "".join(f"text {i}\n" for i in range(40))
    for name, expected in (("a.jsonl", whole), ("a.ndjson", whole), ("a.txt", "plain")):
        inputs = data.read_input(tmp_path / name)
        assert decode(inputs.__getitems__(range(len(inputs))).flatten().tolist()) == expected
    with pytest.raises(ConfigError, match="holds JSON lines, and no field is named"):
        Text(str(tmp_path / "a.txt")).read_input(tmp_path / "a.jsonl")


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    """The byte, and how to convert the file."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo \xe4\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: byte 0xe4 is no UTF-8"):
        Text(str(path)).load()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stride": 0}, InvalidValueError, "stride = 0"),
        ({"contiguous": True, "stride": 3}, InvalidValueError, "contiguous with stride = 3"),
        ({"contiguous": True, "sampling": "balanced"}, InvalidValueError, "sampling = 'balanced'"),
        ({"sequence_length": 1}, InvalidValueError, "sequence_length = 1 is below 2"),
        ({"tokenizer": "letters"}, InvalidValueError, "tokenizer = 'letters'"),
        ({"sequence_length": 150}, DataError, "100 tokens to validate on are fewer than one"),
        ({"test_fraction": 1.0}, InvalidValueError, "test_fraction = 1.0"),
    ],
)
def test_what_does_not_fit_is_refused(file, arguments, error, message):
    """With the values."""
    with pytest.raises(error, match=message):
        ready(file, **arguments)


def test_more_streams_than_text_are_refused(file):
    """With what would help."""
    data = ready(file, contiguous=True, batch_size=64)
    with pytest.raises(DataError, match="9 windows to validate on, for 64 streams"):
        data.val_dataloader()


def test_a_folder_without_texts_is_named(tmp_path):
    """With the ending that is looked for."""
    with pytest.raises(DataError, match=r"has no \.txt files"):
        Text(str(tmp_path)).load()


def parts_of(data):
    """The text of each split, as a tokenizer of bytes leaves it."""
    data.setup("test")
    decode = data.saved_tokenizer().decode
    return {name: decode(data.split(name).tokens.tolist()) for name in SPLITS}


@pytest.mark.parametrize("way", VALUES)
def test_documents_are_divided_whole(tmp_path, way):
    """Lines by a field, or files by their names; each split holds its own, in their order."""
    lines = [{"t": f"text {i}", "key": value} for i, value in enumerate(VALUES[way])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = tmp_path / "files"
    folder.mkdir()
    for i, value in enumerate(VALUES[way]):
        (folder / f"{i}-{value}.txt").write_text(f"text {i}")
    expected = {name: "".join(f"text {i}\n" for i in rows) for name, rows in EXPECTED[way].items()}
    arguments = {"sequence_length": 4, "split": way}
    by_field = Text(str(tmp_path / "a.jsonl"), field="t", split_by="key", **arguments)
    assert parts_of(by_field) == expected
    assert parts_of(Text(str(folder), split_by=r"-(.*)\.txt", **arguments)) == expected


def test_files_of_several_folders_are_named_below_their_common_one(tmp_path):
    """So that folders may say the split; above it, a name plays no part."""
    root = tmp_path / "test"
    for name in ("train", "valid"):
        (root / name).mkdir(parents=True)
        (root / name / "a.txt").write_text(name * 3)
        (root / name / "a.jsonl").write_text(json.dumps({"t": name * 3}) + "\n")
    paths = [str(root / "train"), str(root / "valid")]
    for field in (None, "t"):
        data = Text(paths, field, sequence_length=4, split="column", split_by="(train|valid|test)")
        assert parts_of(data) == {"train": "train" * 3 + "\n", "validation": "valid" * 3 + "\n",
                                  "test": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split_by": "book"}, InvalidValueError, "split_by = 'book' names a field, and the files"),
        ({"split_by": "(a)(b)"}, InvalidValueError, "has 2 groups"),
        ({"split_by": "t", "field": "t"}, InvalidValueError, "split_by = 't' is an input"),
        (
            {"split_by": "(b)"},
            DataError,
            r"split_by '\(b\)' matches none of 1 paths, such as 'a\.txt'",
        ),
        ({"split_by": "key", "field": "t"}, DataError, r"a\.jsonl, line 1: no field 'key'"),
        ({"split": "fraction", "split_seed": 1}, InvalidValueError, "split_seed = 1 has no influ"),
    ],
)
def test_documents_that_cannot_be_divided_are_refused(tmp_path, arguments, error, message):
    """With the place, or before anything is read."""
    (tmp_path / "a.txt").write_text("word")
    (tmp_path / "a.jsonl").write_text('{"t": "word"}\n')
    path = tmp_path / ("a.jsonl" if "field" in arguments else "a.txt")
    with pytest.raises(error, match=message):
        Text(str(path), **({"split": "group"} | arguments)).load()
