"""The norm ops: forward, and forward + backward."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dlplug import ops
from dlplug.bench.accuracy import TOLERANCE
from dlplug.bench.allocator import DEFAULT, MIB, TUNED
from dlplug.bench.compiled import compiled
from dlplug.bench.device import CUDA, is_gpu
from dlplug.bench.limits import copy_stream
from dlplug.bench.norm_peers import PEERS
from dlplug.bench.row import Contender, Peer, Row, Work

LARGE = (65536, 1024)
SHAPES = [(12608, 192), (4096, 768), LARGE]
SMALL = [(256, 192), (32, 192)]  # where a call costs more than its work
WIDTHS_ON_GPU = [768, 1024, 2048, 4096, 8192, 16384, 32768]
ELEMENTS_ON_GPU = 1 << 26  # 128 MiB in 16 bits: more than a GPU's cache
MIDDLE = (ELEMENTS_ON_GPU // 4096, 4096)
DTYPES = [torch.float32, torch.bfloat16]
CHUNK = 4096  # rows that are computed at once in float64, and of which the outputs are compared
PASSES = ("forward", "forward+backward")
# Tensors of x's size that are read or written at least: forward, forward + backward.
STREAMS = {"layer_norm": (2, 5), "rms_norm": (2, 5), "add_layer_norm": (4, 8),
           "add_rms_norm": (4, 8)}  # fmt: skip
EPS = {"layer_norm": 1e-5, "rms_norm": 1e-6}


@dataclass(frozen=True)
class Problem:
    """One row.

    Attributes:
        op: A key of `STREAMS`.
        shape: Rows and their width.
        dtype: Of all tensors.
        has_backward: Forward alone, or with the gradients of everything.
        dropout_p: Of the residual ops. It is timed with it and compared without: every library
            draws another mask.
    """

    op: str
    shape: tuple[int, int]
    dtype: torch.dtype = torch.float32
    has_backward: bool = False
    dropout_p: float = 0.0

    @property
    def name(self) -> str:
        op = f"dropout+{self.op}" if self.dropout_p else self.op
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{op} {self.shape[0]}x{self.shape[1]} {dtype} {PASSES[self.has_backward]}"

    @property
    def num_bytes(self) -> int:
        """Of x."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def rows(device: str) -> Iterator[Row]:
    """Every row of this file for ``device``."""
    for problem in problems_on_gpu() if device == CUDA else problems():
        is_large = problem.num_bytes > 32 * MIB
        yield Row(
            problem.name,
            lambda problem=problem: build(problem),
            memory=16 * problem.num_bytes + 12 * CHUNK * problem.shape[1] * 8,
            is_quick=problem.shape in [(12608, 192), (256, 192), MIDDLE]
            and problem.dtype is (torch.bfloat16 if device == CUDA else torch.float32)
            and ("rms" not in problem.op or device == CUDA),
            allocators=(TUNED, DEFAULT) if is_large else (TUNED,),
        )


def problems() -> Iterator[Problem]:
    """What is compared."""
    for op in ("layer_norm", "add_layer_norm"):
        for dtype in DTYPES:
            for shape in [*SHAPES, *SMALL]:
                for has_backward in (False, True):
                    yield Problem(op, shape, dtype, has_backward)
    for op in ("rms_norm", "add_rms_norm"):
        for dtype in DTYPES:
            yield Problem(op, (4096, 768), dtype, has_backward=True)
    for op in ("add_layer_norm", "add_rms_norm"):
        yield Problem(op, (4096, 768), has_backward=True, dropout_p=0.1)


