"""A user can find out what it is and what to write into a config."""

from dlplug.config.docstring import read_docstring
from dlplug.plugin import CORE
from dlplug.testing.rule import COMPONENTS, Broken, rule
from dlplug.testing.subject import Subject


@rule(
    kinds=(*COMPONENTS, "hooks", "commands"),
    proves="it has a docstring of its own, whose first line says what it is",
    fix="write one; its first line is what python -m dlplug plugins list shows",
)
def has_a_docstring(subject: Subject) -> None:
    if subject.component.distribution == CORE and not subject.component.target.startswith(CORE):
        return  # a class of PyTorch or Lightning; the table of built-ins has its summary
    if not read_docstring(subject.value).summary:
        raise Broken("there is no docstring")


@rule(
    proves="each parameter is described in the docstring, has a default, or is filled in from"
    " the data",
    fix="describe it under 'Args:', or give it a default",
)
def tells_its_parameters(subject: Subject) -> None:
    silent = [
        parameter.name
        for parameter in subject.parameters
        if parameter.is_required
        and not parameter.doc
        and parameter.name not in subject.filled_parameters
    ]
    if silent:
        raise Broken(f"nothing tells what to give for {', '.join(silent)}")
