"""``python -m tests.bench.training``: a training with dlplug's ops and with PyTorch's own.

One training of a config takes steps with either, in phases in random order; the ratio compares the
time per step of phases of the same round. Model, data, loss and callbacks are the same.
``--record NAME`` keeps it in ``tests/bench/results``.
"""

import argparse
import inspect
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

from dlplug import ops
from dlplug.optim import FusedAdamW
from tests.bench.page import write_record
from tests.bench.phases import Phases
from tests.bench.record import read_record
from tests.bench.training_record import merge, name_of

CONFIGS = Path(__file__).parents[2] / "configs"
DLPLUG, TORCH = "dlplug", "torch"


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def rms_norm(x, weight=None, eps=1e-6):
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def add_layer_norm(x, residual, weight=None, bias=None, eps=1e-5, dropout_p=0.0):
    h = F.dropout(x, dropout_p) + residual
    return layer_norm(h, weight, bias, eps), h


def add_rms_norm(x, residual, weight=None, eps=1e-6, dropout_p=0.0):
    h = F.dropout(x, dropout_p) + residual
    return rms_norm(h, weight, eps), h


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
              enable_gqa=False, **extras):  # fmt: skip
    if any(extras.values()):
        raise NotImplementedError(f"PyTorch's attention has no argument for {extras}")
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


def step(optimizer, closure=None):
    """PyTorch's fastest step on the CPU, after its own clipping."""
    loss = None if closure is None else closure()
    params = [param for group in optimizer.param_groups for param in group["params"]]
    if optimizer.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(params, optimizer.max_grad_norm)
    for group in optimizer.param_groups:
        group["fused"] = True
    torch.optim.AdamW.step(optimizer)
    return loss


# What PyTorch's users write in the place of each op.
TORCH_OPS = {
    ops.layer_norm: layer_norm,
    ops.rms_norm: rms_norm,
    ops.add_layer_norm: add_layer_norm,
    ops.add_rms_norm: add_rms_norm,
    ops.attention: attention,
    ops.total_norm: torch.nn.utils.get_total_norm,
}


def torch_ops(optimizer: FusedAdamW) -> ExitStack:
    """PyTorch's ops under every name by which dlplug's modules know their own, until it ends."""
    stack = ExitStack()
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("dlplug.") or module_name.startswith("dlplug.ops"):
            continue
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in TORCH_OPS:
                stack.enter_context(mock.patch.object(module, name, TORCH_OPS[value]))
    # Of this very object: a scheduler has wrapped its step, and the class's is not called.
    stack.enter_context(mock.patch.object(optimizer, "step", partial(step, optimizer)))
    return stack


class Ops(Phases):
    """Steps with dlplug's ops and with PyTorch's."""

    def __init__(self, rounds: int, seconds: float):
        super().__init__([DLPLUG, TORCH], rounds, seconds)
        self.patches = ExitStack()

    def enter(self, trainer, pl_module) -> None:
        """Put PyTorch's in, in its phase."""
        if self.phase == TORCH:
            self.patches = torch_ops(trainer.optimizers[0])

    def leave(self, trainer, pl_module) -> None:
        """Put dlplug's back."""
        self.patches.close()
        for group in trainer.optimizers[0].param_groups:
            group["fused"] = None


def measure(path: Path, rounds: int, seconds: float) -> dict:
    """Train; one row of plain data: medians, and the ratio of each round."""
    phases = Ops(rounds, seconds)
    with tempfile.TemporaryDirectory() as folder:
        phases.train(path, folder)
    ratios = phases.ratios(TORCH, DLPLUG)
    return {
        "config": path.stem,
        "threads": torch.get_num_threads(),
        "ms": phases.medians(),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", default=["mnist_vit", "kjv_transformer"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a phase")
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads(), 1])
    parser.add_argument("--record", metavar="NAME", help="keep it in tests/bench/results")
    options = parser.parse_args(arguments)
    for name, threads in product(options.configs, options.threads):
        torch.set_num_threads(threads)
        row = measure(CONFIGS / f"{name}.yaml", options.rounds, options.seconds)
        print(json.dumps(row))
        if options.record:
            path = name_of(options.record)
            write_record(path, merge(read_record(path), [row]))


if __name__ == "__main__":
    main()
