"""A config that names it builds it, and says the same when it is written and read again."""

import torch

from dlplug.config.document import parse
from dlplug.config.yaml_dialect import render
from dlplug.testing.rule import Broken, rule
from dlplug.testing.settling import settle_target
from dlplug.testing.subject import Subject


@rule(
    is_gate=True,
    proves="a config with its name alone, or with the example's arguments, builds it",
    fix="give its parameters defaults, or small values for them in dlplug_examples.yaml",
)
def builds(subject: Subject) -> None:
    settle_target(subject)
    subject.build()


@rule(
    proves="its arguments as the run's resolved config writes them build the same again",
    fix="let parameters be numbers, strings, lists and mappings of them, or components",
)
def survives_the_config(subject: Subject) -> None:
    first = subject.bound().resolved()
    text = render({"component": first})
    written = parse(text, "the resolved config").plain()["component"]
    second = subject.bind(written, subject.facts_given)
    if second.resolved() != first:
        raise Broken(f"{first} came back as {second.resolved()}")
    if subject.kind != "tasks":  # what a run passes to them is no part of the config
        subject.make(second)


@rule(
    kinds=("architectures",),
    proves="it can be built on the device 'meta', without memory, as sharded trainings do",
    fix="leave devices and values of tensors alone in the constructor: make buffers with"
    " torch.empty or torch.zeros and the like, without device= and .item()",
)
def builds_on_meta(subject: Subject) -> None:
    with torch.device("meta"):
        model = subject.build()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    if real := [name for name, tensor in tensors if tensor.device.type != "meta"]:
        raise Broken(f"not on meta: {', '.join(real)}")
