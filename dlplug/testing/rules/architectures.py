"""An architecture gives finite outputs and gradients, compiles, exports and runs in bfloat16."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dlplug.tasks.checks import call, describe
from dlplug.tasks.output_checks import fix_for_output
from dlplug.tasks.slips import MADE_EARLY
from dlplug.tasks.unregistered_parameters import require_registered_parameters
from dlplug.testing.rule import Broken, rule
from dlplug.testing.subject import Subject

ONLY = ("architectures",)


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="its output for a small random batch is finite, one row for each record",
    fix="divide and take logarithms and roots of nothing that can be 0; keep the batch's axis"
    " first; say the form of its inputs in dlplug_examples.yaml if the kit's is another",
)
def gives_finite_outputs(subject: Subject) -> None:
    inputs = subject.batch()
    for output in outputs(call(subject.build(), inputs)):
        check_finite("the output", output)
        if len(output) != records(inputs):
            raise Broken(f"{records(inputs)} records give an output {tuple(output.shape)}")


@rule(
    kinds=ONLY,
    proves="the gradient of its output reaches every parameter, and is finite",
    fix="use the parameter in forward, or delete it; detach() and .data cut the gradient",
)
def trains_every_parameter(subject: Subject) -> None:
    model = subject.build()
    total = sum(weighted(output) for output in outputs(call(model, subject.batch())))
    require_registered_parameters(total, model)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise Broken("it has no parameters", MADE_EARLY)
    if not total.requires_grad:
        raise Broken("its output depends on no parameter in a way that PyTorch can follow")
    total.backward()
    if lost := [name for name, p in trained if p.grad is None]:
        raise Broken(f"no gradient reaches {', '.join(lost)}")
    for name, parameter in trained:
        check_finite(f"the gradient of {name}", parameter.grad)


@rule(
    kinds=ONLY,
    proves="torch.compile traces it as one graph or several, with the same output",
    fix="python -m dlplug profile; avoid Python side effects in forward",
)
def compiles(subject: Subject) -> None:
    model, inputs = subject.build().eval(), subject.batch()
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    with torch.no_grad():
        compare("compiled", call(compiled, inputs), call(model, inputs))


@rule(
    kinds=ONLY,
    proves="torch.export writes it as a graph, with the same output",
    fix="let no shape or branch in forward depend on the values of tensors",
)
def exports(subject: Subject) -> None:
    model, inputs = subject.build().eval(), subject.batch()
    named = inputs if isinstance(inputs, Mapping) else None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, about PyTorch's own code
        arguments = () if named else (inputs,)
        program = torch.export.export(model, arguments, dict(named) if named else None)
        compare("exported", call(program.module(), inputs), call(model, inputs))


@rule(
    kinds=ONLY,
    proves="it runs forward and backward under autocast to bfloat16, with finite results",
    fix="make new tensors in the dtype of those beside them: torch.zeros_like(x), x.new_zeros(...)",
)
def runs_in_bfloat16(subject: Subject) -> None:
    model = subject.build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = outputs(call(model, subject.batch()))
        total = sum(weighted(output) for output in found)
    if total.requires_grad:  # what has no gradient is told by the rule for that
        total.backward()
    for output in found:
        check_finite("the output", output)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            check_finite(f"the gradient of {name}", parameter.grad)


def outputs(value: Any) -> list[Tensor]:
    """The floating-point tensors of what an architecture returns.

    Raises:
        Broken: there are none.
    """
    if fix := fix_for_output(value):
        raise Broken(f"forward returns {describe(value)}", fix)
    parts = value.values() if isinstance(value, Mapping) else value
    parts = [value] if isinstance(value, Tensor) else list(parts)
    found = [part for part in parts if isinstance(part, Tensor) and part.is_floating_point()]
    if not found:
        raise Broken(f"forward returns {type(value).__name__} without a floating-point tensor")
    return found


def records(inputs: Any) -> int:
    """The batch's length."""
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)


def weighted(output: Tensor) -> Tensor:
    """A scalar whose gradient differs from output to output, so that no softmax cancels it."""
    return (output.float() * torch.linspace(0.5, 1.5, output.numel()).view_as(output)).sum()


def check_finite(what: str, tensor: Tensor) -> None:
    """Raise Broken if there is a NaN or an infinity."""
    if not tensor.isfinite().all():
        raise Broken(f"{what} is not finite")


def compare(how: str, found: Any, expected: Any) -> None:
    """Raise Broken if what another form of a model gives is not what the model gives.

    A tenth of a percent: another order of sums is no fault.
    """
    for one, other in zip(outputs(found), outputs(expected), strict=True):
        if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
            gap = (one - other).abs().max() if one.shape == other.shape else tuple(one.shape)
            raise Broken(f"{how}, it gives another output: {gap}")
