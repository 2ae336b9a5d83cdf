"""From a name in the config to a component with checked arguments."""

import math
from dataclasses import dataclass, field

from dlplug.config.bound import Bound
from dlplug.config.choice import RESERVED, read_choice
from dlplug.config.filling import DataFacts, compare, decided_by_data, field_near, fill
from dlplug.config.kinds import TRAITS
from dlplug.config.parameters import (
    Parameter,
    component_parameters,
    parameters_of,
    takes_anything,
)
from dlplug.config.tree import DEFAULTS, Node
from dlplug.config.trust import Trust
from dlplug.config.values import NOT_PLAIN, Value, check, check_default
from dlplug.errors import InvalidValueError, PluginError, UnknownKeyError, suggestion
from dlplug.plugin import KINDS, Component, Registry, Status


@dataclass
class Binder:
    """Resolves the names of one config.

    Attributes:
        registry: Where names are looked up.
        trust: Which class paths may be imported.
        facts: What the data knows; filled in once the data is there.
        components: Everything that was named so far, in order.
        filled: Dotted key to origin, for arguments that the data gave.
        is_partial: Whether arguments may still be missing: of a preset, which others complete.
    """

    registry: Registry
    trust: Trust
    facts: DataFacts = field(default_factory=lambda: DataFacts(None, "the data"))
    components: list[Component] = field(default_factory=list)
    filled: dict[str, str] = field(default_factory=dict)
    is_partial: bool = False

    def load(self, kind: str, node: Node, key: str) -> Bound:
        """Import what ``node`` names, without looking at its arguments.

        Raises:
            PluginError: No usable component of that name.
            UntrustedError: The class path may not be imported.
        """
        choice = read_choice(node, key)
        is_written = choice.name is not None and choice.name.origin != DEFAULTS
        where = f"{(choice.name if is_written else node).origin}, {key}"
        if choice.word is None:
            raise InvalidValueError(
                f"{key} has arguments but names no {KINDS[kind].singular}",
                where=where,
                known=", ".join(self.registry.names(kind)),
                fix=f"--{key} NAME, or '{key}: {{name: NAME, ...}}'",
            )
        if choice.word == "class_path":
            target = self.trust.import_class(choice.text, TRAITS[kind].base_class, where)
            component = _unregistered(kind, choice.text, target)
        else:
            component = self.registry.find(kind, choice.text, where=where)
            target = component.load(where=where)
        self.components.append(component)
        return Bound(kind, key, component, target, choice.word, where, choice)

    def bind(self, kind: str, node: Node, key: str) -> Bound:
        """The component that ``node`` names, with every argument checked.

        Args:
            kind: Plural of the kind.
            node: A name, or a mapping with name and arguments.
            key: Dotted key.
        Raises:
            ConfigError: An argument is unknown, missing, of another type, or contradicts the data.
        """
        return self.bind_arguments(self.load(kind, node, key))

    def bind_arguments(self, bound: Bound) -> Bound:
        """Check the arguments of a loaded component and complete ``bound`` with them."""
        parameters = component_parameters(bound.kind, bound.target)
        self._refuse_false_renames(bound, parameters)
        self._refuse_unknown(bound, parameters)
        self._add_given(bound, parameters)
        if bound.traits.is_filled:
            self._add_from_data(bound, parameters)
        self._refuse_missing(bound, parameters)
        for parameter in parameters:
            is_unset = parameter.name not in (*bound.values, *bound.traits.known_later)
            if is_unset and not parameter.is_required:
                bound.defaults[parameter.name] = self._default(parameter)
        bound.order = [parameter.name for parameter in parameters]
        return bound

    def _refuse_false_renames(self, bound: Bound, parameters: list[Parameter]) -> None:
        """What its authors say of old parameters is true; it could not be seen before importing."""
        known = {parameter.name for parameter in parameters}
        renames = self.registry.renames.parameters(bound.kind, bound.component.id)
        for old, new in renames.items():
            if old in known or (new not in known and not takes_anything(bound.target)):
                names = [f"{name!r}" for name in (old, new) if name in known]
                raise PluginError(
                    f"{bound.component.provider} says that the argument {old!r} of {bound.label}"
                    f" is now called {new!r}, but it has {' and '.join(names) or 'neither'}",
                    where=bound.where,
                    fix=f"tell the authors of {bound.component.distribution}",
                )

    def _refuse_unknown(self, bound: Bound, parameters: list[Parameter]) -> None:
        known = {parameter.name: parameter for parameter in parameters}
        is_open = takes_anything(bound.target)
        for name, node in bound.choice.arguments.items():
            if name in known:
                continue
            fix = suggestion(str(name), known)
            if is_open:
                fix = f"{fix} or " if fix else ""
                fix += f"pass it on unchecked: {bound.key}: {{dict_kwargs: {{{name}: ...}}}}"
            if name in bound.traits.supplied:
                fix = f"'{name}' is a key of the config's top level"
            raise UnknownKeyError(
                f"{bound.label} has no argument '{name}'",
                where=f"{node.origin}, {bound.key}.{name}",
                known=", ".join(str(parameter) for parameter in parameters) or "no arguments",
                fix=fix or f"list them: python -m dlplug {bound.help}",
            )
        if bound.choice.open_arguments and not is_open:
            raise UnknownKeyError(
                f"{bound.label} does not take dict_kwargs: its parameters are all known",
                where=f"{bound.choice.node.origin}, {bound.key}.dict_kwargs",
                known=", ".join(str(parameter) for parameter in parameters),
            )
        for parameter in parameters_of(bound.target):
            self._refuse_unchecked(bound, parameter.name, known)
        bound.open_arguments = {k: v.plain() for k, v in bound.choice.open_arguments.items()}

    def _refuse_unchecked(self, bound: Bound, name: str, known: dict[str, Parameter]) -> None:
        if name not in bound.choice.open_arguments:
            return
        node = bound.choice.open_arguments[name]
        fix = "write it beside the name" if name in known else "delete it: dlplug supplies it"
        raise InvalidValueError(
            f"{bound.label} has the parameter '{name}': it cannot stand in dict_kwargs",
            where=f"{node.origin}, {bound.key}.dict_kwargs.{name}",
            fix=fix,
        )

    def _add_given(self, bound: Bound, parameters: list[Parameter]) -> None:
        given, later = bound.choice.arguments, bound.traits.known_later
        for parameter in parameters:
            if parameter.name not in given:
                continue
            node, key = given[parameter.name], f"{bound.key}.{parameter.name}"
            is_left_open = parameter.name in later or self._data_knows(bound, parameter)
            if node.value is None and is_left_open:
                continue  # null leaves it to the run, or to the data
            kind = parameter.component_kind
            if kind is not None:
                bound.values[parameter.name] = self._bind_nested(kind, node, key)
            else:
                value = check(parameter, node, key, self.trust)
                if bound.kind == "optimizers":
                    _refuse_infinite(value.plain, key, node)
                bound.values[parameter.name] = value

    def _data_knows(self, bound: Bound, parameter: Parameter) -> bool:
        return bound.traits.is_filled and self.facts.value_for(parameter.name) is not None

    def _bind_nested(self, kind: str, node: Node, key: str) -> Bound | list[Bound] | Value:
        if node.value is None:
            return Value(None, lambda: None)
        if isinstance(node.value, list):
            return [self.bind(kind, e, f"{key}.{i}") for i, e in enumerate(node.value)]
        return self.bind(kind, node, key)

    def _add_from_data(self, bound: Bound, parameters: list[Parameter]) -> None:
        for parameter, _ in decided_by_data(parameters):
            key = f"{bound.key}.{parameter.name}"
            given = bound.choice.arguments.get(parameter.name)
            if given is not None and given.value is not None:
                compare(parameter, self.facts, given, key)
                continue
            value = fill(parameter, self.facts, bound, self.trust)
            if value is not None:
                bound.values[parameter.name] = value
                self.filled[key] = f"from {self.facts.source_for(parameter.name)}"

    def _refuse_missing(self, bound: Bound, parameters: list[Parameter]) -> None:
        given = (*bound.values, *bound.traits.known_later)
        missing = [p for p in parameters if p.is_required and p.name not in given]
        if not missing or self.is_partial:
            return
        is_filled = bound.traits.is_filled
        facts = {p.name for p, _ in decided_by_data(parameters)} if is_filled else set()
        needs = [
            f"{p.name} ({self.facts.source} publishes none)" if p.name in facts else p.name
            for p in missing
        ]
        keys = [f"init_args.{p.name}" if p.name in RESERVED else p.name for p in missing]
        raise InvalidValueError(
            f"{bound.label} needs {', '.join(needs)}",
            where=bound.where,
            known="; ".join(map(_about, missing)),
            fix=" ".join(f"--{bound.key}.{key} VALUE" for key in keys)
            + self._hint(facts, missing)
            + (_renaming(missing) if is_filled else ""),
        )

    def _hint(self, facts: set[str], missing: list[Parameter]) -> str:
        """What else may be wrong when the data lacks what a component needs."""
        if not any(parameter.name in facts for parameter in missing):
            return ""
        return (
            f"; or {self.facts.source} is not told what to predict, or the task is another one:"
            " python -m dlplug guide"
        )

    def _default(self, parameter: Parameter) -> object:
        value = check_default(parameter).plain
        if parameter.component_kind is not None and value not in (None, []):
            return NOT_PLAIN
        return value


