"""Adapters on several architectures, against the definition and against the plain network."""

import copy
import pickle
import re
import warnings

import pytest
import torch
from dlplug_peft.adapted import adapted
from dlplug_peft.kinds import KINDS
from dlplug_peft.merging import merge
from torch import nn

from dlplug.architectures.transformer.model import Transformer
from dlplug.architectures.vit import ViT
from dlplug.errors import InvalidValueError, UnknownKeyError
from dlplug.nn import MultiheadAttention

# peft's own way of asking torch.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
IMAGES = {"in_channels": 1, "image_size": 8, "num_outputs": 3}
SETTINGS = {
    "lora": {"r": 2, "lora_alpha": 8},
    "oft": {"oft_block_size": 4, "r": 0},
    "miss": {"r": 2},
    "fourierft": {"n_frequency": 8},
}


def vit():
    """A small vision transformer in evaluation."""
    torch.manual_seed(0)
    return ViT(**IMAGES, patch_size=4, dim=16, depth=2, heads=2).eval()


def disturbed(network):
    """Trained parameters away from where the adapters do nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def test_lora_is_its_formula():
    """y = W x + (alpha / r) B A x, and at first y = W x."""
    plain, x = vit(), torch.randn(2, 1, 8, 8)
    expected = plain(x)
    network = adapted(plain, ["blocks.*.qkv"], [], settings={"r": 2, "lora_alpha": 8})
    torch.testing.assert_close(network(x), expected)
    disturbed(network)
    layer, y = network.blocks[1].qkv, torch.randn(5, 16)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    formula = layer.base_layer(y) + 8 / 2 * (y @ a.T @ b.T)
    torch.testing.assert_close(layer(y), formula)
    assert not torch.allclose(network(x), expected)


@pytest.mark.parametrize("type", KINDS)
def test_every_adapter_trains_and_is_merged(type):
    """The rest is frozen, a step changes nothing else, and the plain network computes the same."""
    plain = vit()
    names = dict(plain.state_dict())
    before = {name: tensor.clone() for name, tensor in names.items()}
    network = adapted(plain, ["blocks"], [], type, SETTINGS.get(type))
    x = torch.randn(4, 1, 8, 8)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    state = network.state_dict()
    assert names.keys() <= state.keys()
    changed = {n for n in names if not torch.equal(state[n], before[n])}
    assert changed == set()
    outputs = disturbed(network)(x)
    again = adapted(vit(), ["blocks"], [], type, SETTINGS.get(type))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(x), outputs)
    merged = merge(network)
    assert merged.state_dict().keys() == names.keys()
    fresh = vit()
    fresh.load_state_dict(merged.state_dict())
    torch.testing.assert_close(fresh(x), outputs, rtol=1e-4, atol=1e-4)
    assert any(not torch.equal(merged.state_dict()[n], before[n]) for n in names)


def test_a_new_head_is_trained_as_it_is(capsys):
    """Beside the adapters; the counts are told."""
    network = adapted(vit(), ["blocks.*.out"], ["head"], settings={"r": 2})
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {"head.weight", "head.bias"} <= trained
    assert all("lora_" in name for name in trained - {"head.weight", "head.bias"})
    count = 2 * 2 * (16 + 16) + 16 * 3 + 3
    assert f"lora on 2 layers: {count:,} of" in capsys.readouterr().err


def test_state_dicts_have_the_networks_own_names():
    """A checkpoint of the plain network loads; nothing is missing but the adapters."""
    plain = vit()
    torch.nn.init.normal_(plain.blocks[0].qkv.weight)
    network = adapted(vit(), ["blocks"], [])
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == [] and missing and all("lora_" in name for name in missing)
    torch.testing.assert_close(network(torch.ones(1, 1, 8, 8)), plain(torch.ones(1, 1, 8, 8)))
    with pytest.raises(RuntimeError, match=r"blocks\.0\.nonsense"):
        network.load_state_dict(network.state_dict() | {"blocks.0.nonsense": torch.ones(1)})


def test_copies_and_pickles_keep_the_names():
    """As averages of weights and other processes need."""
    network = disturbed(adapted(vit(), ["blocks"], []))
    x = torch.randn(2, 1, 8, 8)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert again.state_dict().keys() == network.state_dict().keys()
        torch.testing.assert_close(again(x), network(x))
        fresh = vit()
        fresh.load_state_dict(merge(again).state_dict())
        torch.testing.assert_close(fresh(x), network(x))


def test_a_decoder_keeps_its_cache():
    """dlplug's own transformer: its layers are linear ones, found by name."""
    sizes = {"num_outputs": 20, "vocab_size": 20, "per_position": True, "is_causal": True}
    torch.manual_seed(0)
    plain = Transformer(**sizes, dim=16, depth=1, heads=2).eval()
    network = disturbed(adapted(plain, ["blocks.*.attention", "*.network.up"], [])).eval()
    tokens = torch.randint(1, 20, (1, 6))
    cache = network.new_cache(1, 6)
    with torch.no_grad():
        parts = [network(part, cache=cache) for part in tokens.split(2, dim=1)]
        torch.testing.assert_close(torch.cat(parts, 1), network(tokens))


