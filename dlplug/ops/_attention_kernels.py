"""The operators behind ``attention``: their schemas, fake kernels and gradients.

Query (B, H, Q, D), key (B, G, K, D), value (B, G, K, E); csrc/ops/attention.h says the rest.
"""

from functools import partial

import torch
from torch import Tensor

from dlplug.ops import _library
from dlplug.ops.fallback import attention as reference

# As the fields of reference.Options.
_OPTIONS = (
    "Tensor? attn_mask, Tensor? alibi_slopes, Tensor? cu_seqlens, Tensor? seed, float dropout_p, "
    "float scale, float? softcap, int? left, int? right, int query_offset, "
    "bool allow_tf32=False"
)
_NO_GRADIENTS = (None,) * (len(reference.Options._fields) - 2)  # of all behind the first two


def _fake_forward(query, key, value, *_):
    lse = query.new_empty(query.shape[:-1], dtype=torch.float64)
    return _empty_heads(query, value.size(-1)), lse


def _fake_backward(
    grad_out, query, key, value, out, lse, needs_mask, needs_slopes, attn_mask, alibi_slopes, *_
):
    grads = (_empty_heads(x, x.size(-1)) for x in (query, key, value))
    biases = ((attn_mask, needs_mask), (alibi_slopes, needs_slopes))
    return *grads, *(
        x.new_empty(x.shape) if is_needed else query.new_empty(0, dtype=torch.float32)
        for x, is_needed in biases
    )


def _empty_heads(like: Tensor, width: int) -> Tensor:
    batch, heads, rows, _ = like.shape
    if like.is_contiguous():
        return like.new_empty(batch, heads, rows, width)
    return like.new_empty(batch, rows, heads, width).transpose(1, 2)


def _setup_context(ctx, inputs, output):
    query, key, value, sinks, attn_mask, slopes, cu_seqlens, seed, *ctx.numbers = inputs
    out, lse = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(lse)
    ctx.save_for_backward(query, key, value, sinks, attn_mask, slopes, cu_seqlens, seed, out, lse)


def _gradients(backward, ctx, grad_out, _):
    if grad_out is None:
        return *(None,) * 6, *_NO_GRADIENTS
    query, key, value, sinks, *tensors, out, lse = ctx.saved_tensors
    options = reference.Options(*tensors, *ctx.numbers)
    is_needed = ctx.needs_input_grad[:6]
    if torch.is_grad_enabled():  # create_graph: the gradients must be differentiable themselves
        # Views: where one argument is, or depends on, another, each gradient is its own alone.
        learnt = (query, key, value, sinks, options.attn_mask, options.alibi_slopes)
        inputs = [None if x is None else x.view_as(x) for x in learnt]
        options = options._replace(attn_mask=inputs[4], alibi_slopes=inputs[5])
        wanted = [x for x, needed in zip(inputs, is_needed, strict=True) if needed]
        with reference.without_autocast(query.device.type):  # in the products' gradients, too
            again = reference.attention(*inputs[:4], options)
            found = iter(torch.autograd.grad(again, wanted, grad_out, create_graph=True))
        return *(next(found) if needed else None for needed in is_needed), *_NO_GRADIENTS
    _, _, _, needs_sinks, needs_mask, needs_slopes = is_needed
    *grads, grad_mask, grad_slopes = backward(
        grad_out, query, key, value, out, lse, needs_mask, needs_slopes, *options
    )
    return (
        *grads,
        _gradient_of_sinks(grad_out, out, lse, sinks) if needs_sinks else None,
        grad_mask if needs_mask else None,
        grad_slopes if needs_slopes else None,
        *_NO_GRADIENTS,
    )


def _gradient_of_sinks(grad_out: Tensor, out: Tensor, lse: Tensor, sinks: Tensor) -> Tensor:
    """The sink's weight takes from the others: -weight * (out . grad_out), summed over the rows.

    As exact as the output in its dtype, whose steps are 6e-8 for float16's denormals.
    """
    weight = torch.exp(sinks[:, None] - lse).masked_fill(lse == -torch.inf, 0)
    taken = weight * (out.float() * grad_out.float()).sum(-1)
    return -taken.sum((0, 2)).to(sinks.dtype)


def _define(name: str) -> tuple[_library.Kernel, _library.Kernel]:
    """The forward pass, and the backward pass that gives its gradients.

    Those of query, key and value, and of attn_mask and alibi_slopes where needs_mask and
    needs_slopes ask for them, else of no elements. `out` and `lse` are the forward's.
    """
    backward = _library.define(
        f"{name}_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, "
        f"Tensor lse, bool needs_mask, bool needs_slopes, {_OPTIONS}) "
        "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        fallback=reference.attention_backward,
        fake=_fake_backward,
    )
    forward = _library.define(
        f"{name}_forward(Tensor query, Tensor key, Tensor value, Tensor? sinks, {_OPTIONS}) "
        "-> (Tensor, Tensor)",
        fallback=reference.attention_forward,
        fake=_fake_forward,
        setup_context=_setup_context,
        backward=partial(_gradients, backward),
    )
    return forward, backward


forward, backward = _define("attention")
# The same where they can: csrc/cuda/attention_hopper.h says which calls.
hopper_forward, hopper_backward = _define("attention_hopper")
