"""``dlplug plugins disable NAME`` and ``plugins allow NAME``: what is not used, for good."""

from dlplug.cli.answer import print_json
from dlplug.cli.options import Parsed
from dlplug.errors import InvalidValueError
from dlplug.plugin import CORE, Registry
from dlplug.plugin.choices import choices_file, disable, enable
from dlplug.plugin.component import HOOKS_KIND
from dlplug.plugin.control import Rule, check_names

COMMAND = "plugins"


def print_disabled(parsed: Parsed, registry: Registry) -> None:
    """Disable a distribution, a component's name or an id; says what that takes away.

    Raises:
        PluginError: nothing installed has that name.
        InvalidValueError: no name, or that of the command which undoes it.
    """
    name = _name(parsed, "disable")
    rule = Rule("command line", True, (name,))
    registry.check_rules([rule])
    _require_offered(rule, registry)
    if rule.objection(CORE, COMMAND):
        raise InvalidValueError(
            f"disabling {name!r} would take away 'plugins allow', which undoes it",
            where="command line",
            fix="disable what you mean by its id: plugins list shows them",
        )
    touched = [e.id for e in registry.entries() if rule.objection(e.distribution, e.name)]
    names = disable(name)
    ids = ", ".join(dict.fromkeys(touched)) or f"what {name} offers"
    _answer(parsed, names, f"disabled {name}: {ids}; undo it: plugins allow {name}")


def print_allowed(parsed: Parsed, registry: Registry) -> None:
    """Undo `print_disabled`.

    Raises:
        PluginError: the name is not disabled.
    """
    name = _name(parsed, "allow")
    _answer(parsed, enable(name), f"{name} is no longer disabled")


def _require_offered(rule: Rule, registry: Registry) -> None:
    """Refuse an id that a module of hooks might have offered, where it is known not to."""
    entries = registry.entries()
    if not registry.names_are_known():
        return
    known = [(e.distribution, e.name) for e in entries]
    known += [(plugin.name, "") for plugin in registry.plugins()]
    # Nobody has asked those that are disabled already.
    silent = [(e.distribution, e.name) for e in entries if e.kind == HOOKS_KIND and e.refuses]
    check_names([rule], known, silent)


def _name(parsed: Parsed, form: str) -> str:
    if not parsed.operand:
        raise InvalidValueError(
            f"plugins {form} needs a NAME", where="command line", fix=f"plugins {form} acme-losses"
        )
    return parsed.operand


def _answer(parsed: Parsed, names: list[str], text: str) -> None:
    if parsed.get("json"):
        print_json({"disabled": names, "file": str(choices_file())})
    else:
        print(f"{text}\n{choices_file()}: {', '.join(names) or 'nothing is disabled'}")