def _renaming(missing: list[Parameter]) -> str:
    """Which of the parameters would be filled in under another name."""
    near = {p.name: field for p in missing if (field := field_near(p.name))}
    if not near:
        return ""
    told = ", ".join(f"{name} as {field}" for name, field in near.items())
    return f"; or rename them in its code, and the data fills them in: {told}"


def _about(parameter: Parameter) -> str:
    # "C." is the letter by which a docstring's shapes call it, and tells nothing here.
    return f"{parameter}" + (f" ({parameter.doc})" if len(parameter.doc) > 3 else "")


def _unregistered(kind: str, path: str, target: object) -> Component:
    """A component for a class that no entry point offers, so that locks and reports name it."""
    from importlib import metadata

    distribution = path.partition(".")[0]
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        # Asked last: it reads the lists of files of everything that is installed.
        found = metadata.packages_distributions().get(distribution)
        distribution = found[0] if found else distribution
        version = metadata.version(distribution) if found else "unknown"
    module, _, attribute = path.rpartition(".")
    component = Component(kind, path, distribution, version, f"{module}:{attribute}")
    component.status, component.value = Status.LOADED, target
    return component


def _refuse_infinite(value: object, key: str, node: Node) -> None:
    """Optimizers of torch take an infinite rate, and 1e400 is one without saying so."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValueError(
            f"{key} must be finite, got {value}",
            where=f"{node.origin}, {key}",
            fix="write a number, or delete it",
        )
