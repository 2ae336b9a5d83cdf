"""One comparison of attention: sizes, tensors, the formula, and its values in float64."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

CHUNK = 512  # queries that are computed at once in float64
LARGEST_SCORES = 600e6  # bytes; beyond, the formula is far too slow


@dataclass(frozen=True)
class Problem:
    """Sizes and what is added to plain attention.

    Attributes:
        label: What a row is called by.
        batch, heads, groups, queries, keys, width: Sizes; ``groups`` are heads of key and value.
        dtype: Of all tensors.
        has_backward: Forward alone, or with the gradients of everything.
        is_causal: Query i sees keys up to i.
        window, document: Keys that a query sees at most; length of packed documents.
        softcap: Bound of the scores.
        dropout_p: Timed with it and compared without: every library draws other weights.
        extra: ``alibi``, ``sinks``, ``bool mask``, ``float mask`` or nothing.
    """

    label: str
    batch: int
    heads: int
    groups: int
    queries: int
    keys: int
    width: int
    dtype: torch.dtype = torch.float32
    has_backward: bool = False
    is_causal: bool = False
    window: int | None = None
    document: int | None = None
    softcap: float | None = None
    dropout_p: float = 0.0
    extra: str = ""

    @property
    def name(self) -> str:
        groups = "" if self.groups == self.heads else f"/{self.groups}"
        length = f"N{self.queries}" if self.queries == self.keys else f"{self.queries}x{self.keys}"
        dtype = str(self.dtype).removeprefix("torch.")
        passes = "forward+backward" if self.has_backward else "forward"
        sizes = f"B{self.batch} H{self.heads}{groups} {length} D{self.width}"
        return " ".join(filter(None, ("attention", self.label, sizes, dtype, passes)))

    @property
    def scores_bytes(self) -> int:
        """Of all scores, which the formula writes down."""
        return self.batch * self.heads * self.queries * self.keys * self.dtype.itemsize

    @property
    def memory(self) -> int:
        """Bytes that all contenders take, roughly."""
        positions = self.queries * self.keys
        formula = 6 * self.scores_bytes if self.scores_bytes <= LARGEST_SCORES else 0
        tensors = 40 * self.batch * self.heads * max(self.queries, self.keys) * self.width
        return int(formula + 24 * positions + tensors * self.dtype.itemsize + 3e8)


@dataclass
class Inputs:
    """The tensors of a problem.

    Attributes:
        q, k, v, grad: ``(batch, heads or groups, queries or keys, width)``.
        mask: bool ``(queries, keys)``, True where a key is seen, or None for everywhere.
        bias: Added to the scores, ``(heads, queries, keys)`` or ``(1, heads, queries, keys)``.
        sinks: ``(heads,)``.
        ours: What ``dlplug.ops.attention`` takes besides q, k and v.
    """

    problem: Problem
    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor
    mask: Tensor | None = None
    bias: Tensor | None = None
    sinks: Tensor | None = None
    ours: dict[str, Any] = field(default_factory=dict)

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken of."""
        extra = [self.sinks] if self.sinks is not None else []
        extra += [self.bias] if self.problem.extra == "float mask" else []
        return [self.q, self.k, self.v, *extra]

    @cached_property
    def num_pairs(self) -> int:
        """Queries and keys that meet, in all heads."""
        problem = self.problem
        seen = problem.queries * problem.keys if self.mask is None else int(self.mask.sum())
        return problem.batch * problem.heads * seen


