"""Tests of dlplug/ops/acceleration/transformers_attention.py, with models of transformers."""

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2Model,
    GptOssConfig,
    GptOssModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from dlplug import ops
from dlplug.ops.acceleration import transformers_attention

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
N, L = 3, 24


def ids():
    return torch.randint(0, 50, (N, L), generator=torch.Generator().manual_seed(1))


def seen():
    """Padding on the left of one, on the right of another."""
    mask = torch.ones(N, L, dtype=torch.long)
    mask[0, :6] = mask[1, 18:] = 0
    return mask


def bert(**options):
    return BertModel(BertConfig(**SIZES, **options))


def llama(**options):
    return LlamaForCausalLM(LlamaConfig(**GROUPED, **options))


def gemma2():
    """Softcap, sliding windows."""
    return Gemma2Model(Gemma2Config(**GROUPED, sliding_window=5, attn_logit_softcapping=2.0))


def gpt_oss():
    """Sinks, sliding windows."""
    sizes = {"num_local_experts": 2, "num_experts_per_tok": 1, "rope_parameters": None}
    return GptOssModel(GptOssConfig(**GROUPED, sliding_window=5, **sizes))


def count(monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(options)
        return ops.attention(*args, **options)

    monkeypatch.setattr(transformers_attention, "attention", counted)
    return calls


@pytest.mark.parametrize("make", [bert, llama, gemma2, gpt_oss])
def test_outputs_and_gradients_stay(make, monkeypatch):
    """Causal, windows, padding, groups, softcap and sinks; undone bit by bit."""
    torch.manual_seed(0)
    model = make().eval()
    base = model.config._attn_implementation

    def results():
        model.zero_grad()
        out = model(ids(), attention_mask=seen())[0]
        out.square().mean().backward()
        return [out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]

    expected = results()
    calls = count(monkeypatch)
    report = ops.accelerate(model)
    assert report.counts["attention"] == 2
    # By the name of this one transformers decides in many places, such as continuous batching.
    assert model.config._attn_implementation == {"sdpa": "sdpa", "eager": "dlplug_eager"}[base]
    with ops.use_backend("reference"):
        found = results()
    assert len(calls) == 2 and len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-5)
    report.undo()
    assert model.config._attn_implementation == base
    assert all(torch.equal(a, b) for a, b in zip(results(), expected, strict=True))


def test_what_is_not_swapped_runs_as_it_was(monkeypatch):
    """Excluded layers of the same config, and another model that shares it."""
    calls = count(monkeypatch)
    model = llama()
    other = LlamaForCausalLM(model.config)
    report = ops.accelerate(model, exclude="model.layers.1.self_attn")
    assert report.counts["attention"] == 1
    model(ids())
    assert len(calls) == 1
    other(ids())
    assert len(calls) == 1
    copy.deepcopy(model)(ids())
    assert len(calls) == 2


def test_weights_and_dropout_are_the_models_own(monkeypatch):
    """A model whose eager attention is swapped still gives its weights; dropout keeps its seed."""
    calls = count(monkeypatch)
    model = gemma2().eval()
    expected = model(ids(), output_attentions=True).attentions
    ops.accelerate(model)
    found = model(ids(), output_attentions=True).attentions
    assert not calls and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    model = llama(attention_dropout=0.5).train()
    torch.manual_seed(1)
    expected = model(ids()).logits
    ops.accelerate(model, include="*.self_attn")
    torch.manual_seed(1)
    assert torch.equal(model(ids()).logits, expected) and not calls


def test_an_eager_attention_that_was_chosen_stays():
    """It was asked for its weights."""
    model = bert(attn_implementation="eager")
    report = ops.accelerate(model)
    assert "attention" not in report.counts and model.config._attn_implementation == "eager"
    reason = report["encoder.layer.0.attention.self"].reason
    assert reason == "its attention 'eager' returns the weights; 'sdpa' does not"
