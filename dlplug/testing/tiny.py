"""Small values for what a stranger's constructor wants and the data does not know."""

from typing import Any

from dlplug.config.parameters import Parameter
from dlplug.config.types import members
from dlplug.testing.rule import Broken

DEPTH, WIDTH, HEADS = 2, 16, 2
# The names that libraries use, with the value that keeps a network small and its sizes divisible.
BY_NAME: dict[str, Any] = {
    **dict.fromkeys(("depth", "num_layers", "n_layers", "layers"), DEPTH),
    **dict.fromkeys(("n_blocks", "num_blocks", "blocks", "num_stages"), DEPTH),
    **dict.fromkeys(("dim", "d_model", "width", "hidden", "hidden_size", "hidden_dim"), WIDTH),
    **dict.fromkeys(("embed_dim", "d_hidden", "d_block", "d_token", "num_channels"), WIDTH),
    **dict.fromkeys(("heads", "num_heads", "n_heads", "nhead", "groups"), HEADS),
    **dict.fromkeys(("patch_size", "window_size"), 4),
    "kernel_size": 3,
}
# Of a default, only what decides how long a check takes.
CUT = ("depth", "num_layers", "n_layers", "n_blocks", "num_blocks")
BY_TYPE: dict[type, Any] = {bool: False, int: 4, float: 0.1}


def tiny_arguments(parameters: list[Parameter], given: dict[str, Any]) -> dict[str, Any]:
    """Values for the required parameters, and a depth of two where the default is deeper.

    Args:
        parameters: Those that the data does not decide.
        given: What the author's example says; stays as it is.
    Raises:
        Broken: a required parameter is neither of a known name nor a number.
    """
    chosen = dict(given)
    for parameter in parameters:
        if parameter.name in given:
            continue
        if parameter.is_required:
            chosen[parameter.name] = _value(parameter)
        elif parameter.name in CUT and type(parameter.default) is int:
            chosen[parameter.name] = min(DEPTH, parameter.default)
    return chosen


def _value(parameter: Parameter) -> Any:
    if parameter.name in BY_NAME:
        return BY_NAME[parameter.name]
    for kind in members(parameter.hint):
        if kind in BY_TYPE:
            return BY_TYPE[kind]
    raise Broken(f"nothing small is known for its parameter {parameter}; the examples give none")
