"""The same seed gives the same result."""

from typing import Any

import torch

from dlplug.config.data_module import seeded
from dlplug.tasks.checks import call, tensors
from dlplug.testing.rule import Broken, rule
from dlplug.testing.rules.architectures import outputs
from dlplug.testing.rules.transforms import transformed
from dlplug.testing.subject import Subject

SEED = 7


@rule(
    kinds=("architectures", "losses", "transforms"),
    proves="with the same seed it gives the same bits",
    fix="draw random numbers from the generators of torch, numpy or random that the seed sets; not"
    " from the time, os.urandom, hash() of a text, or the order of a set",
)
def repeats_itself(subject: Subject) -> None:
    results = []
    for _ in range(2):
        with seeded(SEED):
            results.append(list(_result(subject)))
    if not same(*results):
        raise Broken("two builds and calls with one seed differ")


@rule(
    kinds=("datamodules",),
    proves="with the same seed another object gives the same first batch",
    fix="divide and shuffle by generators with a seed of their own, or by the global ones",
)
def repeats_its_batches(subject: Subject) -> None:
    other = anew(subject)
    batches = [list(tensors(one.data_batch)) for one in (subject, other)]
    if not same(*batches):
        raise Broken("two data modules made with one seed differ in the first batch")


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    """Whether two results are equal, tensor by tensor.

    Raises:
        Broken: there is nothing to compare.
    """
    if not first and not second:
        raise Broken("it gives no tensor")
    return len(first) == len(second) and all(map(torch.equal, first, second))


def anew(subject: Subject) -> Subject:
    """The same component and example, nothing made yet."""
    return Subject(subject.component, subject.registry, subject.example, subject.folder)


def _result(subject: Subject) -> Any:
    if subject.kind == "architectures":
        return outputs(call(subject.build(), subject.batch()))
    if subject.kind == "losses":
        return [subject.build()(*subject.compared())]
    return tensors(transformed(subject))
