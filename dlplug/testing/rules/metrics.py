"""A metric measures, and forgets when it is told to."""

import torch
from torchmetrics import MetricCollection

from dlplug.testing.rule import Broken, rule
from dlplug.testing.subject import Subject

ONLY = ("metrics",)


@rule(
    kinds=ONLY,
    is_gate=True,
    proves="update and compute give numbers for a random batch",
    fix="say what it compares in dlplug_examples.yaml: 'target: numbers' or so",
)
def measures(subject: Subject) -> None:
    _value(subject, subject.build())


@rule(
    kinds=ONLY,
    proves="after reset the same batch gives the same value",
    fix="keep what is counted in states, self.add_state(...), and nowhere else",
)
def resets(subject: Subject) -> None:
    metric = subject.build()
    batch = subject.measured()
    first = _value(subject, metric, batch)
    metric.reset()
    second = _value(subject, metric, batch)
    if not torch.equal(first, second):
        raise Broken(f"{first.tolist()} became {second.tolist()}")


def _value(subject: Subject, metric, batch=None) -> torch.Tensor:
    output, target, besides = batch or subject.measured()
    # As a task does: what else it knows goes to the metrics that name it.
    collection = MetricCollection({"metric": metric})
    collection.update(output, target, **besides)
    values = list(collection.compute().values())
    if not all(isinstance(value, torch.Tensor) and value.isfinite().all() for value in values):
        raise Broken(f"it gives {values}")
    return torch.stack([value.double() for value in values])
