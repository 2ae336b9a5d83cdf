"""``dlplug plugins check DIST``: the conformance kit on one distribution."""

import shlex

from dlplug.cli.answer import print_json
from dlplug.cli.options import JSON, Option, Parsed
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry, kind_of
from dlplug.plugin.component import HOOKS_KIND

ABOUT = (
    "Everything that a distribution offers against the rules of a good component: it builds from\n"
    "a config, trains, is saved and loaded, compiles, exports. Exit code 1 where a rule is broken."
)
OPTIONS = (
    Option("kind", "only components of this kind; may be repeated", "KIND", True),
    Option("examples", "a file of examples, where the package brings none", "FILE"),
    JSON,
)


def plural_of(word: str) -> str:
    """The kind of an entry, in either form of the word; ``hooks`` is one, too.

    Raises:
        UnknownKeyError: there is no such kind.
    """
    return word if word == HOOKS_KIND else kind_of(word).plural


def main(parsed: Parsed, registry: Registry) -> int:
    """Print the verdicts; returns 1 if a rule is broken.

    Raises:
        DlplugError: there is no such distribution, nothing of it can be checked, or the examples
            are not of their form.
    """
    distribution = parsed.operand or _only_file(registry)
    kinds = [plural_of(word) for word in parsed.get("kind", ())]
    from dlplug.testing.check import check_distribution, plugin_named
    from dlplug.testing.verdict import report_data, report_text

    plugin = plugin_named(registry, distribution)
    verdicts = check_distribution(registry, plugin.name, parsed.get("examples"), kinds)
    answer = report_data(plugin.name, plugin.version, verdicts)
    if parsed.get("json"):
        print_json(answer)
    else:
        print(report_text(plugin.name, plugin.version, verdicts))
    return 0 if answer["ok"] else 1


def _only_file(registry: Registry) -> str:
    """The plugin file that ``--plugin`` names, which needs no DIST beside it.

    Raises:
        InvalidValueError: there is none, or several.
    """
    files = [plugin.name for plugin in registry.plugins() if plugin.file]
    if len(files) == 1:
        return files[0]
    commands = [shlex.join(["plugins", "check", name, *registry.options()]) for name in files] or [
        "plugins check acme-net"
    ]
    raise InvalidValueError(
        "plugins check needs a DIST",
        where="command line",
        known=", ".join(plugin.name for plugin in registry.plugins()),
        fix=", or ".join(commands),
    )
