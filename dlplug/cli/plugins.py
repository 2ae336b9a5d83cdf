"""``dlplug plugins list`` and ``dlplug plugins info NAME``: what is installed, in what state."""

import argparse
import json
import shutil
from contextlib import suppress
from typing import NoReturn

from dlplug.errors import (
    InvalidValueError,
    PluginError,
    UnknownComponentError,
    UnknownKeyError,
    suggestion,
)
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.names import normalised, split_id
from dlplug.plugin.registry import Registry
from dlplug.plugin.spec import KINDS, kind_of
from dlplug.plugin.status import Status

DEFAULT_WIDTH = 100
"""Columns of the table where the output is no terminal."""

USAGE = """\
usage: dlplug plugins list [--kind KIND] [--status STATUS] [--load] [--json]
       dlplug plugins info NAME [--kind KIND] [--json]

list  every component with its status, and what is wrong; imports nothing without --load
info  all about one component (name or distribution:name) or distribution; imports it"""


def main(argv: list[str], registry: Registry) -> int:
    """Run ``plugins`` with its arguments; prints to standard output.

    Args:
        argv: What follows ``plugins`` on the command line.
        registry: As discovered; ``list --load`` and ``info`` import from it.
    Returns:
        The exit code, 0.
    Raises:
        DlplugError: the arguments are wrong or a name is unknown; exit code 2.
        SystemExit: after the ``--help`` of a verb, with 0.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    verbs = {"list": (_list_parser, print_list), "info": (_info_parser, print_info)}
    if argv[0] not in verbs:
        raise UnknownKeyError(
            f"no command 'plugins {argv[0]}'",
            known=", ".join(f"plugins {verb}" for verb in verbs),
            fix=suggestion(argv[0], verbs),
        )
    parser, run = verbs[argv[0]]
    run(parser().parse(argv[1:]), registry)
    return 0


def print_list(options: argparse.Namespace, registry: Registry) -> None:
    """Print every component with its status, then the problems."""
    from dlplug.plugin import listing

    kind = options.kind and (HOOKS_KIND if options.kind == HOOKS_KIND else _plural(options.kind))
    status = options.status and _status(options.status)
    if options.load:
        load_everything(registry)

    def is_selected(entry: Component) -> bool:
        return kind in (None, entry.kind) and status in (None, entry.status)

    entries = list(filter(is_selected, registry.entries()))
    problems = list(filter(is_selected, registry.problems()))
    plugins = registry.plugins()
    if options.json:
        data = {
            "components": [listing.entry_data(entry) for entry in entries],
            "plugins": [listing.plugin_data(plugin) for plugin in plugins],
            "problems": [listing.entry_data(entry) for entry in problems],
        }
        print(json.dumps(data))
        return
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    print(listing.table(entries, width) if entries else "nothing matches")
    if report := listing.problem_report(problems, [] if kind or status else plugins):
        print(f"\nproblems\n{report}")


def print_info(options: argparse.Namespace, registry: Registry) -> None:
    """Print everything known about the components and the distribution of one name."""
    from dlplug.plugin import description

    kind = options.kind and _plural(options.kind)
    plugins = [p for p in registry.plugins() if p.name == normalised(options.name) and not kind]
    entries = _named(registry, options.name, kind)
    if not plugins and not entries:
        registry.load_hooks()  # the names of a family are known to its hook only
        entries = _named(registry, options.name, kind)
    if not plugins and not entries:
        raise _unknown(registry, options.name, kind)
    found = {
        "components": [description.describe_component(entry) for entry in entries],
        "plugins": [description.describe_plugin(plugin) for plugin in plugins],
    }
    if options.json:
        print(json.dumps(found))
        return
    texts = [description.component_text(data) for data in found["components"]]
    texts += [description.plugin_text(data) for data in found["plugins"]]
    print("\n\n".join(texts))


def load_everything(registry: Registry) -> None:
    """Import every hook and component that may be imported; failures become statuses."""
    registry.load_hooks()
    for entry in registry.components():
        if not entry.refuses:
            with suppress(PluginError):
                entry.load()


class _Parser(argparse.ArgumentParser):
    """argparse, with errors that dlplug prints like all others."""

    def error(self, message: str) -> NoReturn:
        raise InvalidValueError(message, where=self.prog, known=self.format_usage().strip())

    def parse(self, argv: list[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(argv)
        if unknown:
            known = [flag for flag in self._option_string_actions if flag.startswith("--")]
            raise UnknownKeyError(
                f"{self.prog} has no argument {unknown[0]!r}",
                known=", ".join(known),
                fix=suggestion(unknown[0].partition("=")[0], known),
            )
        return options


def _list_parser() -> _Parser:
    parser = _Parser(prog="dlplug plugins list", allow_abbrev=False)
    kinds = ", ".join([*KINDS, HOOKS_KIND])
    parser.add_argument("--kind", metavar="KIND", help=f"only one of: {kinds}")
    parser.add_argument("--status", metavar="STATUS", help=f"only one of: {', '.join(Status)}")
    parser.add_argument("--load", action="store_true", help="import all, to see what fails")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _info_parser() -> _Parser:
    parser = _Parser(prog="dlplug plugins info", allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="name, distribution:name or distribution")
    parser.add_argument("--kind", metavar="KIND", help="only a component of this kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _plural(kind: str) -> str:
    return kind_of(kind).plural


def _status(word: str) -> Status:
    try:
        return Status(word)
    except ValueError:
        known = [str(status) for status in Status]
        raise InvalidValueError(
            f"no status {word!r}",
            where="--status",
            known=", ".join(known),
            fix=suggestion(word, known),
        ) from None


def _named(registry: Registry, name: str, kind: str | None) -> list[Component]:
    owner, short = split_id(name)
    return [
        entry
        for entry in registry.entries()
        if entry.name == short
        and owner in (None, entry.distribution)
        and kind in (None, entry.kind)
    ]


def _unknown(registry: Registry, name: str, kind: str | None) -> UnknownComponentError:
    entries = [entry for entry in registry.entries() if kind in (None, entry.kind)]
    plugins = [plugin.name for plugin in registry.plugins()]
    ids = [entry.id for entry in entries]
    words = ids if ":" in name else [*plugins, *(entry.name for entry in entries)]
    listing = "list all: python -m dlplug plugins list"
    hint = suggestion(name, words)
    return UnknownComponentError(
        f"no component or distribution named {name!r}",
        known=f"distributions: {', '.join(plugins)}",
        fix=f"{hint} {listing}" if hint else listing,
    )
