"""``python -m tests.gpu_check.small_calls``: each op a few times, small, for compute-sanitizer.

It makes each instruction some hundred times slower, so these are the rows of `dlplug.bench` with
sizes at and around a vector's and a block's, and with every gradient.
"""

import sys
from functools import partial
from itertools import product

import torch

from dlplug import ops
from dlplug.ops import _attention_choice as choice
from dlplug.ops import _attention_kernels as kernels
from dlplug.ops.fallback.compact_adamw import STORAGES
from dlplug.optim import CompactAdamW, FusedAdamW
from tests.ops.attention_cases import allowed_tf32

# Up to those that Hopper keeps in shared memory, and in a cluster. Rows of 16-bit numbers of two
# widths, backward and forward, need just less than the shared memory that needs no permission.
WIDTHS = (1, 7, 8, 33, 192, 1023, 1024, 5000, 12_287, 20_000, 24_575, 60_000)
LENGTHS = ((1, 1), (3, 300), (7, 130), (64, 64), (129, 65))  # few queries, many keys: split
HEAD_WIDTHS = (33, 128, 200)
MASKS = ((4, 33, 70), (2, 1, 33, 1), (1, 70))
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = ((1,), (3,), (33, 31), (1024,), (8192 + 4097,))
FEATURES = (
    {},
    {"is_causal": True},
    {"is_causal": True, "window": 16},
    {"is_causal": True, "softcap": 5.0, "dropout_p": 0.2},
)


def norms(device: str) -> int:
    """Every norm, with and without residual and dropout, forward and backward."""
    count = 0
    for width, dtype in product(WIDTHS, DTYPES):
        x, residual = (leaf(5, width, dtype=dtype, device=device) for _ in range(2))
        weight, bias = (leaf(width, dtype=dtype, device=device) for _ in range(2))
        outputs = [
            ops.layer_norm(x, weight, bias),
            ops.rms_norm(x, weight),
            *ops.add_layer_norm(x, residual, weight, bias),
            *ops.add_rms_norm(x, residual, weight, dropout_p=0.3),
        ]
        torch.stack(outputs).float().square().sum().backward()
        count += len(outputs)
    return count


def optimizers(device: str) -> int:
    """Steps in every mode, with clipping and averages, and as a scaler asks for them."""
    count = 0
    builds = [(lambda p: FusedAdamW(p, max_grad_norm=1.0, ema_decay=0.9), d) for d in DTYPES]
    builds.append((lambda p: FusedAdamW(p, amsgrad=True, maximize=True, fused=True), DTYPES[0]))
    for storage in STORAGES:
        compact = partial(CompactAdamW, storage=storage, max_grad_norm=1.0, ema_decay=0.9)
        builds += [(compact, torch.bfloat16), (partial(compact, fused=True), torch.bfloat16)]
    for build, dtype in builds:
        params = [leaf(*shape, dtype=dtype, device=device) for shape in SHAPES]
        optimizer = build(params)
        for found_inf in (0.0, 1.0, 0.0):
            for param in params:
                param.grad = torch.randn_like(param)
            if getattr(optimizer, "_step_supports_amp_scaling", False):
                optimizer.grad_scale = torch.full((), 8.0, device=device)
                optimizer.found_inf = torch.full((), found_inf, device=device)
            optimizer.step()
            count += 1
    rates = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.01}
    for dtype in DTYPES:  # by lists, which are read anew in each call
        params, grads = ([leaf(*s, dtype=dtype, device=device) for s in SHAPES] for _ in range(2))
        states = [[torch.zeros_like(param) for param in params] for _ in range(2)]
        ops.adamw_(params, grads, *states, [], [torch.zeros(()) for _ in SHAPES], **rates)
        count += 1
    return count


def attentions(device: str) -> int:
    """With features, masks and documents, forward and backward, with grouped heads."""
    count = 0
    for (queries, keys), dtype, features in product(LENGTHS, DTYPES, FEATURES):
        sinks = leaf(4, dtype=dtype, device=device)
        attend(2, queries, keys, 64, dtype, device, sinks=sinks, **features)
        count += 1
    starts = torch.tensor([0, 3, 3, 40, 70], dtype=torch.int32, device=device)
    for width, dtype in product(HEAD_WIDTHS, DTYPES):
        biases = [leaf(*shape, dtype=dtype, device=device) for shape in MASKS]
        slopes = leaf(4, dtype=torch.float32, device=device)
        features = [{"attn_mask": bias, "alibi_slopes": slopes} for bias in biases]
        features += [{"attn_mask": bias.detach() > 0} for bias in biases]
        for given in features:
            attend(2, 33, 70, width, dtype, device, **given)
        attend(1, 70, 70, width, dtype, device, cu_seqlens=starts, is_causal=True)
        for queries, keys in ((70, 110), (5, 300)):
            ends = {"cu_seqlens": (0, 2, 2, queries), "cu_seqlens_k": (0, 60, 90, keys)}
            apart = {
                name: torch.tensor(x, dtype=torch.int32, device=device) for name, x in ends.items()
            }
            attend(1, queries, keys, width, dtype, device, **apart)
        count += len(features) + 3
    with allowed_tf32():
        for queries, keys in LENGTHS:
            attend(2, queries, keys, 64, torch.float32, device, is_causal=True)
            count += 1
    return count


def hopper_attentions(device: str) -> int:
    """Those of the kernel for Hopper GPUs: none on a device that is not one."""
    q = torch.zeros(1, 4, 1, 64, dtype=torch.bfloat16, device=device)
    devices = kernels.hopper_forward.devices
    if choice.why_not_hopper(devices, q, q, None, 0.0, None) is not None:
        return 0
    count = 0
    starts = torch.tensor([0, 3, 3, 140, 300], dtype=torch.int32, device=device)
    with choice.asking_for("hopper"):
        for width, dtype in product(choice.HOPPER_WIDTHS, choice.HALF):
            sinks = leaf(4, dtype=dtype, device=device)
            for features in ({"window": (40, 30)}, {"softcap": 5.0, "is_causal": True}):
                attend(1, 150, 300, width, dtype, device, sinks=sinks, **features)
            attend(1, 300, 300, width, dtype, device, cu_seqlens=starts)
            count += 3
    return count


def attend(
    batch: int,
    queries: int,
    keys: int,
    width: int,
    dtype: torch.dtype,
    device: str,
    **features,
) -> None:
    """Forward and backward of 4 heads that share 2."""
    q = leaf(batch, 4, queries, width, dtype=dtype, device=device)
    k, v = (leaf(batch, 2, keys, width, dtype=dtype, device=device) for _ in range(2))
    out = ops.attention(q, k, v, enable_gqa=True, **features)
    out.float().square().sum().backward()


def leaf(*shape: int, dtype: torch.dtype, device: str) -> torch.nn.Parameter:
    """Random values that gradients are taken of."""
    return torch.nn.Parameter(torch.randn(shape, device=device).to(dtype))


def main(device: str = "cuda") -> None:
    """All of them; says how many calls there were. One that has no kernel is an error."""
    torch.manual_seed(0)
    with ops.use_backend(device):
        done = [part(device) for part in (norms, optimizers, attentions, hopper_attentions)]
    if device == "cuda":
        torch.cuda.synchronize()
    print(f"{sum(done)} calls on {device}")


if __name__ == "__main__":
    main(*sys.argv[1:])
