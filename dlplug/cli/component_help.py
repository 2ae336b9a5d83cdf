"""``--architecture.help NAME`` and ``--trainer.help``: typed arguments, defaults and docs."""

import inspect
import textwrap

from dlplug.cli.help_page import PROGRAM, names_line
from dlplug.config.slots import COMPONENT_SLOTS
from dlplug.errors import InvalidValueError, UnknownKeyError
from dlplug.plugin import Registry


def take_help_request(arguments: list[str]) -> tuple[str, str | None] | None:
    """The slot and the name of a ``--slot.help [NAME]`` among the arguments, or None.

    Raises:
        UnknownKeyError: The slot has no components.
    """
    for index, argument in enumerate(arguments):
        flag, has_value, value = argument.partition("=")
        if not flag.startswith("--") or not flag.endswith(".help"):
            continue
        slot = flag[2:].removesuffix(".help")
        if slot not in (*COMPONENT_SLOTS, "trainer"):
            raise UnknownKeyError(
                f"no help for '{slot}'",
                where="command line",
                known=", ".join(f"--{name}.help" for name in (*COMPONENT_SLOTS, "trainer")),
            )
        following = arguments[index + 1 : index + 2]
        if not has_value and following and not following[0].startswith("--"):
            value = following[0]
        return slot, value or None
    return None


def help_text(slot: str, name: str | None, registry: Registry) -> str:
    """What a slot takes; with a name, the arguments of that component, which is imported.

    Raises:
        PluginError: No such component, or it cannot be loaded.
    """
    from dlplug.config.filling import decided_by_data
    from dlplug.config.kinds import TRAITS
    from dlplug.config.parameters import component_parameters
    from dlplug.config.trainer import trainer_parameters
    from dlplug.config.trust import Trust

    if slot == "trainer":
        if name is not None:
            raise InvalidValueError(f"--trainer.help takes no value, got '{name}'")
        head = "trainer: arguments of lightning.Trainer"
        return "\n".join([head, "", *_parameter_lines(slot, trainer_parameters(), set())])
    kind = COMPONENT_SLOTS[slot].kind
    registry.load_hooks()
    if name is None:
        return "\n".join(
            [
                f"{slot}: {COMPONENT_SLOTS[slot].summary}",
                f"one of: {names_line(kind, registry)}",
                f"arguments of one: {PROGRAM} fit --{slot}.help NAME",
            ]
        )
    offered = {word for c in registry.components(kind) for word in (c.name, c.id)}
    # A hook may offer names with dots: what is installed comes before a class path.
    if "." in name and ":" not in name and name not in offered:
        target = Trust(registry).import_class(name, TRAITS[kind].base_class, "command line")
        head = f"{slot} by class path: {name}"
    else:
        component = registry.find(kind, name, where="command line")
        target = component.load(where="command line")
        head = f"{component.label} of {component.provider}: {component.target}"
    parameters = component_parameters(kind, target)
    filled = set()
    if TRAITS[kind].is_filled:
        filled = {parameter.name for parameter, _ in decided_by_data(parameters)}
    lines = [head]
    doc = (inspect.getdoc(target) or "").partition("\n\nArgs:")[0].strip()
    if doc:
        lines += ["", doc]
    lines += ["", *_parameter_lines(slot, parameters, filled)]
    return "\n".join(lines)


def _parameter_lines(slot: str, parameters: list, filled: set[str]) -> list[str]:
    from dlplug.config.types import is_untyped, type_text

    if not parameters:
        return ["It takes no arguments."]
    prefix = f"{slot}.NAME" if slot in COMPONENT_SLOTS and COMPONENT_SLOTS[slot].is_list else slot
    lines = []
    for parameter in parameters:
        kind = parameter.component_kind
        text = "any" if is_untyped(parameter.hint) else type_text(parameter.hint)
        facts = [f"name of one of the {kind}" if kind else text]
        if parameter.is_required and parameter.name not in filled:
            facts.append("required")
        elif not parameter.is_required:
            facts.append(f"default {_default_text(parameter.default)}")
        if parameter.name in filled:
            facts.append("filled from the data")
        lines.append(f"  --{prefix}.{parameter.name}  ({'; '.join(facts)})")
        lines += textwrap.wrap(parameter.doc, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return lines


def _default_text(value: object) -> str:
    from dlplug.config.values import NOT_PLAIN, plain_form
    from dlplug.config.yaml_dialect import dump_scalar

    plain = plain_form(value)
    if plain is NOT_PLAIN:
        return getattr(value, "__name__", type(value).__name__)
    return dump_scalar(plain)
