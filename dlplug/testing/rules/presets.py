"""A preset is a config that names what exists."""

from dlplug.config import compose
from dlplug.config.choice import is_placeholder, read_choice
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.plugin.spec import PRESETS
from dlplug.testing.rule import rule
from dlplug.testing.subject import Subject


@rule(
    kinds=(PRESETS,),
    proves="its keys are those of a config, and the components that it names are installed",
    fix="correct the key or name; what it needs of other packages belongs into dependencies",
)
def names_what_exists(subject: Subject) -> None:
    config = compose([subject.component.load()])
    for slot in COMPONENT_SLOTS.values():
        node = config.get(slot.name)
        if node is None or node.value is None:
            continue
        for element in node.value if slot.is_list else [node]:
            choice = read_choice(element, slot.name)
            if choice.word == "name" and not is_placeholder(element):
                subject.registry.find(slot.kind, choice.text, where=str(element.origin))
