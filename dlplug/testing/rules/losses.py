"""A loss compares output and target, and is one finite number with a finite gradient."""

import inspect

import torch
from torch import Tensor, nn

from dlplug.tasks.checks import describe
from dlplug.tasks.loss_checks import fix_for_number
from dlplug.testing.answers import objection
from dlplug.testing.rule import Broken, rule
from dlplug.testing.rules.architectures import check_finite
from dlplug.testing.settling import TRIED, preferred_form, swapped_form
from dlplug.testing.subject import Subject

ONLY = ("losses",)
# What nobody calls the output of a network; compared in small letters, without underscores.
OF_TARGETS = {"target", "label", "ytrue", "true", "truth", "groundtruth", "gt", "actual"}


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="it takes the output first and the target second",
    fix="define forward(self, output, target), or a function of (output, target), in this order",
)
def takes_the_output_first(subject: Subject) -> None:
    loss = subject.build()
    forward = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        names = list(inspect.signature(forward).parameters)
    except ValueError:  # it tells none, as compiled code
        names = []
    first, *others = [*names, "", ""]
    if _is_target(first) and not _is_target(others[0]):
        raise Broken(f"its arguments are called {first} and {others[0]}, in this order")
    forms = [subject.example.target] if subject.example.target else TRIED
    if preferred_form(subject, forms):
        return
    if preferred_form(subject, forms, is_swapped=True) or swapped_form(subject, forms):
        raise Broken("it compares them only in the order (target, output)")


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="loss(output, target) is one finite number",
    fix="reduce it, by mean() as a rule; take logarithms of nothing that can be 0",
)
def is_one_finite_number(subject: Subject) -> None:
    value = subject.build()(*subject.compared())
    if fix := fix_for_number(value):
        is_row = isinstance(value, Tensor) and value.ndim
        raise Broken(f"it gives {describe(value)}", None if is_row else fix)
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
    proves="a right output costs less than a wrong one, whichever the target is",
    fix="mind the sign, and which argument is which: loss(output, target); say what the targets are"
    " in dlplug_examples.yaml, 'target: labels' or so; exempt it where outputs mean otherwise",
)
def prefers_right_outputs(subject: Subject) -> None:
    if reason := objection(subject.build(), subject.answers):
        raise Broken(reason)


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


def _is_target(name: str) -> bool:
    return name.replace("_", "").lower().removesuffix("s") in OF_TARGETS
