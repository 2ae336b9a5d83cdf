"""What accelerating a model did to each of its modules, and the way back."""

from collections import Counter
from dataclasses import dataclass, field

import torch

from dlplug.errors import OpError
from dlplug.ops.acceleration.swap import Swapped, is_swapped, restore

SHOWN_NAMES = 3


@dataclass(frozen=True)
class Decision:
    """What was done with one module.

    Attributes:
        name: In ``model.named_modules()``; empty for the model itself.
        kind: Name of its class.
        ops: The ops that it now calls; empty where it was left alone.
        reason: Why it was left alone, or a condition under which the ops are used.
        concerns: Whether it is a norm, an attention or a block, for which there are ops.
    """

    name: str
    kind: str
    ops: tuple[str, ...] = ()
    reason: str = ""
    concerns: bool = True

    @property
    def is_swapped(self) -> bool:
        return bool(self.ops)


@dataclass
class Report:
    """Decisions on all modules of a model, in the order of ``named_modules()``.

    ``str(report)`` tells of those that were swapped and of those that were left alone though they
    are norms, attentions or blocks.
    """

    decisions: list[Decision]
    modules: dict[str, torch.nn.Module] = field(repr=False)

    def __getitem__(self, name: str) -> Decision:
        """The decision on the module of that name."""
        return next(decision for decision in self.decisions if decision.name == name)

    @property
    def swapped(self) -> list[Decision]:
        return [decision for decision in self.decisions if decision.is_swapped]

    @property
    def left(self) -> list[Decision]:
        """Norms, attentions and blocks that were left alone."""
        return [d for d in self.decisions if d.concerns and not d.is_swapped]

    @property
    def counts(self) -> dict[str, int]:
        """Number of modules that call each op, by its name."""
        return dict(Counter(op for decision in self.decisions for op in decision.ops))

    def summary(self) -> str:
        """One line: ``24 layer_norm, 12 attention; 1 left alone (...)``."""
        done = ", ".join(f"{number} {op}" for op, number in self.counts.items())
        reasons = Counter(decision.reason for decision in self.left)
        if not reasons:
            return done or "nothing to swap"
        reason, number = reasons.most_common(1)[0]
        more = "" if len(reasons) == 1 else f"; {len(reasons) - 1} other reasons"
        left = f"{len(self.left)} left alone ({number}: {reason}{more})"
        return f"{done or 'nothing swapped'}; {left}"

    def undo(self) -> None:
        """Give every swapped module its own class back; further calls do nothing.

        Raises:
            OpError: Another library has changed the class of a module since; nothing is undone.
        """
        swapped = [self.modules[decision.name] for decision in self.swapped]
        for decision, module in zip(self.swapped, swapped, strict=True):
            if not is_swapped(module) and isinstance(module, Swapped):
                raise OpError(
                    f"the class of '{decision.name}' was changed after it was accelerated, to "
                    f"{type(module).__name__}",
                    where="undo",
                    fix="undo first what changed it, such as a parametrisation",
                )
        for module in swapped:
            restore(module)

    def __str__(self) -> str:
        rows: dict[tuple[str, str], list[str]] = {}
        for decision in (*self.swapped, *self.left):
            verdict = " + ".join(decision.ops) if decision.is_swapped else "left alone"
            why = f": {decision.reason}" if decision.reason else ""
            names = rows.setdefault((decision.kind, verdict + why), [])
            names.append(decision.name or "(the model)")
        return "\n".join(
            f"{len(names):4} {kind} -> {verdict}\n       {_some(names)}"
            for (kind, verdict), names in rows.items()
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
