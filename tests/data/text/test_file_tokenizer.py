"""Tokenizers from files: the file's own rules hold, and padding is token 0 all the same."""

import copy
import json
import pickle

import pytest
import torch
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from dlplug.data.text.corpus import Text
from dlplug.data.text.file_tokenizer import FileTokenizer
from dlplug.data.text.jsonl import JSONL
from dlplug.data.text.pairs import Pairs
from dlplug.data.text.tokenizer import learn_tokenizer, tokenizer_from_plain
from dlplug.errors import DataError, InvalidValueError

WORDS = ["god", "said", "let", "there", "be", "light", "##s", "[", "]", "sep", "pad"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert_like(vocabulary, longest=None):
    """A tokenizer of word pieces in small letters, between [CLS] and [SEP]."""
    numbers = {word: i for i, word in enumerate(vocabulary)}
    library = Library(models.WordPiece(numbers, unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens([name for name in SPECIAL if name in numbers])
    library.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(n, numbers[n]) for n in ("[CLS]", "[SEP]")]
    )
    if longest is not None:
        library.enable_truncation(longest)
    if "[PAD]" in numbers:
        library.enable_padding(pad_id=numbers["[PAD]"], length=9)
    return library


def gpt_like():
    """Bytes, and one special token that both begins and ends; no padding."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Library(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(["<|endoftext|>"])
    return library


@pytest.fixture
def folder(tmp_path):
    """Writes a tokenizer, and which tokens are special, into a folder."""

    def write(library, **names):
        (tmp_path / "tokenizer.json").write_text(library.to_str())
        if names:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
        return tmp_path

    return write


def test_the_files_own_rules_hold(folder):
    """Numbers, small letters, pieces, and what stands around a text: those of the library."""
    library = bert_like(SPECIAL + WORDS)
    tokenizer = FileTokenizer.read(folder(library))
    library.no_padding()
    text = "Let there be LIGHTS darkness"
    assert tokenizer.encode_record(text, 12) == library.encode(text).ids
    assert tokenizer.encode(text) == library.encode(text).ids[1:-1]
    assert tokenizer.decode(tokenizer.encode_record("Let there be LIGHTS", 12)) == (
        "let there be lights"
    )
    assert tokenizer.vocab_size == 16 and tokenizer.special_tokens == {0, 1, 2, 3, 4}
    assert (tokenizer.start_token, tokenizer.end_token) == (2, 3)
    assert [tokenizer.name_of(i) for i in (0, 2, 7)] == ["[PAD]", "[CLS]", "let"]


def test_a_cut_text_keeps_its_end(folder):
    """Truncation leaves the tokens around the text, as the library does."""
    tokenizer = FileTokenizer.read(folder(bert_like(SPECIAL + WORDS)))
    assert tokenizer.encode_record("god said let there be light", 4) == [2, 5, 6, 3]


def test_the_files_truncation_holds(folder):
    """A longer record is refused; a text without anything around it is not cut."""
    tokenizer = FileTokenizer.read(folder(bert_like(SPECIAL + WORDS, longest=5)))
    assert len(tokenizer.encode_record("god " * 9, 5)) == 5
    assert len(tokenizer.encode("god " * 9)) == 9
    with pytest.raises(
        InvalidValueError, match=r"sequence_length = 6, and .* at 5 tokens"
    ) as error:
        tokenizer.encode_record("god", 6)
    assert error.value.fix.startswith("set data.sequence_length: 5")
    with pytest.raises(InvalidValueError, match="leaves no room between the 2 tokens"):
        tokenizer.encode_record("god", 2)


def test_padding_elsewhere_changes_places_with_token_0(folder):
    """As in RoBERTa, whose first token begins a text; by names, in either form."""
    order = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    library = bert_like(order + WORDS)
    library.no_padding()
    names = {"pad_token": "[PAD]", "bos_token": {"content": "[CLS]"}, "eos_token": "[SEP]"}
    tokenizer = FileTokenizer.read(folder(library, **names, mask_token="[MASK]"))
    assert library.encode("god").ids == [0, 5, 2]
    assert tokenizer.encode_record("god", 9) == [1, 5, 2]
    assert (tokenizer.start_token, tokenizer.end_token, tokenizer.mask_token) == (1, 2, 4)
    assert tokenizer.padding == 1 and tokenizer.vocab_size == 16
    assert tokenizer.name_of(1) == "[CLS]" and tokenizer.decode([1, 5, 2, 0]) == "god"


def test_a_file_without_padding_gets_one_more_token(folder):
    """As GPT-2's: the first token moves to the end, and every text comes back."""
    path = folder(gpt_like(), bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    tokenizer = FileTokenizer.read(path)
    assert tokenizer.padding == 257 and tokenizer.vocab_size == 258
    assert tokenizer.start_token == tokenizer.end_token == 256
    text = "!In the beginning <|endoftext|> Ω"
    tokens = tokenizer.encode(text)
    assert tokens[0] == 257 and 0 not in tokens and 256 not in tokens
    assert tokenizer.decode(tokens) == text
    assert tokenizer.special_tokens == {0, 256}


@pytest.mark.parametrize("spelt", ["[SEP]", "god [PAD] said"])
def test_a_text_cannot_write_special_tokens(folder, spelt):
    """They are encoded like any other text."""
    tokenizer = FileTokenizer.read(folder(bert_like(SPECIAL + WORDS)))
    assert not set(tokenizer.encode(spelt)) & {0, 2, 3, 4}
    assert tokenizer.encode("[SEP]") == [5 + WORDS.index(word) for word in ("[", "sep", "]")]


def test_it_is_kept_as_plain_data(folder):
    """In a run's record, in copies, and in pickles for other processes."""
    tokenizer = FileTokenizer.read(folder(bert_like(SPECIAL + WORDS, longest=7)))
    plain = json.loads(json.dumps(tokenizer.to_plain()))
    for again in (
        tokenizer_from_plain(plain),
        copy.deepcopy(tokenizer),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert again.to_plain() == plain and again.vocab_size == tokenizer.vocab_size
        assert again.encode_record("God said " * 5, 7) == [2, 5, 6, 5, 6, 5, 3]
        assert again.encode("[SEP]") == tokenizer.encode("[SEP]")


def test_records_of_a_file_use_it(folder, tmp_path):
    """Read by a path, with the special tokens in the data spec; new texts need no file."""
    path = folder(bert_like(SPECIAL + WORDS))
    rows = [{"text": "God said " * (1 + i % 3), "label": i % 2} for i in range(40)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = JSONL(str(tmp_path / "x.jsonl"), label="label", tokenizer=str(path), sequence_length=6)
    data.setup("fit")
    spec = data.data_spec
    assert (spec.vocab_size, spec.start_token, spec.end_token) == (16, 2, 3)
    tokens, _ = next(iter(data.train_dataloader()))
    assert set(tokens[:, 0].tolist()) == {2} and tokens.shape[1] == 6
    (path / "tokenizer.json").unlink()
    later = JSONL("unread", label="label", tokenizer=str(path), sequence_length=6)
    later.adopt(spec)
    (tmp_path / "new.txt").write_text("let there be light\n")
    assert later.read_input(tmp_path / "new.txt").__getitems__([0]).tolist() == [
        [2, 7, 8, 9, 10, 3]
    ]


def test_documents_begin_and_end_as_the_file_says(folder, tmp_path):
    """Also where one token does both: only what ends a text is nobody's input."""
    path = folder(gpt_like(), bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    (tmp_path / "x.jsonl").write_text("\n".join([json.dumps({"text": "ab"})] * 20))
    data = JSONL(str(tmp_path / "x.jsonl"), tokenizer=str(path), sequence_length=8)
    data.setup("fit")
    a, b = (learn(path).encode(letter)[0] for letter in "ab")
    inputs, targets = next(iter(data.train_dataloader()))
    assert inputs[0].tolist() == [256, a, b] and targets[0].tolist() == [a, b, 256]
    assert data.data_spec.preparation["prefix"] == [256]


def test_a_long_text_is_divided_into_windows(folder, tmp_path):
    """Nothing is put around it, and nothing cut."""
    path = folder(bert_like(SPECIAL + WORDS, longest=5))
    (tmp_path / "x.txt").write_text("god said let there be light " * 50)
    data = Text(str(tmp_path / "x.txt"), tokenizer=str(path / "tokenizer.json"), sequence_length=12)
    data.setup("fit")
    tokens, following = next(iter(data.train_dataloader()))
    assert tokens.shape[1] == 12 and not torch.isin(tokens, torch.arange(5)).any()
    assert (following[:, :-1] == tokens[:, 1:]).all()


def test_pairs_need_a_start(folder, tmp_path):
    """A file without one is refused."""
    path = folder(gpt_like(), eos_token="<|endoftext|>")
    (tmp_path / "x.tsv").write_text("ab\tba\n" * 20)
    data = Pairs(str(tmp_path / "x.tsv"), tokenizer=str(path))
    with pytest.raises(DataError, match="no token to begin a text with"):
        data.setup("fit")


def test_what_is_wrong_with_a_file_is_named(tmp_path):
    """A missing, damaged or contradicting one, and a size that it does not have."""
    with pytest.raises(DataError, match=r"has no tokenizer\.json") as error:
        learn(tmp_path)
    assert "save_pretrained" in error.value.fix
    with pytest.raises(DataError, match="does not exist"):
        learn(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="is no tokenizer"):
        learn(tmp_path)
    (tmp_path / "tokenizer.json").write_text(gpt_like().to_str())
    with pytest.raises(InvalidValueError, match=r"vocab_size = 300, and the tokenizer .* has 258"):
        learn_tokenizer(str(tmp_path), [], 300)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    with pytest.raises(DataError, match="eos_token '</s>' is not in the vocabulary"):
        learn(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        learn(tmp_path)


def test_a_name_that_is_no_path_is_refused():
    """With how paths are written."""
    with pytest.raises(InvalidValueError) as error:
        JSONL("x.jsonl", tokenizer="subwords")
    assert "or of its folder: ./NAME" in str(error.value) and "subword" in error.value.fix


def learn(path):
    """As a config does."""
    return learn_tokenizer(str(path), [])
