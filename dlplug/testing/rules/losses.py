"""A loss is one finite number with a finite gradient."""

import torch
from torch import Tensor

from dlplug.testing.rule import Broken, rule
from dlplug.testing.rules.architectures import check_finite
from dlplug.testing.subject import Subject

ONLY = ("losses",)


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="loss(output, target) is one finite number",
    fix="reduce it, by mean() as a rule; take logarithms of nothing that can be 0",
)
def is_one_finite_number(subject: Subject) -> None:
    value = subject.build()(*subject.compared())
    if not isinstance(value, Tensor) or value.ndim:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise Broken(f"it gives {shape}")
    check_finite("it", value)


@rule(
    kinds=ONLY,
    proves="its gradient reaches the output, and is finite and not all 0",
    fix="compute it from the output by differentiable operations: argmax and rounding are none",
)
def has_a_gradient(subject: Subject) -> None:
    output, target = subject.compared()
    output.requires_grad_()
    value = subject.build()(output, target)
    if not value.requires_grad:
        raise Broken("it does not depend on the output in a way that PyTorch can follow")
    (gradient,) = torch.autograd.grad(value, output)
    check_finite("its gradient", gradient)
    if not gradient.any():
        raise Broken("its gradient is 0 everywhere")


@rule(
    kinds=ONLY,
    proves="it takes outputs in bfloat16, as mixed precision gives them",
    fix="raise the output first: output = output.float()",
)
def takes_bfloat16(subject: Subject) -> None:
    output, target = subject.compared()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = subject.build()(output.bfloat16(), target)
    check_finite("it", value)


@rule(
    kinds=ONLY,
    proves="torch.compile traces it, with the same value",
    fix="avoid Python side effects and branches on the values of tensors",
)
def compiles_as_a_loss(subject: Subject) -> None:
    loss, pair = subject.build(), subject.compared()
    torch.compiler.reset()
    found, expected = torch.compile(loss, backend="eager")(*pair), loss(*pair)
    if not torch.allclose(found, expected):
        raise Broken(f"compiled, it gives {float(found)}, not {float(expected)}")
