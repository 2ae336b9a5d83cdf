"""The architecture against transformers itself, and every mistake in its arguments."""

import json
import re

import pytest
import torch
import transformers
from conftest import BERT
from dlplug_transformers.auto import auto
from dlplug_transformers.network import CachedNetwork, Network

from dlplug.errors import DataError, InvalidValueError, UnknownKeyError

SMALL = {"model_type": "bert", **BERT}


def small(**changes):
    """A network from settings, on 20 tokens."""
    return auto(3, 20, config=SMALL | changes)


def test_a_folder_gives_the_librarys_network(bert, capsys):
    """Same outputs for a padded batch as from transformers with its mask; new parts are told."""
    network = auto(3, 12, path=str(bert)).eval()
    assert "new: classifier.bias, classifier.weight" in capsys.readouterr().err
    body = transformers.BertModel.from_pretrained(bert).eval()
    tokens = torch.tensor([[1, 4, 5, 2, 0, 0], [1, 6, 7, 8, 9, 2]])
    inside = network.network.bert(tokens, attention_mask=(tokens != 0).long()).pooler_output
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    expected = body(tokens, attention_mask=mask).pooler_output
    torch.testing.assert_close(inside, expected)
    torch.testing.assert_close(network(tokens), network.network.classifier(expected))
    torch.testing.assert_close(network(tokens)[:1], network(tokens[:1, :4]))


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_the_mean_of_all_tokens_is_taken_where_asked_for(kind, request):
    """Of the folder's weights, without padding; every parameter learns."""
    folder = request.getfixturevalue(kind)
    size = {"gpt2": 10}.get(kind, 12)
    network = auto(3, size, path=str(folder), pooling="mean").eval()
    body = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = torch.tensor([[3, 4, 5, 6, 0, 0], [3, 6, 7, 8, 2, 5]])
    layer = network.network.classifier
    outputs = network(tokens)
    for row, length in enumerate((4, 6)):
        features = body(tokens[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(outputs[row], layer(features.mean(1))[0])
    outputs.sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_a_loaded_network_is_ready_to_train(bert):
    """The library gives it in the mode of evaluation, without dropout; and in float32."""
    network = auto(3, 12, path=str(bert))
    assert all(module.training for module in network.modules())
    tokens = torch.tensor([[1, 4, 5, 2]])
    assert not torch.equal(network(tokens), network(tokens))
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_padding_of_another_number_is_exchanged(roberta):
    """Tokens 0 and 1 change places on the way in and out; rows without a token are cut off."""
    network = auto(12, 12, per_position=True, path=str(roberta)).eval()
    own = transformers.RobertaForMaskedLM.from_pretrained(roberta).eval()
    theirs = torch.tensor([[0, 4, 5, 6, 2], [0, 7, 2, 1, 1]])
    ours = torch.tensor([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0]])
    expected = own(theirs, attention_mask=(theirs != 1).long()).logits
    assert expected.shape[-1] == 17
    order = [1, 0, *range(2, 12)]
    torch.testing.assert_close(network(ours), expected[..., order])


def test_padding_that_is_missing_gets_a_row(gpt2):
    """Behind all others, where dlplug's tokenizer puts it; the other rows are the folder's."""
    network = auto(10, 10, per_position=True, is_causal=True, path=str(gpt2)).eval()
    own = transformers.GPT2LMHeadModel.from_pretrained(gpt2).eval()
    theirs, ours = torch.tensor([[0, 3, 4, 5]]), torch.tensor([[9, 3, 4, 5]])
    outputs = network(ours)
    assert outputs.shape == (1, 4, 10)
    expected = own(theirs).logits
    torch.testing.assert_close(outputs[..., 1:9], expected[..., 1:])
    torch.testing.assert_close(outputs[..., 9], expected[..., 0])


def test_classes_of_a_decoder_are_of_its_last_token(gpt2):
    """Padding behind a text changes nothing."""
    network = auto(3, 10, path=str(gpt2)).eval()
    padded = torch.tensor([[9, 3, 4, 0, 0], [9, 1, 2, 3, 4]])
    alone = torch.cat([network(padded[:1, :3]), network(padded[1:])])
    torch.testing.assert_close(network(padded), alone)


DECODERS = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {"num_key_value_heads": 1},
    "bert": {},
    "roberta": {},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "bloom": {},
    "gpt_neox": {},
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_sees_nothing_that_comes_later(name):
    """Also one that the library builds as an encoder unless told; its cache gives the same."""
    sizes = {k: v for k, v in BERT.items() if "dropout" not in k} if name != "gpt2" else {}
    if name == "opt":
        sizes.pop("intermediate_size")
    if name == "bloom":
        sizes = {"hidden_size": 16, "n_layer": 1, "n_head": 2}
    settings = {"model_type": name, **sizes, **DECODERS[name]}
    torch.manual_seed(0)
    network = auto(20, 20, per_position=True, is_causal=True, config=settings).eval()
    assert isinstance(network, CachedNetwork)
    tokens = torch.randint(1, 20, (1, 8))
    changed = tokens.clone()
    changed[0, -1] = tokens[0, -1] % 19 + 1
    with torch.no_grad():
        outputs, other = network(tokens), network(changed)
        torch.testing.assert_close(outputs[:, :-1], other[:, :-1])
        assert not torch.allclose(outputs[:, -1], other[:, -1])
        cache = network.new_cache(1, 8)
        parts = [network(part, cache=cache) for part in (tokens[:, :5], tokens[:, 5:6])]
        parts.append(network(tokens[:, 6:], cache=cache))
    torch.testing.assert_close(torch.cat(parts, 1), outputs)


def test_the_task_chooses_the_class():
    """Of the library's Auto classes; an encoder has no cache."""
    made = [
        auto(3, 20, config=SMALL),
        auto(20, 20, per_position=True, config=SMALL),
        auto(4, 20, per_position=True, config=SMALL),
        auto(20, 20, per_position=True, is_causal=True, config=SMALL),
    ]
    assert [type(network.network).__name__ for network in made] == [
        "BertForSequenceClassification",
        "BertForMaskedLM",
        "BertForTokenClassification",
        "BertLMHeadModel",
    ]
    assert [type(network) for network in made] == [Network, Network, Network, CachedNetwork]
    tokens = torch.tensor([[5, 6, 0]])
    shapes = [tuple(network(tokens).shape) for network in made]
    assert shapes == [(1, 3), (1, 3, 20), (1, 3, 4), (1, 3, 20)]


def test_a_text_without_tokens_has_finite_outputs():
    """Nothing but padding."""
    outputs = small().eval()(torch.tensor([[0, 0], [4, 5]]))
    assert outputs.isfinite().all()


def test_settings_change_those_of_a_folder(bert):
    """With its weights, or with random ones and any tokenizer."""
    changed = auto(3, 12, path=str(bert), config={"hidden_dropout_prob": 0.0})
    assert changed.network.config.hidden_dropout_prob == 0.0
    table = changed.network.bert.embeddings.word_embeddings.weight
    body = transformers.BertModel.from_pretrained(bert)
    torch.testing.assert_close(table, body.embeddings.word_embeddings.weight)
    fresh = auto(3, 300, path=str(bert), pretrained=False)
    assert fresh.network.get_input_embeddings().weight.shape == (300, 16)
    assert fresh.network.config.num_hidden_layers == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, InvalidValueError, "needs a path or a config"),
        ({"config": {"n_embd": 8}}, InvalidValueError, "config has no model_type"),
        ({"config": {"model_type": "brt"}}, InvalidValueError, "did you mean 'bert'"),
        ({"config": {"model_type": "vit"}}, InvalidValueError, "no network for SequenceClass"),
        ({"config": {"model_type": "t5"}}, InvalidValueError, "writes one text for another"),
        ({"config": SMALL | {"hidden_sise": 8}}, UnknownKeyError, "did you mean 'hidden_size'"),
        ({"config": SMALL | {"vocab_size": 8}}, InvalidValueError, "decided by the data"),
        ({"config": SMALL | {"hidden_size": "a"}}, InvalidValueError, "expected int, got str"),
        ({"config": SMALL | {"hidden_size": 15}}, InvalidValueError, "not a multiple"),
        ({"config": SMALL | {"num_attention_heads": 0}}, InvalidValueError, "is refused: "),
        ({"config": SMALL, "pretrained": False}, InvalidValueError, "without a path"),
        ({"config": SMALL, "sequence_length": 17}, InvalidValueError, "17 tokens, .* 16 positions"),
        ({"config": SMALL, "pooling": "max"}, InvalidValueError, "pooling = 'max'"),
        (
            {"config": SMALL, "pooling": "mean", "per_position": True},
            InvalidValueError,
            "one output for a text",
        ),
        ({"path": "./nowhere"}, DataError, "does not exist"),
    ],
)
def test_wrong_arguments_are_refused(arguments, kind, message):
    """One error each, with what is known."""
    with pytest.raises(kind) as error:
        auto(3, 20, **arguments)
    assert re.search(message, str(error.value))


