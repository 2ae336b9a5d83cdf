"""The learning rates that a scheduler gives, in one go and resumed."""

import copy

import torch


def sgd(lr=2.0, **arguments):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, **arguments)


def advance(optimizer, scheduler, count):
    seen = []
    for _ in range(count):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def rates(schedule, count, make=sgd, **arguments):
    """The learning rate that each step uses."""
    optimizer = make()
    return advance(optimizer, schedule(optimizer, **arguments), count)


def resumed_rates(schedule, count, at, make=sgd, before=None, **arguments):
    """The same, saved and loaded before step ``at``; ``before`` overrides the first part's."""
    first = make()
    scheduler = schedule(first, **(arguments | (before or {})))
    seen = advance(first, scheduler, at)
    states = copy.deepcopy((first.state_dict(), scheduler.state_dict()))
    second = make()
    scheduler = schedule(second, **arguments)
    second.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    return seen + advance(second, scheduler, count - at)
