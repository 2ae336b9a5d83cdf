"""The order in which callbacks run: explicit, never by luck of loading."""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from numbers import Real

from dlplug.config.bound import Bound
from dlplug.errors import ConfigError, PluginError


def in_run_order(callbacks: Sequence[Bound]) -> list[Bound]:
    """Callbacks in the order in which Lightning calls them.

    A callback class may say ``order`` (a number, smaller runs earlier, 0 if it is silent),
    ``before`` and ``after`` (names of callbacks, which matter if those are there). Everything
    else keeps the config's order.

    Raises:
        ConfigError: The wishes contradict each other.
        PluginError: ``order`` is no number, or ``before`` or ``after`` neither a name nor a list or
            tuple of names.
    """
    indices = range(len(callbacks))
    later: dict[int, set[int]] = {index: set() for index in indices}
    for index in indices:
        for other in indices:
            if callbacks[other].name in _names(callbacks[index], "before"):
                later[index].add(other)
            if callbacks[other].name in _names(callbacks[index], "after"):
                later[other].add(index)
    waits_for = {index: sum(index in others for others in later.values()) for index in indices}
    ready = [_rank(callbacks, index) for index in indices if not waits_for[index]]
    heapify(ready)
    ordered = []
    while ready:
        index = heappop(ready)[1]
        ordered.append(callbacks[index])
        for other in later[index]:
            waits_for[other] -= 1
            if not waits_for[other]:
                heappush(ready, _rank(callbacks, other))
    if len(ordered) < len(callbacks):
        stuck = [bound for bound in callbacks if bound not in ordered]
        names = ", ".join(bound.name for bound in stuck)
        raise ConfigError(
            f"the callbacks {names} each want to run before the other",
            where=stuck[0].where,
            known="; ".join(_wishes(stuck)),
            fix="leave one of them out",
        )
    return ordered


def order_note(callbacks: Sequence[Bound]) -> str:
    """Says beside the config why its callbacks stand as they do.

    Args:
        callbacks: In their order.
    Returns:
        ``run in this order; ema: order 10; swa: after ema``.
    """
    return "; ".join(["run in this order", *_wishes(callbacks)])


def _wishes(callbacks: Iterable[Bound]) -> list[str]:
    """What each class says, such as ``swa: after ema``; nothing for those that are silent."""
    wishes = []
    for bound in callbacks:
        order = _order(bound)
        said = [f"order {order}"] if order else []
        for word in ("before", "after"):
            said += [f"{word} {', '.join(names)}"] if (names := _names(bound, word)) else []
        wishes += [f"{bound.name}: {', '.join(said)}"] if said else []
    return list(dict.fromkeys(wishes))


def _rank(callbacks: Sequence[Bound], index: int) -> tuple[Real, int]:
    return _order(callbacks[index]), index


def _order(bound: Bound) -> Real:
    order = getattr(bound.target, "order", 0)
    if not isinstance(order, Real) or order != order:
        raise _refusal(bound, "order", order, "a number")
    return order


def _names(bound: Bound, word: str) -> tuple[str, ...]:
    names = getattr(bound.target, word, ())
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise _refusal(bound, word, names, "a name, or a list or tuple of names")
    return tuple(names)


def _refusal(bound: Bound, word: str, value: object, known: str) -> PluginError:
    return PluginError(
        f"{bound.label} of {bound.component.provider} has {word} = {value!r}",
        where=bound.where,
        known=known,
        fix=f"tell the authors of {bound.component.distribution}",
    )