def test_a_network_of_transformers_is_adapted():
    """Its own class of linear layers in GPT-2, too, without a warning."""
    auto = pytest.importorskip("dlplug_transformers.auto", reason="needs dlplug-transformers").auto
    sizes = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}
    plain = auto(20, 20, per_position=True, is_causal=True, config=sizes).eval()
    names = plain.state_dict().keys()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        network = adapted(plain, ["*.c_attn"], [], settings={"r": 2})
    tokens = torch.randint(1, 20, (1, 6))
    outputs = disturbed(network)(tokens)
    merged = merge(network)
    assert merged.state_dict().keys() == names
    torch.testing.assert_close(merged(tokens), outputs)


def test_layers_that_attention_reads_are_left_out():
    """Multi-head attention takes the weights of its last layer and never calls it."""
    network = nn.ModuleDict({"attend": MultiheadAttention(8, 2), "out": nn.Linear(8, 8)})
    network = adapted(network, ["*"], [])
    assert not hasattr(network.attend.out_proj, "lora_A") and hasattr(network.out, "lora_A")
    with pytest.raises(InvalidValueError, match="'attend' holds no layer that can be adapted"):
        adapted(nn.ModuleDict({"attend": MultiheadAttention(8, 2)}), ["attend"], [])


def test_tied_weights_are_refused():
    """An adapter on one of two layers would change both when it is merged."""
    network = nn.ModuleDict({"embed": nn.Embedding(9, 4), "head": nn.Linear(4, 9, bias=False)})
    network.head.weight = network.embed.weight
    with pytest.raises(InvalidValueError, match=r"head shares its weights with embed\.weight"):
        adapted(network, ["head"], [])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"type": "lra"}, InvalidValueError, "type = 'lra' is no adapter(.|\n)*mean 'lora'"),
        ({"target": ["block"]}, InvalidValueError, "named 'block'(.|\n)*mean 'blocks'"),
        ({"target": ["blocks.*.*norm*"]}, InvalidValueError, "holds no layer that can be adapted"),
        ({"target": []}, InvalidValueError, "target is empty"),
        ({"train": ["haed"]}, InvalidValueError, "train: nothing in ViT is named 'haed'"),
        ({"settings": {"rank": 4}}, UnknownKeyError, "lora has no setting 'rank'"),
        ({"settings": {"r": 0}}, InvalidValueError, "lora is refused: "),
        ({"settings": {"r": "a"}}, InvalidValueError, "lora is refused: "),
        ({"settings": {"target_modules": ["x"]}}, InvalidValueError, "decided by target"),
    ],
)
def test_wrong_arguments_are_refused(arguments, kind, message):
    """One error each, with what is known."""
    with pytest.raises(kind) as error:
        adapted(vit(), **({"target": ["blocks"], "train": ["head"]} | arguments))
    assert re.search(message, str(error.value))


def test_a_network_without_adapters_is_not_merged():
    """There is nothing to add."""
    with pytest.raises(InvalidValueError, match="has no adapters"):
        merge(vit())
