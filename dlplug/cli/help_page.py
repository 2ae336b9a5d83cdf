"""The help pages: what can be said on the command line, with the names that are installed."""

import shutil
import textwrap
from collections.abc import Iterable

from dlplug.cli.options import COMMON, Option
from dlplug.config.slots import SLOTS, Slot
from dlplug.plugin import CORE, Registry
from dlplug.plugin.families import folded_names
from dlplug.plugin.lookup import NAMES_SHOWN

INDENT = 22
WIDTH = 100  # of prose, in columns
PROGRAM = "python -m dlplug"


def program_page(registry: Registry) -> str:
    """``dlplug --help``: the commands."""
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...",
            "",
            "Train an architecture from a config, with plugins from pip.",
            "",
            "commands:",
            *_rows(_command_rows(registry)),
            "",
            "examples:",
            f"  {PROGRAM} fit --config configs/digits_mlp.yaml --trainer.max_epochs 5",
            f"  {PROGRAM} test --run latest",
            f"  {PROGRAM} guide",
            f"  {PROGRAM} plugins list",
            "",
            "options of every command:",
            *_rows((_usage(option), option.summary) for option in COMMON),
            "",
            f"More: {PROGRAM} COMMAND --help",
        ]
    )


def command_page(usages: Iterable[str], about: str, options: Iterable[Option]) -> str:
    """The page of a command that takes no config: ``dlplug doctor --help``.

    Args:
        usages: What follows the program's name, one line for each form.
        about: What it does.
        options: Its own options.
    """
    first, *others = (f"{PROGRAM} {usage}" for usage in usages)
    return "\n".join(
        [
            f"usage: {first}",
            *(f"       {other}" for other in others),
            "",
            _prose(about),
            "",
            "options:",
            *_rows((_usage(option), option.summary) for option in (*options, *COMMON)),
        ]
    )


def verb_page(
    verb: str, about: str, options: Iterable[Option], examples: Iterable[str], registry: Registry
) -> str:
    """``dlplug fit --help``: options, then the keys of a config with the installed names.

    Args:
        verb: The command.
        about: What it does, one sentence.
        options: Its own options.
        examples: Arguments of the example lines.
        registry: What is installed.
    """
    return "\n".join(
        [
            f"usage: {PROGRAM} {verb} [--config FILE]... [--KEY VALUE]... [OPTION]...",
            "",
            _prose(about),
            "",
            "examples:",
            *(f"  {PROGRAM} {verb} {example}" for example in examples),
            "",
            "options:",
            *_rows((_usage(option), option.summary) for option in (*options, *COMMON)),
            "",
            "config keys, in a file as 'KEY: NAME' or 'KEY: {name: NAME, ARGUMENT: VALUE}',",
            "here as '--KEY NAME' and '--KEY.ARGUMENT VALUE':",
            *(line for slot in SLOTS.values() for line in _slot_lines(slot, registry)),
            "",
            "'--callbacks+ NAME' appends to a list, '--callbacks.NAME.ARGUMENT VALUE' changes an",
            "element, '--scheduler null' empties a slot. Arguments, with types and defaults:",
            f"  {PROGRAM} {verb} --architecture.help NAME",
            f"  {PROGRAM} {verb} --trainer.help",
        ]
    )


def _prose(about: str) -> str:
    return "\n".join(textwrap.fill(line, WIDTH) for line in about.splitlines())


def names_line(kind: str, registry: Registry) -> str:
    """The names of a kind that can be used, at most `NAMES_SHOWN`."""
    names = folded_names(registry.components(kind), registry.names(kind))
    shown = ", ".join(names[:NAMES_SHOWN]) or "none installed"
    more = len(names) - NAMES_SHOWN
    return f"{shown}, and {more} more: {PROGRAM} plugins list --kind {kind}" if more > 0 else shown


def _command_rows(registry: Registry) -> list[tuple[str, str]]:
    """Name and summary of each command: built-in ones in their order, then those of plugins."""
    names = set(registry.names("commands"))
    entries = [e for p in registry.plugins() for e in p.entries if e.kind == "commands"]
    rows = []
    for entry in entries:
        # An ambiguous name is shown as its id, which works.
        for name in names & {entry.name, entry.id}:
            provider = "" if entry.distribution == CORE else f" ({entry.provider})"
            rows.append((name, entry.summary + provider))
    return rows


def _usage(option: Option) -> str:
    return f"{option.flag} {option.value}" if option.value else option.flag


def _slot_lines(slot: Slot, registry: Registry) -> list[str]:
    default = slot.default
    if isinstance(default, list):
        default = ", ".join(default)
    about = slot.summary + (f"; default {default}" if default not in (None, "", {}) else "")
    lines = _rows([(f"--{slot.name}", about)])
    if slot.kind:
        lines += _wrapped(f"one of: {names_line(slot.kind, registry)}")
    return lines


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for left, right in rows:
        head = f"  {left:<{INDENT - 3}} "
        if len(head) > INDENT:
            lines.append(head.rstrip())
            lines += _wrapped(right)
        else:
            first, *rest = _wrapped(right) or [""]
            lines += [head + first.lstrip(), *rest]
    return lines


def _wrapped(text: str) -> list[str]:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    pad = " " * INDENT
    return textwrap.wrap(text, max(width, 60), initial_indent=pad, subsequent_indent=pad)
