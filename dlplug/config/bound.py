"""A component with its checked arguments, ready to be built."""

import functools
from dataclasses import dataclass, field

from dlplug.config.choice import RESERVED, Choice
from dlplug.config.kinds import TRAITS, Traits
from dlplug.config.refusal import Culprit, PartialComponent, refusals_named, require_initialised
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.config.values import NOT_PLAIN, Value
from dlplug.errors import PluginError
from dlplug.plugin import Component, kind_of
from dlplug.plugin.failure import blame_for, home_of


@dataclass(eq=False)
class Bound:
    """A component, its arguments, and where the config names it.

    Attributes:
        kind: Plural of the kind.
        key: Dotted key in the config.
        component: Who provides it.
        target: The class or function.
        word: ``name`` or ``class_path``: how the config named it.
        where: File and line.
        choice: What the config says.
        values: Arguments that are given or filled; nested components are `Bound` themselves.
        defaults: Plain defaults of the others; `NOT_PLAIN` where YAML cannot hold one.
        open_arguments: Unchecked arguments for ``**kwargs``.
        order: Names of all parameters, as the signature orders them.
    """

    kind: str
    key: str
    component: Component
    target: object
    word: str
    where: str
    choice: Choice
    values: dict[str, "Value | Bound | list[Bound]"] = field(default_factory=dict)
    defaults: dict[str, object] = field(default_factory=dict)
    open_arguments: dict[str, object] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Short name, or class path."""
        return self.component.name

    @property
    def slot(self) -> str:
        """The top-level key."""
        return self.key.partition(".")[0]

    @property
    def help(self) -> str:
        """The command that tells its arguments, without the program's name."""
        slot = COMPONENT_SLOTS.get(self.slot)
        if slot is not None and slot.kind == self.kind:
            return f"fit --{self.slot}.help {self.name}"
        return f"describe {kind_of(self.kind).singular} {self.name}"

    @property
    def label(self) -> str:
        """Kind and name, for messages: ``loss 'focal'``."""
        return self.component.label

    @property
    def culprit(self) -> Culprit:
        """The component in words, for errors."""
        fix = f"its arguments: python -m dlplug {self.help}"
        # What stands elsewhere than the name, such as on the command line.
        own = self.where.partition(",")[0]
        others = [
            f"{name}: {node.origin}"
            for name, node in self.choice.arguments.items()
            if not str(node.origin).startswith(own)
        ]
        where = self.where + (f" ({'; '.join(others)})" if others else "")
        blame = blame_for(self.component)
        home = home_of(self.component)
        return Culprit(self.label, self.component.provider, where, fix, blame, home)

    @property
    def traits(self) -> Traits:
        """How dlplug handles components of this kind."""
        return TRAITS[self.kind]

    def argument(self, name: str) -> object:
        """The value of an argument: what is given, else the default."""
        return _made(self.values[name]) if name in self.values else self.defaults.get(name)

    def resolved(self) -> dict:
        """Plain data that names the component and all its arguments; a valid config value."""
        arguments = {}
        for name in self.order:
            value = self.values.get(name, self.defaults.get(name, NOT_PLAIN))
            plain = _resolved(value)
            if plain is not NOT_PLAIN:
                arguments[name] = plain
        # The id, whoever provides it: a plugin installed later may use the same short name.
        head = {self.word: self.name if self.word == "class_path" else self.component.id}
        if self.word == "class_path" or any(name in RESERVED for name in arguments):
            head |= {"init_args": arguments}
        else:
            head |= arguments
        return head | ({"dict_kwargs": self.open_arguments} if self.open_arguments else {})

    def build(self, **supplied: object) -> object:
        """Make the object; a function or optimizer that is called later is bound to its arguments.

        Args:
            supplied: Arguments that are no part of the config, such as a task's architecture.
        Raises:
            InvalidValueError: The component refuses the values.
            DataError: A file that it needs is missing.
            PluginError: What it makes is not of its kind.
        """
        arguments = {name: _made(value) for name, value in self.values.items()}
        arguments |= self.open_arguments | supplied
        if self.traits.passed_to_class:
            partial = PartialComponent(self.target, **arguments)
            partial.culprit = self.culprit
            return partial
        if self.traits.num_passed(self.target):
            return functools.partial(self.target, **arguments)
        with refusals_named(self.culprit):
            made = self.target(**arguments)
        require_initialised(made, self.culprit)
        if self.traits.must_descend and not isinstance(made, base := self.traits.base_class):
            raise PluginError(
                f"{self.label} of {self.component.provider} makes a {_class_name(type(made))}, "
                f"not a {_class_name(base)}",
                where=self.where,
                fix=f"tell the authors of {self.component.distribution}",
            )
        return made


def _made(value: "Value | Bound | list[Bound]") -> object:
    if isinstance(value, list):
        return [element.build() for element in value]
    return value.build() if isinstance(value, Bound) else value.make()


def _resolved(value: object) -> object:
    if isinstance(value, Bound):
        return value.resolved()
    if isinstance(value, Value):
        return value.plain
    if isinstance(value, list) and value and isinstance(value[0], Bound):
        return [element.resolved() for element in value]
    return value


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
