"""A preset is a config that names what exists."""

from collections.abc import Mapping

from dlplug.config import compose
from dlplug.config.binding import Binder
from dlplug.config.choice import read_choice
from dlplug.config.defaults import default_of, settled
from dlplug.config.renewal import renewed
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.config.trainer import check_trainer, trainer_parameters
from dlplug.config.trust import Trust
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
    trust = Trust(subject.registry)
    # What the data fills in, and what a user's own config adds, is not there yet.
    binder = Binder(subject.registry, trust, is_partial=True)
    of_task: Mapping[str, object] = {}
    for slot in COMPONENT_SLOTS.values():  # the task first, on which the others' defaults depend
        node = config.get(slot.name)
        if node is None or node.value is None:
            continue
        node = settled(node, slot, default_of(slot, of_task))
        for element in node.value if slot.is_list else [node]:
            if read_choice(element, slot.name).word is None:
                continue  # arguments alone, for a component that a user's config names
            bound = binder.bind(slot.kind, element, slot.name)
            if slot.name == "task":
                of_task = getattr(bound.target, "slot_defaults", {})
    check_trainer(config.get("trainer"), trust, {p.name: p for p in trainer_parameters()})
