"""Finding the command that a command line names."""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug.plugin.registry import Registry

HELP = ("-h", "--help", "help")


@dataclass(frozen=True)
class Command:
    """A built-in command: a module with ``main(arguments, registry) -> exit code``."""

    module: str
    summary: str


COMMANDS = {
    "fit": Command("dlplug.cli.fit", "train from a config, in a new run folder"),
    "validate": Command("dlplug.cli.validate", "measure a trained model on the validation split"),
    "test": Command("dlplug.cli.test", "measure a trained model on the test split"),
    "predict": Command("dlplug.cli.predict", "use a trained model on new data"),
    "plugins": Command("dlplug.cli.plugins", "list and describe what is installed"),
    "doctor": Command("dlplug.cli.doctor", "check the installation and this machine"),
}


@dataclass(frozen=True)
class PluginOptions:
    """The options that every command takes before it sees its own."""

    block: tuple[str, ...]
    allow: tuple[str, ...] | None
    is_strict: bool

    def discover(self) -> Registry:
        """What is installed, narrowed by these options; imports no component."""
        return Registry.discover(block=self.block, allow=self.allow, strict=self.is_strict)


def run(arguments: list[str]) -> int:
    """Run the command that the first argument names, with the others.

    Returns:
        The exit code.
    Raises:
        DlplugError: There is no such command, or the command refuses.
    """
    if not arguments or arguments[0] in HELP:
        from dlplug.cli.help_page import program_page

        print(program_page(Registry.discover()))
        return 0
    if arguments[0] == "--version":
        import dlplug

        print(f"dlplug {dlplug.__version__}")
        return 0
    arguments, options = take_plugin_options(arguments)
    if not arguments:
        raise UnknownKeyError("no command", known=", ".join(COMMANDS), fix="dlplug --help")
    registry = options.discover()
    main = find_command(arguments[0], registry)
    return main(arguments[1:], registry) or 0


def find_command(name: str, registry: Registry) -> Callable[[list[str], Registry], int | None]:
    """The function of a built-in command, or of one that a plugin provides.

    Raises:
        UnknownKeyError: There is no such command.
        PluginError: The plugin that provides it cannot be used.
    """
    if name in COMMANDS:
        return importlib.import_module(COMMANDS[name].module).main
    provided = registry.components("commands")
    if any(name in (component.name, component.id) for component in provided):
        return registry.find("commands", name, where="command line").load(where="command line")
    known = [*COMMANDS, *(component.name for component in provided)]
    is_option = name.startswith("-")
    raise UnknownKeyError(
        f"no option {name} before the command" if is_option else f"no command '{name}'",
        where="command line",
        known=", ".join(known),
        fix=suggestion(name, known) or "dlplug --help shows them",
    )


def take_plugin_options(arguments: list[str]) -> tuple[list[str], PluginOptions]:
    """Take ``--block``, ``--allow``, ``--strict`` and ``--traceback`` out of the arguments.

    They say which plugins exist for the command, so they count before it is looked up.
    """
    rest: list[str] = []
    names: dict[str, list[str]] = {}
    is_strict = False
    waiting = iter(arguments)
    for argument in waiting:
        flag, has_value, value = argument.partition("=")
        if flag in ("--block", "--allow"):
            value = value if has_value else next(waiting, "")
            names.setdefault(flag, []).extend(_names(flag, value))
        elif argument == "--strict":
            is_strict = True
        elif argument != "--traceback":
            rest.append(argument)
    allow = names.get("--allow")
    return rest, PluginOptions(
        tuple(names.get("--block", ())), None if allow is None else tuple(allow), is_strict
    )


def _names(flag: str, value: str) -> Iterable[str]:
    found = [name.strip() for name in value.split(",") if name.strip()]
    if not found or value.startswith("--"):
        raise InvalidValueError(
            f"{flag} needs a name", where="command line", fix=f"{flag} acme-losses"
        )
    return found
