"""What the user has decided for good: a file that belongs to the user, not to a project.

It holds the plugins that he has disabled and the plugin files that he has named. ``plugins disable
NAME`` is a ``--block NAME`` that lasts. It is about strangers' code under one's own account, so it
stands in the user's config folder and holds in every project and environment; a project's own rules
stand in its configs (``plugins: {block: [...]}``), where others see them. A name of what is not
installed here does nothing.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from dlplug.errors import PluginError, suggestion
from dlplug.plugin.control import Rule

DISABLED, FILES = "disabled", "files"
KEYS = (DISABLED, FILES)
ALLOW = "python -m dlplug plugins allow"


def choices_file() -> Path:
    """``$XDG_CONFIG_HOME/dlplug/plugins.json``, by default in ``~/.config``.

    Raises:
        PluginError: the user has no home folder.
    """
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification says to ignore a relative folder.
    base = Path(folder) if os.path.isabs(folder) else Path(os.path.expanduser("~/.config"))
    if not base.is_absolute():
        raise PluginError("there is no home folder for your choice", fix="set XDG_CONFIG_HOME")
    return base / "dlplug" / "plugins.json"


def read_choices() -> dict[str, list[str]]:
    """Lists of ``disabled`` names and of ``files``; empty ones without a file.

    Raises:
        PluginError: the file is damaged; using what it may forbid would be worse.
    """
    try:
        path = choices_file()
        content = json.loads(path.read_text(encoding="utf-8"))
        choices = {key: content.get(key, []) for key in KEYS}
        for key, words in choices.items():
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError(f"{key!r} is no list of words")
        return choices
    except (FileNotFoundError, NotADirectoryError, PluginError):
        return {key: [] for key in KEYS}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise PluginError(
            f"cannot read which plugins you disabled: {type(error).__name__}: {error}",
            where=str(path),
            fix=f'correct it to {{"{DISABLED}": ["NAME"]}}, or delete it',
        ) from error


def write_choices(changed: Mapping[str, list[str]]) -> None:
    """Write lists that take the place of what was there; the others stay.

    Raises:
        PluginError: the file cannot be read or written.
    """
    path = choices_file()
    content = read_choices() | changed
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise PluginError(f"cannot write your choice: {error.strerror}", where=str(path)) from error


def lasting_rules() -> list[Rule]:
    """What is disabled, as `dlplug.plugin.control` has it."""
    names = tuple(read_choices()[DISABLED])
    return [Rule("plugins disable", True, names, undo=ALLOW)] if names else []


def disable(name: str) -> list[str]:
    """Add a name, which the caller has checked; returns all that is disabled, sorted."""
    names = sorted({*read_choices()[DISABLED], name})
    write_choices({DISABLED: names})
    return names


def enable(name: str) -> list[str]:
    """Take a name out; returns what is still disabled.

    Raises:
        PluginError: it does not stand there.
    """
    names = read_choices()[DISABLED]
    if name not in names:
        raise PluginError(
            f"{name!r} is not disabled",
            where=str(choices_file()),
            known=", ".join(names) or "nothing is disabled",
            fix=suggestion(name, names),
        )
    names.remove(name)
    write_choices({DISABLED: names})
    return names
