"""Folders as `save_pretrained` writes them, small enough to make in a test."""

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = ["god", "said", "let", "there", "be", "light", "and", "was"]
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 16, "hidden_dropout_prob": 0.1}


def saved_tokenizer(folder, special, names):
    """Word pieces in small letters; ``special`` come first, ``names`` tell what they are."""
    numbers = {word: i for i, word in enumerate(special + WORDS)}
    library = Tokenizer(models.WordPiece(numbers, unk_token=special[-1]))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens(special)
    if "cls_token" in names:
        start, end = names["cls_token"], names["sep_token"]
        library.post_processor = processors.TemplateProcessing(
            single=f"{start} $A {end}", special_tokens=[(t, numbers[t]) for t in (start, end)]
        )
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return len(numbers)


@pytest.fixture
def bert(tmp_path):
    """A BERT without a head; padding is token 0."""
    from transformers import BertConfig, BertModel

    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    size = saved_tokenizer(tmp_path, ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], names)
    torch.manual_seed(3)
    BertModel(BertConfig(vocab_size=size, pad_token_id=0, **BERT)).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def roberta(tmp_path):
    """A RoBERTa with its head of tokens; padding is token 1, and 5 rows belong to no token."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    names = {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    size = saved_tokenizer(tmp_path, ["<s>", "<pad>", "</s>", "<unk>"], names)
    torch.manual_seed(3)
    config = RobertaConfig(vocab_size=size + 5, pad_token_id=1, **BERT)
    RobertaForMaskedLM(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def gpt2(tmp_path):
    """A GPT-2 with one special token, which is no padding."""
    from transformers import GPT2Config, GPT2LMHeadModel

    size = saved_tokenizer(tmp_path, ["<end>"], {"bos_token": "<end>", "eos_token": "<end>"})
    torch.manual_seed(3)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(vocab_size=size, **sizes, **ends)).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    """The plugin as pip installs it, whether or not it is; nothing is remembered for the user."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    if any(True for _ in metadata.distributions(name="dlplug-transformers")):
        return
    info = home / "dlplug_transformers-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: dlplug-transformers\nVersion: 1\n")
    # Read as text: tomllib came with Python 3.11 only.
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    tables = re.findall(r"^\[project\.entry-points\.(\S+)\]\n((?:.+ = .+\n)+)", pyproject, re.M)
    lines = "\n".join(f"[{group}]\n{entries}" for group, entries in tables)
    (info / "entry_points.txt").write_text(lines.replace('"', ""))
    monkeypatch.syspath_prepend(home)