def problems_on_gpu() -> Iterator[Problem]:
    """What is compared there: language models' widths, and dtypes and dropout at one of them."""
    for op in STREAMS:
        for has_backward in (False, True):
            for width in WIDTHS_ON_GPU:
                shape = (ELEMENTS_ON_GPU // width, width)
                yield Problem(op, shape, torch.bfloat16, has_backward)
            for dtype in (torch.float32, torch.float16):
                yield Problem(op, MIDDLE, dtype, has_backward)
    for op in ("add_layer_norm", "add_rms_norm"):
        for has_backward in (False, True):
            yield Problem(op, MIDDLE, torch.bfloat16, has_backward, dropout_p=0.1)


def build(problem: Problem) -> Work:
    """The tensors and the contenders."""
    inputs, grad = _tensors(problem)
    ours = getattr(ops, problem.op)
    keywords = {"dropout_p": problem.dropout_p} if problem.dropout_p else {}
    explanation = ops.explain(ours, *inputs, **keywords)
    peers = {"torch": Peer(lambda: _contender(problem, inputs, grad, by_torch(problem)))}
    if not problem.dropout_p:
        peers["torch.compile"] = Peer(
            lambda: _contender(problem, inputs, grad, lambda p: compiled(by_torch(problem)(p))),
            is_compiled=True,
        )
        if is_gpu():
            peers |= {name: _peer(problem, inputs, grad, norm) for name, norm in PEERS.items()}
    return Work(
        ours=_contender(
            problem,
            inputs,
            grad,
            lambda p: lambda *tensors: ours(*tensors, **({"dropout_p": p} if p else {})),
        ),
        peers=peers,
        reference=lambda: _reference(problem, inputs, grad),
        tolerance=TOLERANCE[problem.dtype],
        backend=explanation.backend,
        limit=copy_stream(problem.num_bytes, STREAMS[problem.op][problem.has_backward]),
    )


def _peer(problem: Problem, inputs, grad, norm: Callable) -> Peer:
    """Another library's; they compile their kernels when these are first called."""
    plain = problem.op.removeprefix("add_")
    return Peer(
        lambda: _contender(
            problem,
            inputs,
            grad,
            lambda _: norm(problem.op, problem.dtype, problem.has_backward, EPS[plain]),
        ),
        is_compiled=True,
    )


def by_torch(problem: Problem):
    """What PyTorch's users write, as a function of the dropout's probability."""
    width = problem.shape[1:]
    plain = problem.op.removeprefix("add_")

    def norm(x, weight, bias=None):
        if plain == "rms_norm":
            return F.rms_norm(x, width, weight, EPS[plain])
        return F.layer_norm(x, width, weight, bias, EPS[plain])

    def with_dropout(p):
        def separate(x, residual, *weights):
            h = (F.dropout(x, p) if p else x) + residual
            return norm(h, *weights), h

        return separate if problem.op.startswith("add_") else norm

    return with_dropout


def _tensors(problem: Problem) -> tuple[list[Tensor], Tensor]:
    """x, residual, weight, bias, as the op takes them, and the gradient of its outputs."""
    torch.manual_seed(0)
    count = 1 + problem.op.startswith("add_")
    x = [torch.randn(problem.shape, dtype=problem.dtype) for _ in range(count)]
    weights = [torch.randn(problem.shape[1]).to(problem.dtype) for _ in range(2)]
    inputs = x + (weights if "layer" in problem.op else weights[:1])
    grad = torch.randn(problem.shape, dtype=problem.dtype)
    return [tensor.requires_grad_(problem.has_backward) for tensor in inputs], grad


def _contender(problem: Problem, inputs, grad, function_with) -> Contender:
    def step(function):
        found = function(*inputs)
        outputs = found if isinstance(found, tuple) else (found,)
        if not problem.has_backward:
            return outputs
        return torch.autograd.grad(outputs, inputs, [grad] * len(outputs))

    run = function_with(problem.dropout_p)
    exact = function_with(0.0) if problem.dropout_p else run
    return Contender(
        run=lambda: step(run),
        outputs=lambda: [t[:CHUNK] if t.dim() == 2 else t for t in step(exact)],
    )


def _reference(problem: Problem, inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    """In float64; the gradients of weights are sums over all rows, the others are of the first."""
    function = by_torch(problem)(0.0)
    sums = None
    for start in range(0, problem.shape[0], CHUNK):
        part = slice(start, start + CHUNK)
        leaves = [
            (t[part] if t.dim() == 2 else t).detach().double().requires_grad_() for t in inputs
        ]
        found = function(*leaves)
        outputs = found if isinstance(found, tuple) else (found,)
        if not problem.has_backward:
            return [output.detach() for output in outputs]
        grads = torch.autograd.grad(outputs, leaves, [grad[part].double()] * len(outputs))
        if sums is None:
            sums = list(grads)
        else:
            sums = [s + g if s.dim() == 1 else s for s, g in zip(sums, grads, strict=True)]
    return sums
