"""``dlplug describe KIND [NAME]``: what a component is, and how it is used."""

import shutil

from dlplug.cli.answer import print_json
from dlplug.cli.options import JSON, Parsed, parse
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug.plugin import KINDS, Registry, kind_of
from dlplug.plugin.spec import PRESETS

USAGES = ("describe KIND", "describe KIND NAME [OPTION]...")
ABOUT = (
    "KIND alone lists its components. With a NAME, all about that one, which is imported: its\n"
    "arguments with types and defaults, papers, what it reached, configs that use it, a command.\n"
    f"KIND is one of: {', '.join(kind.singular for kind in KINDS.values())}."
)
OPTIONS = (JSON,)


def main(arguments: list[str], registry: Registry) -> int:
    """Describe a kind or a component; returns the exit code."""
    parsed = parse(arguments, OPTIONS, num_operands=2)
    if parsed.get("help"):
        from dlplug.cli.help_page import command_page

        print(command_page(USAGES, ABOUT, OPTIONS))
        return 0
    if not parsed.operands:
        raise InvalidValueError(
            "describe needs a kind of component",
            where="command line",
            known=", ".join(kind.singular for kind in KINDS.values()),
            fix="describe architecture vit",
        )
    kind = _kind(parsed.operands, registry)
    if len(parsed.operands) == 1:
        _list_kind(kind, registry, bool(parsed.get("json")))
        return 0
    if kind == PRESETS:
        return _show_preset(parsed, registry)
    from dlplug.cli.component_help import component_data, component_text

    registry.load_hooks()
    data = component_data(kind, parsed.operands[1], registry)
    if parsed.get("json"):
        print_json(data)
    else:
        print(component_text(data))
    return 0


def _kind(operands: list[str], registry: Registry) -> str:
    """The plural; a component's name in its place is told from a misspelt kind."""
    word = operands[0]
    try:
        return kind_of(word).plural
    except UnknownKeyError as error:
        named = [c for kind in KINDS for c in registry.components(kind)] if not operands[1:] else []
        hint = suggestion(word, [*KINDS, *(c.name for c in named)])
        found = next((c for c in named if hint == f"did you mean '{c.name}'?"), None)
        if found is None:
            raise
        command = f"describe {KINDS[found.kind].singular} {found.name}"
        what = f"{word!r} is no kind of component"
        raise UnknownKeyError(
            what, where="command line", known=error.known, fix=f"did you mean '{command}'?"
        ) from None


def _show_preset(parsed: Parsed, registry: Registry) -> int:
    preset = registry.find(PRESETS, parsed.operands[1], where="command line")
    path = preset.load(where="command line")
    text = path.read_text(encoding="utf-8")
    if parsed.get("json"):
        print_json({"kind": PRESETS, "id": preset.id, "file": str(path), "text": text})
    else:
        print(f"preset '{preset.name}' of {preset.provider}: {path}\n\n{text.rstrip()}")
        print(f"\ntry: python -m dlplug fit --preset {preset.id}")
    return 0


def _list_kind(kind: str, registry: Registry, as_json: bool) -> None:
    from dlplug.plugin import listing

    entries = registry.components(kind)
    if as_json:
        print_json({"kind": kind, "components": [listing.entry_data(e) for e in entries]})
        return
    width = shutil.get_terminal_size((100, 24)).columns
    print(listing.table(entries, width) if entries else f"no {kind} are installed")
    if note := listing.fold_note(entries):
        print(f"\n{note}")
    print(f"\nabout one: python -m dlplug describe {KINDS[kind].singular} NAME")
