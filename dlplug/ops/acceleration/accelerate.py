"""dlplug's ops in a model that was written without them."""

from collections.abc import Iterable

import torch

from dlplug.errors import OpError
from dlplug.ops.acceleration.recipes import recipe_for
from dlplug.ops.acceleration.report import Decision, Report
from dlplug.ops.acceleration.selection import globs_of, selected
from dlplug.ops.acceleration.swap import is_swapped, swap


def accelerate(
    model: torch.nn.Module,
    *,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] = (),
) -> Report:
    """Let a model's norms, residual additions and attention run dlplug's fused ops, in place.

    Only what is proven to compute the same is swapped, whatever its inputs: ``torch.nn``'s
    ``LayerNorm``, ``RMSNorm``, ``MultiheadAttention`` and transformer layers; modules whose own
    code calls PyTorch's fused functions, such as timm's. Parameters, ``state_dict``, ties, hooks,
    mode, copies and pickles stay what they were: a module merely gets a subclass of its class.
    Calls that an op does not take (weights asked for, dropout of them, nested tensors) run the
    module's own forward pass.

    Args:
        model: Any module. Accelerate before ``fully_shard`` and ``DistributedDataParallel``,
            before or after ``compile``, not what ``torch.jit.script`` is to read; a call within
            ``torch.jit.trace`` records PyTorch's own ops.
        include: Globs over the names in ``model.named_modules()``; a glob means what it matches
            and everything below. None for all.
        exclude: Globs of modules that stay as they are.
    Returns:
        What was done with each module and why; ``report.undo()`` takes it back. A second call
            finds nothing left to do, and reports the same.
    Raises:
        OpError: ``model`` is no module, or a glob matches nothing.
    Numerics: As the ops': errors against float64 at most twice PyTorch's.
    """
    if not isinstance(model, torch.nn.Module):
        raise OpError(
            f"accelerate takes a torch.nn.Module, got a {type(model).__name__}",
            fix="give it the model, not its outputs or parameters",
        )
    globs = globs_of(include, "include"), globs_of(exclude, "exclude") or ()
    chosen = selected(model, *globs)
    decisions, to_swap = [], []
    for name, (module, is_meant) in chosen.items():
        recipe = recipe_for(module)
        kind = type(module).__name__
        if recipe.fused is None:
            decisions.append(Decision(name, kind, (), recipe.reason, recipe.concerns))
        elif not is_meant and not is_swapped(module):
            decisions.append(Decision(name, kind, (), "include and exclude leave it out"))
        else:
            to_swap.append((len(decisions), module, recipe))
            decisions.append(Decision(name, kind))
    for index, module, recipe in reversed(to_swap):  # what is below comes first
        named = decisions[index]
        if not is_swapped(module):
            if useless := recipe.fused.why_useless(module):
                decisions[index] = Decision(named.name, named.kind, (), useless)
                continue
            swap(module, recipe.fused)
        decisions[index] = Decision(named.name, named.kind, type(module).ops, recipe.reason)
    return Report(decisions, {name: module for name, (module, _) in chosen.items()})
