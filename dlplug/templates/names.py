"""The names of a new plugin, all made of one, and why one may not be taken."""

import importlib.util
import keyword
import re
from dataclasses import dataclass

from dlplug.errors import InvalidValueError
from dlplug.plugin import KINDS, Registry, kind_of
from dlplug.plugin.distributions import is_installed
from dlplug.plugin.lookup import providers
from dlplug.plugin.names import normalised

LONGEST = 30
"""Characters; a longer one would not fit into the lines of the templates."""
WELL_FORMED = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """What a new plugin calls itself.

    Attributes:
        kind: Plural.
        distribution: As pip knows it, ``acme-net``.
    """

    kind: str
    distribution: str

    @property
    def package(self) -> str:
        """As Python imports it, ``acme_net``; the component's name in configs as well."""
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """``AcmeNet``."""
        return "".join(part.capitalize() for part in self.distribution.split("-"))


def checked_names(word: str, name: str, registry: Registry) -> Names:
    """The names of a new plugin.

    Args:
        word: Its kind, in either form.
        name: As the author wrote it.
        registry: Knows which names are taken.
    Raises:
        InvalidValueError: the name cannot be used, or is somebody else's.
    """
    kind, distribution = kind_of(word).plural, normalised(name)
    names = Names(kind, distribution)
    if problem := _problem(names, registry):
        raise InvalidValueError(
            f"a plugin cannot be called {name!r}: {problem}",
            where="command line",
            known="letters, digits and single dashes, beginning with a letter, such as acme-net",
            fix=f"put your own name before it: {_free_name(names, registry)}",
        )
    return names


def _free_name(names: Names, registry: Registry) -> str:
    """The name behind somebody's own; behind the kind's word where it cannot be kept."""
    own = Names(names.kind, f"acme-{names.distribution}")
    return f"acme-{KINDS[names.kind].singular}" if _problem(own, registry) else own.distribution


def _problem(names: Names, registry: Registry) -> str | None:
    if not WELL_FORMED.fullmatch(names.distribution):
        return "it is not made of words of letters and digits"
    if len(names.distribution) > LONGEST:
        return f"it has more than {LONGEST} characters"
    if keyword.iskeyword(names.package) or keyword.issoftkeyword(names.package):
        return f"{names.package!r} is a word of Python"
    own = normalised(names.package)
    taken = [c for c in registry.components(names.kind) if normalised(c.name) == own]
    if taken:
        return f"there is one of that name: {providers(taken)}"
    if names.distribution in [plugin.name for plugin in registry.plugins()]:
        return "a plugin of that name is installed"
    if importlib.util.find_spec(names.package) is not None:
        return f"Python has a module {names.package!r} already"
    if is_installed(names.distribution):
        return "a distribution of that name is installed, which pip would replace"
    return None
