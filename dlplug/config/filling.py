"""Parameters that the data and the task decide: filled from a spec, or compared with it."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from dlplug.config.bound import Bound
from dlplug.config.parameters import Parameter
from dlplug.config.refusal import refusals_named
from dlplug.config.tree import Node, Origin, from_plain
from dlplug.config.trust import Trust
from dlplug.config.types import type_text
from dlplug.config.values import Value, check
from dlplug.data.spec import FIELDS, SYNONYMS, DataSpec
from dlplug.errors import InvalidValueError
from dlplug.plugin import KINDS

# Words by which authors call the same.
SAME_WORDS = {"n": "num", "nb": "num", "number": "num", "input": "in", "img": "image"}


@dataclass(frozen=True)
class DataFacts:
    """What is known about the data, and what the task makes of it.

    Attributes:
        spec: The published spec, completed by the task; None when the config names no data.
        source: Who publishes it, such as ``data mnist`` or ``the run's data``.
        published: The spec before the task completed it; None until then.
        task: Who completed it, such as ``task regression``; None until then.
    """

    spec: DataSpec | None
    source: str
    published: DataSpec | None = None
    task: str | None = None

    def value_for(self, parameter: str) -> object:
        """The value for a parameter of that name, or None if unknown."""
        return self.spec.value_for(parameter) if self.spec else None

    def source_for(self, parameter: str) -> str:
        """Who gives that value."""
        is_of_data = not self.published or self.published.value_for(parameter) == self.value_for(
            parameter
        )
        return self.source if is_of_data else self.task


def completed_by(task: Bound, facts: DataFacts) -> DataFacts:
    """The facts after the task's ``complete(spec, ...)``, if it has one.

    Args:
        task: With its arguments; those that ``complete`` names are passed on.
        facts: Of the data.
    Raises:
        DlplugError: the data is of no use for this task.
    """
    complete = getattr(task.target, "complete", None)
    if facts.spec is None or complete is None:
        return facts
    wanted = inspect.signature(complete).parameters
    arguments = {name: task.argument(name) for name in task.order if name in wanted}
    with refusals_named(task.culprit):
        spec = complete(facts.spec, **arguments)
    return replace(facts, spec=spec, published=facts.spec, task=f"task {task.name}")


def decided_by_data(parameters: list[Parameter]) -> Iterator[tuple[Parameter, str]]:
    """Parameters that stand for a field of the data spec, with that field.

    One parameter per field: a class with ``in_channels`` and ``channels`` means something else by
    the second one.
    """
    by_field: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        field = SYNONYMS.get(parameter.name, parameter.name)
        if field in FIELDS:
            by_field.setdefault(field, []).append(parameter)
    for field, candidates in by_field.items():
        exact = [parameter for parameter in candidates if parameter.name == field]
        yield (exact or candidates)[0], field


def field_near(name: str) -> str | None:
    """The field of the data spec that an author means who calls a parameter so, or None.

    The same words in another order, or with another word for a number: ``channels_in``,
    ``n_classes``, ``input_channels``.
    """
    if name in FIELDS or name in SYNONYMS:
        return None
    words = _words(name)
    exact = next((known for known in (*FIELDS, *SYNONYMS) if _words(known) == words), None)
    near = exact or next(iter(get_close_matches(name, FIELDS, n=1, cutoff=0.9)), None)
    return SYNONYMS.get(near, near) if near else None


def _words(name: str) -> frozenset[str]:
    return frozenset(SAME_WORDS.get(word, word) for word in name.lower().split("_"))


def fill(parameter: Parameter, facts: DataFacts, bound: Bound, trust: Trust) -> Value | None:
    """The value that the data gives to ``parameter``, or None if the data does not know.

    Args:
        parameter: One of `decided_by_data`.
        facts: The data spec.
        bound: The component that has it.
        trust: Passed on to the type check.
    Raises:
        InvalidValueError: The data's value is not of the parameter's type.
    """
    value, source = facts.value_for(parameter.name), facts.source_for(parameter.name)
    if value is None:
        return None
    origin = Origin(f"from {source}")
    for form in _forms(parameter.name, value):
        try:
            return check(
                parameter, from_plain(form, origin), f"{bound.key}.{parameter.name}", trust
            )
        except InvalidValueError:
            continue
    raise InvalidValueError(
        f"{bound.label} takes {parameter.name} as {type_text(parameter.hint)}, "
        f"and {source} has {_forms(parameter.name, value)[0]!r}",
        where=f"{bound.where}.{parameter.name}",
        fix=f"choose another {KINDS[bound.kind].singular}, one that takes such data",
    )


def compare(parameter: Parameter, facts: DataFacts, node: Node, key: str) -> None:
    """Refuse a value in the config that contradicts the data.

    Raises:
        InvalidValueError: Naming both sides.
    """
    value = facts.value_for(parameter.name)
    if value is None or node.plain() in _forms(parameter.name, value):
        return
    raise InvalidValueError(
        f"the config sets {key}: {node.plain()!r}, {facts.source_for(parameter.name)} has "
        f"{parameter.name}: {_forms(parameter.name, value)[0]!r}",
        where=f"{node.origin}, {key}",
        fix=f"delete {key} or set it to null: the data decides it",
    )


def _forms(name: str, value: object) -> list[object]:
    """The same value in the forms a parameter may want: a square's side, or height and width."""
    plain = list(value) if isinstance(value, tuple) else value
    if SYNONYMS.get(name, name) == "image_size" and isinstance(plain, int):
        return [plain, [plain, plain]]
    return [plain]
