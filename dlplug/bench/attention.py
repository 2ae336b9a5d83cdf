"""Attention: forward, and forward + backward."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import torch

from dlplug import ops
from dlplug.bench import attention_peers
from dlplug.bench.accuracy import TOLERANCE
from dlplug.bench.attention_peers import Builder
from dlplug.bench.attention_problem import Inputs, Problem, compared, inputs, reference
from dlplug.bench.device import CUDA, is_gpu
from dlplug.bench.limits import matrix_rate
from dlplug.bench.row import Contender, Peer, Row, Work

DTYPES = [torch.float32, torch.bfloat16]
PLAIN = [
    Problem("ViT", 64, 3, 3, 65, 65, 64),
    Problem("ViT", 32, 6, 6, 197, 197, 64),
    Problem("short", 1024, 4, 4, 16, 16, 32),
    Problem("short", 512, 4, 4, 32, 32, 32),
    Problem("short", 256, 4, 4, 64, 64, 64),
    Problem("GPT causal", 4, 12, 12, 1024, 1024, 64, is_causal=True),
    Problem("GQA causal", 2, 16, 4, 2048, 2048, 64, is_causal=True),
    Problem("causal", 1, 16, 16, 4096, 4096, 64, is_causal=True),
    Problem("causal", 1, 16, 16, 4096, 4096, 128, is_causal=True),
]
LONG = [
    Problem(f"causal, {label}", 1, 16, 16, length, length, 64, is_causal=True, **extra)
    for length in (1024, 4096, 8192)
    for label, extra in (
        ("window 256", {"window": 256}),
        ("documents of 128", {"document": 128}),
    )
]
_EXTRA = partial(Problem, batch=1, heads=16, groups=16, queries=1024, keys=1024, width=64)
EXTRAS = [
    _EXTRA("causal, ALiBi", is_causal=True, extra="alibi"),
    _EXTRA("causal, softcap", is_causal=True, softcap=30.0),
    _EXTRA("causal, sinks", is_causal=True, extra="sinks"),
    _EXTRA("causal, dropout", is_causal=True, dropout_p=0.1),
    _EXTRA("bool mask", extra="bool mask"),
    _EXTRA("float mask", extra="float mask"),
    replace(_EXTRA("unequal lengths"), queries=512, keys=2048),
]
DECODING = Problem("decoding", 1, 16, 16, 1, 8192, 64)
QUICK = ("ViT B64", "GPT causal", "window 256 B1 H16 N4096", "decoding")
TOKENS_ON_GPU, MODEL_WIDTH = 16384, 2048


def _on_gpu(label: str, length: int, width: int, dtype=torch.bfloat16, **extra) -> Problem:
    """As many tokens, and features of all heads together, whatever the length and the width."""
    heads = MODEL_WIDTH // width
    sizes = (TOKENS_ON_GPU // length, heads, heads, length, length, width)
    return Problem(label, *sizes, dtype=dtype, **extra)


_FEATURE = partial(_on_gpu, length=4096, width=128)
ON_GPU = [
    *(
        _on_gpu("causal" if is_causal else "plain", length, width, is_causal=is_causal)
        for width, length, is_causal in product((64, 128, 256), (512, 2048, 16384), (False, True))
    ),
    _FEATURE("causal", is_causal=True, dtype=torch.float16),
    _FEATURE("causal", is_causal=True, dtype=torch.float32),
    replace(_FEATURE("GQA causal", is_causal=True), groups=4),
    _FEATURE("causal, window 1024", is_causal=True, window=1024),
    replace(_FEATURE("causal, documents of 512", is_causal=True, document=512), batch=1),
    _FEATURE("causal, softcap", is_causal=True, softcap=30.0),
    replace(_FEATURE("causal, ALiBi", is_causal=True, extra="alibi"), batch=1),
    replace(_FEATURE("causal, sinks", is_causal=True, extra="sinks"), batch=1),
    replace(
        _FEATURE("causal, sinks, window 1024", is_causal=True, extra="sinks", window=1024),
        batch=1,
    ),
    _FEATURE("causal, softcap, window 1024", is_causal=True, softcap=30.0, window=1024),
    _FEATURE("causal, dropout, window 1024", is_causal=True, dropout_p=0.1, window=1024),
    _FEATURE("bool mask", extra="bool mask"),
    replace(_FEATURE("float mask", extra="float mask"), batch=1),
]
DECODING_ON_GPU = Problem("decoding", 1, 64, 8, 1, 65536, 128, dtype=torch.bfloat16)
QUICK_ON_GPU = ("N2048 D128", "window 1024 B4", "decoding")
# Operations for each pair of a query and a key and each feature; backward has 2.5 times as many.
FORWARD, BOTH = 4, 14


def rows(device: str) -> Iterator[Row]:
    """Every row of this file for ``device``."""
    is_gpu = device == CUDA
    quick = QUICK_ON_GPU if is_gpu else QUICK
    for problem in problems_on_gpu() if is_gpu else problems():
        is_quick = any(word in problem.name for word in quick)
        is_quick &= is_gpu or (problem.dtype is torch.float32 and not problem.has_backward)
        yield Row(problem.name, partial(build, problem), problem.memory, is_quick)


def problems() -> Iterator[Problem]:
    """What is compared."""
    for problem in [*PLAIN, *LONG, *EXTRAS]:
        for has_backward, dtype in product((False, True), DTYPES):
            if problem.extra != "float mask" or has_backward:
                yield replace(problem, dtype=dtype, has_backward=has_backward)
    for dtype in DTYPES:
        yield replace(DECODING, dtype=dtype)


def problems_on_gpu() -> Iterator[Problem]:
    """What is compared there."""
    for problem in ON_GPU:
        yield from (replace(problem, has_backward=has_backward) for has_backward in (False, True))
    yield DECODING_ON_GPU


def build(problem: Problem) -> Work:
    """The tensors and the contenders."""
    made = inputs(problem)
    is_plain = not problem.extra and problem.softcap is None and not problem.dropout_p
    builders = {"SDPA": attention_peers.sdpa, "formula": attention_peers.by_formula}
    if is_gpu():
        builders["SDPA by cuDNN"] = attention_peers.sdpa_by_cudnn
        builders["dlplug for Hopper"] = attention_peers.hopper
    if (is_plain or is_gpu()) and problem.queries > 1 and problem.queries == problem.keys:
        builders["flex_attention"] = attention_peers.flex
    if problem.document:
        builders["SDPA of documents"] = attention_peers.reshaped
    peers = {
        name: Peer(partial(_contender, made, builder), name == "flex_attention")
        for name, builder in builders.items()
    }
    flops = (BOTH if problem.has_backward else FORWARD) * made.num_pairs * problem.width
    return Work(
        ours=_contender(made, _ours),
        peers=peers,
        reference=partial(reference, made),
        tolerance=TOLERANCE[problem.dtype],
        backend=ops.explain(ops.attention, made.q, made.k, made.v, **made.ours).backend,
        limit=matrix_rate(problem.dtype, flops),
        has_memory=True,
    )


def _ours(made: Inputs, dropout_p: float) -> attention_peers.Attention:
    return partial(ops.attention, **made.ours | {"dropout_p": dropout_p})


def _contender(made: Inputs, builder: Builder) -> Contender:
    def step(attend):
        out = attend(made.q, made.k, made.v)
        if not made.problem.has_backward:
            return [out]
        return torch.autograd.grad(out, made.leaves, made.grad)

    dropout_p = made.problem.dropout_p
    run = builder(made, dropout_p)
    exact = builder(made, 0.0) if dropout_p else run
    return Contender(lambda: step(run), lambda: compared(made, list(step(exact))))
