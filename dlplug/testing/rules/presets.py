"""A preset is a config that names what exists."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from dlplug.config import compose
from dlplug.config.binding import Binder
from dlplug.config.choice import is_placeholder, read_choice
from dlplug.config.defaults import default_of, settled
from dlplug.config.renewal import renewed
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.config.task_defaults import declared_defaults
from dlplug.config.trainer import check_trainer, trainer_parameters
from dlplug.config.tree import Node
from dlplug.config.trust import Trust
from dlplug.errors import UntrustedError
from dlplug.plugin import Registry
from dlplug.plugin.spec import PRESETS
from dlplug.testing.rule import rule
from dlplug.testing.subject import Subject


@rule(
    kinds=(PRESETS,),
    proves="its keys are those of a config, the components that it names are installed and have"
    " the arguments that it gives them",
    fix="correct the key or name; what it needs of other packages belongs into dependencies",
)
def names_what_exists(subject: Subject) -> None:
    config = compose([subject.component.load()], (), lambda tree: renewed(tree, subject.registry))
    trust = _TrustOfUsers(subject.registry)
    # What the data fills in, and what a user's own config adds, is not there yet.
    binder = Binder(subject.registry, trust, is_partial=True)
    of_task: Mapping[str, object] = {}
    undecided = _undecided(config.get("task"), subject.registry)
    for slot in COMPONENT_SLOTS.values():  # the task first, on which the others' defaults depend
        node = config.get(slot.name)
        if node is None or node.value is None:
            continue
        if slot.name not in undecided:
            node = settled(node, slot, default_of(slot, of_task))
        for element in node.value if slot.is_list else [node]:
            is_open = slot.name in undecided and is_placeholder(element)
            if is_open or read_choice(element, slot.name).word is None:
                continue  # arguments alone, for a component that a user's config names
            try:
                bound = binder.bind(slot.kind, element, slot.name)
            except _UpToUserError:
                if slot.name == "task":
                    undecided = COMPONENT_SLOTS
                continue
            if slot.name == "task":
                of_task = getattr(bound.target, "slot_defaults", {})
    with suppress(_UpToUserError):
        check_trainer(config.get("trainer"), trust, {p.name: p for p in trainer_parameters()})


def _undecided(task: Node | None, registry: Registry) -> Collection[str]:
    """Slots whose default a task changes, where the preset leaves the task to a user's config."""
    if task is not None and task.value is not None and not is_placeholder(task):
        return ()
    return {slot for c in registry.components("tasks") for slot in declared_defaults(c.target)}


class _UpToUserError(Exception):
    """A class path leads into a module that only a user's ``--trust`` opens."""


class _TrustOfUsers(Trust):
    def check_module(self, path: str, where: str) -> None:
        try:
            super().check_module(path, where)
        except UntrustedError as error:
            raise _UpToUserError from error
