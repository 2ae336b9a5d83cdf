"""``dlplug plugins list`` and ``dlplug plugins info NAME``: what is installed, in what state."""

import shutil
from contextlib import suppress

from dlplug.cli.answer import print_json
from dlplug.cli.group import Form, run_form
from dlplug.cli.options import JSON, Option, Parsed
from dlplug.cli.plugins_check import ABOUT as CHECK_ABOUT
from dlplug.cli.plugins_check import OPTIONS as CHECK_OPTIONS
from dlplug.cli.plugins_check import plural_of
from dlplug.errors import (
    InvalidValueError,
    PluginError,
    UnknownComponentError,
    suggestion,
)
from dlplug.plugin.absent import absent_fix
from dlplug.plugin.component import HOOKS_KIND, Component
from dlplug.plugin.names import normalised, split_id
from dlplug.plugin.registry import Registry
from dlplug.plugin.renames import Rename
from dlplug.plugin.spec import CORE, KINDS
from dlplug.plugin.status import Status

DEFAULT_WIDTH = 100
"""Columns of the table where the output is no terminal."""

LIST_ABOUT = "Every component with its status, and what is wrong; imports nothing without --load."
INFO_ABOUT = (
    "All about one component (name or distribution:name) or distribution, which is imported."
)
DISABLE_ABOUT = "Do not use a distribution or component, in every project, until it is allowed."
ALLOW_ABOUT = "Use what was disabled again."
KIND = Option("kind", f"only one of: {', '.join([*KINDS, HOOKS_KIND])}", "KIND")
LIST_OPTIONS = (
    KIND,
    Option("name", "only names that hold it, or that fit a pattern: 'timm.*'", "NAME"),
    Option("status", f"only one of: {', '.join(Status)}", "STATUS"),
    Option("load", "import all, to see what fails"),
    JSON,
)
FORMS = {
    "list": Form("dlplug.cli.plugins:print_list", LIST_ABOUT, "[OPTION]...", LIST_OPTIONS),
    "info": Form("dlplug.cli.plugins:print_info", INFO_ABOUT, "NAME [OPTION]...", (KIND, JSON), 1),
    "check": Form(
        "dlplug.cli.plugins_check:main", CHECK_ABOUT, "[DIST] [OPTION]...", CHECK_OPTIONS, 1
    ),
    "lock": Form("dlplug.cli.plugins_lock:main", "Write or verify plugins.lock."),
    "disable": Form(
        "dlplug.cli.plugins_choice:print_disabled", DISABLE_ABOUT, "NAME [OPTION]...", (JSON,), 1
    ),
    "allow": Form(
        "dlplug.cli.plugins_choice:print_allowed", ALLOW_ABOUT, "NAME [OPTION]...", (JSON,), 1
    ),
}


def main(argv: list[str], registry: Registry) -> int:
    """Run ``plugins`` with its arguments; prints to standard output.

    Args:
        argv: What follows ``plugins`` on the command line.
        registry: As discovered; ``list --load``, ``info`` and ``check`` import from it.
    Returns:
        The exit code: 0, or 1 where ``check`` found a broken rule.
    Raises:
        DlplugError: the arguments are wrong or a name is unknown; exit code 2.
    """
    return run_form("plugins", FORMS, argv, registry)


def print_list(parsed: Parsed, registry: Registry) -> None:
    """Print every component with its status, then the problems."""
    from dlplug.plugin import listing

    kind, status, pattern = _kind(parsed), _status(parsed), parsed.get("name")
    if pattern == "":
        raise InvalidValueError("the pattern is empty", where="--name", fix="--name 'timm.*'")
    if parsed.get("load"):
        load_everything(registry)

    def is_selected(entry: Component) -> bool:
        return kind in (None, entry.kind) and status in (None, entry.status)

    entries = list(filter(is_selected, registry.entries()))
    problems = list(filter(is_selected, registry.problems()))
    if pattern is not None:
        entries, problems = (listing.matching(found, pattern) for found in (entries, problems))
    plugins = registry.plugins()
    if parsed.get("json"):
        data = {
            "components": [listing.entry_data(entry) for entry in entries],
            "plugins": [listing.plugin_data(plugin) for plugin in plugins],
            "problems": [listing.entry_data(entry) for entry in problems],
        }
        print_json(data)
        return
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    folds = pattern is None
    print(listing.table(entries, width, folds) if entries else "nothing matches")
    if folds and (note := listing.fold_note(entries)):
        print(f"\n{note}")
    if report := listing.problem_report(problems, [] if kind or status or pattern else plugins):
        print(f"\nproblems\n{report}")


def print_info(parsed: Parsed, registry: Registry) -> None:
    """Print everything known about the components and the distribution of one name."""
    from dlplug.plugin import description, listing

    name, kind = parsed.operand, _kind(parsed)
    if not name:
        raise InvalidValueError(
            "plugins info needs a NAME", where="command line", fix="plugins info focal"
        )
    plugins = [p for p in registry.plugins() if p.name == normalised(name) and not kind]
    entries = _named(registry, name, kind)
    if (not plugins and not entries) or any(entry.is_recalled for entry in entries):
        registry.load_hooks()  # what a name of a family means is known to its hook only
        entries = _named(registry, name, kind)
    if not plugins and not entries:
        raise _unknown(registry, name, kind)
    found = {
        "components": [description.describe_component(entry) for entry in entries],
        "plugins": [listing.plugin_data(plugin) for plugin in plugins],
    }
    if parsed.get("json"):
        print_json(found)
        return
    texts = [description.component_text(data) for data in found["components"]]
    texts += [description.plugin_text(data) for data in found["plugins"]]
    print("\n\n".join(texts))


def load_everything(registry: Registry) -> None:
    """Import every hook and component that may be imported; failures become statuses."""
    registry.load_hooks()
    # dlplug's own come first, so that no plugin is held slow for what all of them import.
    for entry in sorted(registry.components(), key=lambda entry: entry.distribution != CORE):
        if not entry.refuses:
            with suppress(PluginError):
                entry.load()


def _kind(parsed: Parsed) -> str | None:
    """Plural of ``--kind``, which takes either form of the word."""
    word = parsed.get("kind")
    return None if word is None else plural_of(word)


def _status(parsed: Parsed) -> Status | None:
    word = parsed.get("status")
    try:
        return word and Status(word)
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
    kinds = (kind,) if kind else (*KINDS, HOOKS_KIND)
    entries = [entry for entry in registry.entries() if entry.kind in kinds]
    found = [e for e in entries if e.name == short and owner in (None, e.distribution)]
    for entry in entries if not found else ():
        if entry.id in registry.renames.successors(entry.kind, name):
            word = KINDS[entry.kind].singular
            registry.renames.tell(Rename(word, name, entry.name), "command line")
            found.append(entry)
    return found


def _unknown(registry: Registry, name: str, kind: str | None) -> UnknownComponentError:
    kinds = (kind,) if kind else (*KINDS, HOOKS_KIND)
    entries = [entry for entry in registry.entries() if entry.kind in kinds]
    plugins = [plugin.name for plugin in registry.plugins()]
    ids = [entry.id for entry in entries]
    words = ids if ":" in name else [*plugins, *(entry.name for entry in entries)]
    listing = "list all: python -m dlplug plugins list"
    hint = suggestion(name, words) or ("" if ":" in name else absent_fix(name, plugins))
    return UnknownComponentError(
        f"no component or distribution named {name!r}",
        known=f"distributions: {', '.join(plugins)}",
        fix=f"{hint}{'' if hint.endswith('?') else ';'} {listing}" if hint else listing,
    )