def inputs(problem: Problem) -> Inputs:
    """The tensors, the same at each call."""
    torch.manual_seed(0)
    p = problem
    shapes = [(p.heads, p.queries), (p.groups, p.keys), (p.groups, p.keys), (p.heads, p.queries)]
    tensors = [torch.randn(p.batch, *shape, p.width).to(p.dtype) for shape in shapes]
    if p.softcap:  # else tanh(x / softcap) is x within the tolerance
        tensors[0] *= 10
    made = Inputs(problem, *tensors, mask=_mask(p))
    made.ours = {"is_causal": p.is_causal, "enable_gqa": p.groups != p.heads}
    given = {"window": p.window, "softcap": p.softcap, "dropout_p": p.dropout_p or None}
    made.ours |= {name: value for name, value in given.items() if value is not None}
    if p.document:
        made.ours["cu_seqlens"] = torch.arange(0, p.keys + 1, p.document, dtype=torch.int32)
    if p.extra == "alibi":
        slopes = torch.logspace(-1, -8, p.heads, base=2)
        distance = (torch.arange(p.queries)[:, None] - torch.arange(p.keys)).abs()
        made.bias, made.ours["alibi_slopes"] = -slopes[:, None, None] * distance, slopes
    elif p.extra == "sinks":
        made.sinks = made.ours["sinks"] = torch.randn(p.heads).to(p.dtype)
    elif p.extra == "float mask":
        made.bias = torch.randn(1, p.heads, p.queries, p.keys).to(p.dtype)
        made.ours["attn_mask"] = made.bias
    elif p.extra == "bool mask":
        made.ours["attn_mask"] = made.mask
    for leaf in made.leaves if p.has_backward else []:
        leaf.requires_grad_()
    return made


def _mask(p: Problem) -> Tensor | None:
    if p.extra == "bool mask":
        return (torch.rand(p.queries, p.keys) < 0.7) | torch.eye(p.queries, p.keys).bool()
    if not p.is_causal:
        return None
    i, j = torch.arange(p.queries)[:, None], torch.arange(p.keys)
    seen = i >= j
    if p.window:
        seen &= i - j < p.window
    if p.document:
        seen &= i // p.document == j // p.document
    return seen


def formula(q, k, v, mask=None, bias=None, sinks=None, softcap=None, dropout_p=0.0) -> Tensor:
    """Attention as the papers write it, in the dtype of its arguments.

    Args:
        q, k, v: ``(..., heads or groups, queries or keys, width)``.
        mask, bias, sinks: As in `Inputs`, of ``q``'s heads and queries.
        softcap, dropout_p: As in `Problem`.
    """
    if k.shape[-3] != q.shape[-3]:
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if sinks is not None:
        column = sinks[:, None, None].expand(*scores.shape[:-1], 1)
        weights = torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
    else:
        weights = torch.softmax(scores, -1)
    return torch.nn.functional.dropout(weights, dropout_p) @ v if dropout_p else weights @ v


def compared(inputs: Inputs, outputs: list[Tensor]) -> list[Tensor]:
    """Of outputs or gradients what `reference` holds: the first batch and its first key head."""
    p = inputs.problem
    heads = p.heads // p.groups
    if not p.has_backward:
        return [outputs[0][0, :heads].detach()]
    dq, dk, dv, *others = outputs
    parts = [dq[0, :heads], dk[0, :1], dv[0, :1]]
    return parts + [t[0, :heads] if t.dim() == 4 else t[:heads] for t in others]


def reference(inputs: Inputs) -> list[Tensor]:
    """The output, or the gradients of the leaves, of the first batch and its first key head.

    Gradients of sinks and of a float mask are those of one batch, so such problems have one.
    """
    p = inputs.problem
    heads = p.heads // p.groups
    q, k, v = inputs.q[0, :heads], inputs.k[0, :1], inputs.v[0, :1]
    given = [t.detach().double().requires_grad_(p.has_backward) for t in (q, k, v)]
    q, k, v = given
    bias = None if inputs.bias is None else inputs.bias.reshape(p.heads, p.queries, p.keys)[:heads]
    if bias is not None:
        bias = bias.detach().double().requires_grad_(p.extra == "float mask" and p.has_backward)
    sinks = None
    if inputs.sinks is not None:
        sinks = inputs.sinks[:heads].detach().double().requires_grad_(p.has_backward)
    given += [t for t in (sinks, bias) if t is not None and t.requires_grad]
    sums, parts = [torch.zeros_like(t) for t in given], []
    for start in range(0, p.queries, CHUNK):
        part = slice(start, start + CHUNK)
        mask = None if inputs.mask is None else inputs.mask[part]
        extra = None if bias is None else bias[:, part]
        out = formula(q[:, part], k, v, mask, extra, sinks, p.softcap)
        if p.has_backward:
            grad = inputs.grad[0, :heads, part].double()
            for total, piece in zip(sums, torch.autograd.grad(out, given, grad), strict=True):
                total += piece
        else:
            parts.append(out)
    return sums if p.has_backward else [torch.cat(parts, 1)]
