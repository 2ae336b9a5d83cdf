"""Finding the command that a command line names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dlplug.errors import InvalidValueError, UnknownComponentError, UnknownKeyError
from dlplug.plugin.registry import Registry

HELP = ("-h", "--help", "help")
# Asked by the scripts of `dlplug completion`; no command, so that no page lists it.
COMPLETE = "__complete"
# The options that say which plugins there are, with what each takes.
PLUGIN_OPTIONS = {
    "--block": ("a name", "acme-losses"),
    "--allow": ("a name", "acme-losses"),
    "--plugin": ("a file", "my_model.py"),
}
Main = Callable[[list[str], Registry], int | None]


@dataclass(frozen=True)
class PluginOptions:
    """The options that every command takes before it sees its own."""

    block: tuple[str, ...]
    allow: tuple[str, ...] | None
    is_strict: bool
    files: tuple[str, ...] = ()

    def discover(self) -> Registry:
        """What is installed, narrowed by these options; imports no component."""
        return Registry.discover(
            block=self.block, allow=self.allow, strict=self.is_strict, files=self.files
        )


def run(arguments: list[str]) -> int:
    """Run the command that the first argument names, with the others.

    Returns:
        The exit code.
    Raises:
        DlplugError: There is no such command, or the command refuses.
    """
    if arguments[:1] == [COMPLETE]:
        from dlplug.cli.complete import main

        return main(arguments[1:])
    arguments, options = take_plugin_options(arguments)
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [arguments[1], "--help", *arguments[2:]]
    first, rest = (arguments or HELP)[0], arguments[1:]
    if first in (*HELP, "--version"):
        if rest:
            raise UnknownKeyError(f"unexpected argument '{rest[0]}' after {first}")
        print(_version() if first == "--version" else _page(options.discover()))
        return 0
    registry = options.discover()
    return find_command(first, registry)(rest, registry) or 0


def find_command(name: str, registry: Registry) -> Main:
    """The function of a command, built in or from a plugin.

    Args:
        name: Short name, or ``distribution:name`` where several distributions provide it.
        registry: As discovered; modules of hooks are imported if no entry point has the name.
    Raises:
        UnknownKeyError: It is an option.
        PluginError: There is no such command, or several, or it cannot be used.
    """
    if name.startswith("-"):
        raise UnknownKeyError(
            f"no option {name} before the command",
            where="command line",
            fix="dlplug --help shows the commands",
        )
    try:
        command = registry.find("commands", name, where="command line")
    except UnknownComponentError:
        command = None
    if command is None or command.is_recalled:
        registry.load_hooks()
        command = registry.find("commands", name, where="command line")
    return command.load(where="command line")


def _version() -> str:
    import dlplug

    return f"dlplug {dlplug.__version__}"


def _page(registry: Registry) -> str:
    from dlplug.cli.help_page import program_page

    return program_page(registry)


def take_plugin_options(arguments: list[str]) -> tuple[list[str], PluginOptions]:
    """Take ``--block``, ``--allow``, ``--plugin``, ``--strict`` and ``--traceback`` out.

    They say which plugins exist for the command, so they count before it is looked up.
    """
    rest: list[str] = []
    names: dict[str, list[str]] = {}
    is_strict = False
    waiting = iter(arguments)
    for argument in waiting:
        flag, has_value, value = argument.partition("=")
        if flag in PLUGIN_OPTIONS:
            value = value if has_value else next(waiting, "")
            names.setdefault(flag, []).extend(_names(flag, value))
        elif argument == "--strict":
            is_strict = True
        elif argument != "--traceback":
            rest.append(argument)
    allow = names.get("--allow")
    return rest, PluginOptions(
        tuple(names.get("--block", ())),
        None if allow is None else tuple(allow),
        is_strict,
        tuple(names.get("--plugin", ())),
    )


def _names(flag: str, value: str) -> Iterable[str]:
    # A comma may stand in a path.
    parts = [value] if flag == "--plugin" else value.split(",")
    found = [name.strip() for name in parts if name.strip()]
    if not found or value.startswith("--"):
        what, example = PLUGIN_OPTIONS[flag]
        raise InvalidValueError(
            f"{flag} needs {what}", where="command line", fix=f"{flag} {example}"
        )
    return found
