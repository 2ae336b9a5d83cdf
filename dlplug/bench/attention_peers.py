"""What PyTorch's users run in the place of dlplug's attention."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dlplug import ops
from dlplug.bench.attention_problem import LARGEST_SCORES, Inputs, formula
from dlplug.bench.compiled import compiled
from dlplug.bench.device import is_gpu
from dlplug.bench.row import LeftOut
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
# ``(inputs, dropout_p) -> attention``; raises `LeftOut`.
Builder = Callable[[Inputs, float], Attention]


def sdpa(inputs: Inputs, dropout_p: float) -> Attention:
    """PyTorch's own op; a mask says what it has no argument for."""
    p = inputs.problem
    if p.softcap is not None or inputs.sinks is not None:
        raise LeftOut(f"it has no {'softcap' if p.softcap is not None else 'sinks'}")
    is_causal = p.is_causal and not (p.window or p.document) and inputs.bias is None
    mask = None if is_causal else inputs.mask
    if inputs.bias is not None:
        mask = inputs.bias
        if inputs.mask is not None:
            mask = mask.masked_fill(~inputs.mask, -torch.inf)
        if p.extra != "float mask":
            mask = mask.to(p.dtype)
    return partial(
        F.scaled_dot_product_attention,
        attn_mask=mask,
        dropout_p=dropout_p,
        is_causal=is_causal,
        enable_gqa=p.groups != p.heads,
    )


def by_formula(inputs: Inputs, dropout_p: float) -> Attention:
    """The papers' formula, one op after the other."""
    p = inputs.problem
    if p.scores_bytes > LARGEST_SCORES:
        raise LeftOut(f"it would write {p.scores_bytes / 1e9:.1f} GB of scores")
    return partial(
        formula,
        mask=inputs.mask,
        bias=inputs.bias,
        sinks=inputs.sinks,
        softcap=p.softcap,
        dropout_p=dropout_p,
    )


def sdpa_by_cudnn(inputs: Inputs, dropout_p: float) -> Attention:
    """PyTorch's own op, by the library that it does not choose itself."""
    attend = sdpa(inputs, dropout_p)

    def forced(q, k, v):
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return attend(q, k, v)

    return forced


def hopper(inputs: Inputs, dropout_p: float) -> Attention:
    """dlplug's own kernels for Hopper GPUs, which no call takes unasked until measured."""
    bias = inputs.ours.get("attn_mask")
    slopes = inputs.ours.get("alibi_slopes")
    devices = kernels.hopper_forward.devices
    why = choice.why_not_hopper(devices, inputs.q, inputs.v, bias, dropout_p, slopes)
    if why is not None:
        raise LeftOut(why)

    def forced(q, k, v):
        with choice.asking_for("hopper"):
            return ops.attention(q, k, v, **inputs.ours)

    return forced


def flex(inputs: Inputs, dropout_p: float) -> Attention:
    """PyTorch's ``flex_attention``, compiled, with the blocks that its mask leaves out skipped."""
    p = inputs.problem
    if p.has_backward and not is_gpu():
        raise LeftOut("it has no backward pass on the CPU")
    if p.extra == "float mask" or dropout_p:
        raise LeftOut(f"it has no {'dropout' if dropout_p else 'gradient of a mask'}")
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def sees(batch, head, i, j):
        if p.extra == "bool mask":
            return inputs.mask[i, j]
        seen = i >= j
        if p.window:
            seen = seen & (i - j < p.window)
        if p.document:
            seen = seen & (i // p.document == j // p.document)
        return seen

    blocks = None
    if inputs.mask is not None:
        blocks = create_block_mask(sees, None, None, p.queries, p.keys, device=inputs.q.device)
    slopes, sinks = inputs.ours.get("alibi_slopes"), inputs.sinks

    def changed(score, batch, head, i, j):
        if p.softcap is not None:
            score = p.softcap * torch.tanh(score / p.softcap)
        return score if slopes is None else score - slopes[head] * (i - j).abs()

    is_changed = p.softcap is not None or slopes is not None
    attend = partial(
        flex_attention,
        score_mod=changed if is_changed else None,
        block_mask=blocks,
        enable_gqa=p.groups != p.heads,
    )
    if sinks is None:
        return compiled(attend)

    def with_sinks(q, k, v):
        # The sink is one more term of the softmax's sum.
        out, log_sum = attend(q, k, v, return_lse=True)
        return out * torch.sigmoid(log_sum - sinks[:, None])[..., None].to(out.dtype)

    return compiled(with_sinks)


def reshaped(inputs: Inputs, dropout_p: float) -> Attention:
    """PyTorch's own op on a batch of documents, which have to be of one length for that."""
    p = inputs.problem
    count = p.queries // p.document

    def attend(q, k, v):
        q, k, v = (t[0].unflatten(1, (count, p.document)).transpose(0, 1) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=p.is_causal)
        return out.transpose(0, 1).flatten(1, 2)[None]

    return attend
