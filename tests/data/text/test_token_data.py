"""TokenData: the vocabulary that is published, with and without sentinels."""

import pytest

from dlplug.data.text.corpus import Text
from dlplug.data.text.pairs import Pairs
from dlplug.errors import InvalidValueError


def published(data):
    data.setup("fit")
    return data.data_spec


def test_sentinels_are_the_last_tokens(tmp_path):
    """They make the vocabulary larger, and no text holds one; all data of texts can have them."""
    texts, pairs = tmp_path / "a.txt", tmp_path / "a.tsv"
    texts.write_text("abcdefgh" * 20)
    pairs.write_text("ab\tba\n" * 20)
    plain = published(Text(str(texts), sequence_length=4))
    data = Text(str(texts), sequence_length=4, num_sentinels=3)
    spec = published(data)
    assert spec.vocab_size == plain.vocab_size + 3 == data.saved_tokenizer().vocab_size + 3
    assert list(spec.sentinels) == [261, 262, 263] and spec.num_sentinels == 3
    assert plain.num_sentinels is None and len(plain.sentinels) == 0
    assert int(data.split("train").tokens.max()) < spec.sentinels.start
    assert published(Pairs(str(pairs), tokenizer="byte", num_sentinels=3)).vocab_size == 264


def test_a_negative_number_is_refused(tmp_path):
    """With the value."""
    with pytest.raises(InvalidValueError, match="num_sentinels = -1 is below 0"):
        Text(str(tmp_path), num_sentinels=-1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokenizer": "word"}, "tokenizer = 'word' by its arguments, .* with 'character'"),
        ({"vocab_size": 50}, "vocab_size = 50 by its arguments, and the model .* with None"),
    ],
)
def test_another_vocabulary_than_the_trained_one_is_refused(tmp_path, arguments, message):
    """The saved one would be taken, whatever is asked for."""
    (tmp_path / "a.txt").write_text("abcdefgh" * 20)
    path, chosen = str(tmp_path / "a.txt"), {"tokenizer": "character", "sequence_length": 4}
    spec = published(Text(path, **chosen))
    with pytest.raises(InvalidValueError, match=message):
        Text("other.txt", **(chosen | arguments)).adopt(type(spec).from_dict(spec.to_dict()))


def test_a_training_that_kept_no_arguments_is_taken(tmp_path):
    """One of an earlier version; what is published stays what it was."""
    (tmp_path / "a.txt").write_text("abcdefgh" * 20)
    spec = published(Text(str(tmp_path / "a.txt"), sequence_length=4))
    plain = spec.to_dict()
    earlier = {k: v for k, v in plain["preparation"].items() if k != "arguments"}
    data = Text(str(tmp_path / "a.txt"), tokenizer="word", sequence_length=4)
    data.adopt(type(spec).from_dict(plain | {"preparation": earlier}))
    assert published(data).preparation == earlier != plain["preparation"]
