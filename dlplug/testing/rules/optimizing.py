"""Optimizers move every weight; schedulers give rates that can be used."""

import copy
import math

import torch
from torch import nn

from dlplug.testing.rule import Broken, rule
from dlplug.testing.steps import STEPS, optimizer_of, scheduler_of, step
from dlplug.testing.subject import Subject


@rule(
    kinds=("optimizers",),
    is_gate=True,
    proves="after a few steps every weight with a gradient has moved, and is finite",
    fix="update every parameter of every group that has a gradient",
)
def moves_every_weight(subject: Subject) -> None:
    model = nn.Linear(3, 2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = optimizer_of(subject, model)
    for _ in range(STEPS):
        step(model, optimizer)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise Broken(f"{name} is no longer finite")
        if torch.equal(parameter, before[name]):
            raise Broken(f"{name} has not moved in {STEPS} steps")


@rule(
    kinds=("optimizers",),
    proves="saved and loaded between two steps, it goes on with the same bits",
    fix="keep all that counts in self.state, by parameter, as tensors and numbers",
)
def goes_on_after_a_checkpoint(subject: Subject) -> None:
    models = []
    for is_interrupted in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optimizer_of(subject, model)
        step(model, optimizer)
        if is_interrupted:
            saved = copy.deepcopy(optimizer.state_dict())  # as a file: nothing is shared with it
            optimizer = optimizer_of(subject, model)
            optimizer.load_state_dict(saved)
        step(model, optimizer)
        models.append(model)
    for (name, whole), parts in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        if not torch.equal(whole, parts):
            raise Broken(f"loading its state_dict changes the next step of {name}")


@rule(
    kinds=("schedulers",),
    is_gate=True,
    proves="every rate of a short training is finite and not below 0, and one is above 0",
    fix="keep the rate within [0, inf) at every step from 0 to total_steps",
)
def gives_usable_rates(subject: Subject) -> None:
    rates = _rates(subject, interrupt_at=None)
    if bad := [rate for rate in rates if not math.isfinite(rate) or rate < 0]:
        raise Broken(f"a rate is {bad[0]}")
    if not any(rates):
        raise Broken("every rate is 0")


@rule(
    kinds=("schedulers",),
    proves="saved and loaded in the middle, it goes on with the same rates",
    fix="derive from LRScheduler, and keep all that counts in plain attributes",
)
def goes_on_with_its_rates(subject: Subject) -> None:
    whole, parts = _rates(subject, None), _rates(subject, STEPS // 2)
    if whole != parts:
        raise Broken(f"the rates {whole} became {parts}")


def _rates(subject: Subject, interrupt_at: int | None) -> list[float]:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = scheduler_of(subject, optimizer)
    rates = []
    for number in range(STEPS):
        if number == interrupt_at:
            saved = copy.deepcopy((scheduler.state_dict(), optimizer.state_dict()))
            scheduler = scheduler_of(subject, optimizer)
            scheduler.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        rates.append(optimizer.param_groups[0]["lr"])
        step(model, optimizer)
        step_scheduler(scheduler)
    return rates


def step_scheduler(scheduler) -> None:
    """One step; of one that watches a metric, with a value that does not improve."""
    is_watching = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    scheduler.step(*([1.0] if is_watching else []))
