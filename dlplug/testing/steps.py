"""Optimizers and schedulers as a run makes them, and a training step without a Trainer."""

import inspect
from typing import Any

import torch
from torch import nn

from dlplug.testing.subject import Subject

STEPS = 6
"""Of a short training."""


def optimizer_of(subject: Subject, model: nn.Module) -> torch.optim.Optimizer:
    """The subject's optimizer of a model's parameters."""
    return subject.build()(model.parameters())


def scheduler_of(subject: Subject, optimizer: torch.optim.Optimizer) -> Any:
    """The subject's scheduler; ``total_steps`` is given where it has such a parameter."""
    make, arguments = subject.build(), {}
    if "total_steps" in inspect.signature(subject.value).parameters:
        arguments["total_steps"] = STEPS
    return make(optimizer, **arguments)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step on a fixed batch; by a closure, as Lightning calls every optimizer."""
    x = torch.linspace(-1, 1, 12).view(4, 3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
