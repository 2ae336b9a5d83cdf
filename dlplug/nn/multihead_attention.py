"""Multi-head attention as a module."""

import torch

from dlplug.ops._multihead_attention import FusedMultihead


class MultiheadAttention(FusedMultihead, torch.nn.MultiheadAttention):
    """``torch.nn.MultiheadAttention`` over ``dlplug.ops.attention``: same arguments, same state.

    heads = softmax(q k^T / sqrt(embed_dim / num_heads)) v of each head's share of the projections;
    output = projection of the heads side by side. When the weights are asked for
    (``need_weights``, torch's default) they must exist, and PyTorch's own code computes them.
    One difference: without weights and with the hint ``is_causal``, torch drops ``attn_mask`` and
    hides what ``add_bias_kv`` and ``add_zero_attn`` append; here it stays visible, as with weights.

    Args:
        embed_dim: Width E of the model, the input and the output.
        num_heads: Divides ``embed_dim``.
        dropout: Probability of dropping a weight in training.
        bias: Whether the projections have biases.
        add_bias_kv: Append a learnt key and value to every sequence.
        add_zero_attn: Append a key and value of zeros.
        kdim, vdim: Widths of the keys' and values' inputs, default ``embed_dim``.
        batch_first: Inputs are ``(N, L, E)`` instead of ``(L, N, E)``.
        device, dtype: Of the parameters.
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    """
