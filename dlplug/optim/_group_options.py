"""The options of one parameter group: none is accepted and ignored."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from dlplug.errors import InvalidValueError

# Options of the whole optimizer, which no group may set.
OF_WHOLE = ("max_grad_norm", "ema_decay")
# Of difflib's ratios: a name as alike as this is taken for an option misspelt. Others are the
# caller's own and those of schedulers (name, lr_scale, initial_lr), which a group keeps.
LIKENESS = 0.8


def numbers_of(group: Mapping[str, Any]) -> tuple[Any, ...]:
    """The numbers of a step as the kernels take them: lr, beta1, beta2, eps, weight decay."""
    return group["lr"], *group["betas"], group["eps"], group["weight_decay"]


def check_options(
    optimizer: str,
    group: Mapping[str, Any],
    index: int,
    options: Collection[str],
    of_whole: Collection[str] = OF_WHOLE,
) -> None:
    """Refuse names that are neither options of a group nor the caller's own.

    Args:
        optimizer: Its name, for the errors.
        group: As it is added.
        index: Its number.
        options: Those that a group may have.
        of_whole: Those that only the optimizer has.
    Raises:
        InvalidValueError: A group sets one of the optimizer's, or a name near to an option, or asks
            for the decay of Adam.
    """
    where = f"parameter group {index}"
    if not group.get("decoupled_weight_decay", True):
        raise InvalidValueError(
            f"optimizer {optimizer} has decoupled weight decay, and a group sets"
            f" decoupled_weight_decay = {group['decoupled_weight_decay']!r}",
            where=where,
            fix="leave it out, or take torch.optim.Adam, which adds the decay to the gradient",
        )
    for name in [name for name in group if name not in options]:
        if name in of_whole:
            if group[name] is None or group[name] is False:
                continue
            raise InvalidValueError(
                f"optimizer {optimizer} has one {name} for all groups, and a group sets"
                f" {name} = {group[name]!r}",
                where=where,
                known=", ".join(options),
                fix=f"give {name} to the optimizer",
            )
        near = get_close_matches(str(name), [*options, *of_whole], n=1, cutoff=LIKENESS)
        if near:
            raise InvalidValueError(
                f"optimizer {optimizer} has no option {name!r} of a group",
                where=where,
                known=", ".join(options),
                fix=f"did you mean {near[0]!r}?",
            )