def test_positions_behind_padding_are_counted(roberta):
    """RoBERTa's first position has the number behind its padding's."""
    with pytest.raises(InvalidValueError, match="records of 15 tokens, the network has 14 pos"):
        auto(3, 12, sequence_length=15, path=str(roberta))
    assert (
        auto(3, 12, sequence_length=14, path=str(roberta))(torch.ones(1, 14).long())
        .isfinite()
        .all()
    )


def test_tokens_of_another_tokenizer_are_refused(bert):
    """With the line that mends it."""
    with pytest.raises(InvalidValueError, match=r"the data has 261 tokens, .* 12") as error:
        auto(3, 261, path=str(bert))
    assert f"data.tokenizer: {bert}" in error.value.fix


def test_a_tokenizer_larger_than_its_network_is_refused(bert):
    """The folder contradicts itself."""
    config = json.loads((bert / "config.json").read_text()) | {"vocab_size": 11}
    (bert / "config.json").write_text(json.dumps(config))
    (bert / "model.safetensors").unlink()
    transformers.BertModel(transformers.BertConfig(**config)).save_pretrained(bert)
    with pytest.raises(InvalidValueError, match="tokenizer has 12 tokens, its network rows for 11"):
        auto(3, 12, path=str(bert))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "is no JSON"),
        ("config.json", "{}", "has no model_type"),
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("model.safetensors", None, "has no weights"),
        ("model.safetensors", "x", "cannot be loaded"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(bert, name, content, message):
    """What lacks or is damaged is named."""
    if content is None:
        (bert / name).unlink()
    else:
        (bert / name).write_text(content)
    with pytest.raises(DataError, match=message):
        auto(3, 12, path=str(bert))


def test_weights_that_could_run_code_are_refused(bert):
    """Pickles are not even opened."""
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(DataError, match="a pickle, which can run code") as error:
        auto(3, 12, path=str(bert))
    assert "safetensors" in error.value.fix


def test_code_in_a_folder_is_never_run(bert):
    """Neither for a network that the library knows, nor for another one."""
    code = f"open({str(bert / 'ran')!r}, 'w')\n"
    (bert / "modeling.py").write_text(code)
    config = json.loads((bert / "config.json").read_text())
    names = {
        "AutoConfig": "modeling.Config",
        "AutoModelForSequenceClassification": "modeling.Model",
    }
    (bert / "config.json").write_text(json.dumps(config | {"auto_map": names}))
    assert auto(3, 12, path=str(bert)).network.config.model_type == "bert"
    mine = config | {"auto_map": names, "model_type": "mine"}
    (bert / "config.json").write_text(json.dumps(mine))
    with pytest.raises(InvalidValueError, match="'mine' is none of transformers"):
        auto(3, 12, path=str(bert))
    assert not (bert / "ran").exists()


def test_weights_of_another_network_are_refused(bert):
    """Other sizes, or layers that the file lacks: nothing is left random in silence."""
    with pytest.raises(DataError, match="cannot be loaded"):
        auto(3, 12, path=str(bert), config={"hidden_size": 8})
    with pytest.raises(DataError, match=r"lack 'bert\.encoder\.layer\.1"):
        auto(3, 12, path=str(bert), config={"num_hidden_layers": 2})


def test_another_type_than_the_folders_is_refused(bert):
    """Settings change a network, they do not make it another one."""
    with pytest.raises(InvalidValueError, match=r"model_type is 'gpt2', that of .* is 'bert'"):
        auto(3, 12, path=str(bert), config={"model_type": "gpt2"})


def test_the_library_is_left_as_it_was(bert):
    """Its notes and bars are off while a network is made, no longer."""
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    auto(3, 12, path=str(bert))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
