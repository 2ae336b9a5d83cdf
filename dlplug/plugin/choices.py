"""What the user has decided for good: a file that belongs to the user, not to a project.

It holds the plugins that he has disabled and the plugin files that he has named. ``plugins disable
NAME`` is a ``--block NAME`` that lasts. It is about strangers' code under one's own account, so it
stands in the user's config folder and holds in every project and environment; a project's own rules
stand in its configs (``plugins: {block: [...]}``), where others see them. A name of what is not
installed here does nothing.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlplug.errors import PluginError, suggestion
from dlplug.plugin.control import Rule
from dlplug.plugin.locks import locked
from dlplug.plugin.names import comparable

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
    content = _content()
    return {key: content.get(key, []) for key in KEYS}


def _content() -> dict[str, Any]:
    """All that the file holds, also what a later dlplug has written."""
    try:
        path = choices_file()
        content = json.loads(path.read_text(encoding="utf-8"))
        for key in KEYS:
            words = content.get(key, [])
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError(f"{key!r} is no list of words")
        return content
    except (FileNotFoundError, NotADirectoryError, PluginError):
        return {key: [] for key in KEYS}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise PluginError(
            f"cannot read which plugins you disabled: {type(error).__name__}: {error}",
            where=str(path),
            fix=f'correct it to {{"{DISABLED}": ["NAME"]}}, or delete it',
        ) from error


def change_choices(key: str, change: Callable[[list[str]], list[str]]) -> list[str]:
    """Let ``change`` make a new list of one of the lists; the others stay.

    Two processes that do so at once do it one after the other.

    Returns:
        The new list.
    Raises:
        PluginError: the file cannot be read or written.
    """
    path = choices_file()
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            content = _content()
            changed = change(list(content.get(key, [])))
            if changed != content.get(key, []):
                text = json.dumps(content | {key: changed}, indent=1) + "\n"
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise PluginError(
            f"cannot write your choice: {error.strerror}",
            where=str(path),
            fix="make it writable, or set XDG_CONFIG_HOME to a folder that is",
        ) from error
    return changed


def lasting_rules() -> list[Rule]:
    """What is disabled, as `dlplug.plugin.control` has it."""
    names = tuple(read_choices()[DISABLED])
    return [Rule("plugins disable", True, names, undo=ALLOW)] if names else []


def disable(name: str) -> list[str]:
    """Add a name, which the caller has checked; returns all that is disabled, sorted."""
    return change_choices(DISABLED, lambda names: sorted([*_without(name, names), name]))


def enable(name: str) -> list[str]:
    """Take a name out; returns what is still disabled.

    Raises:
        PluginError: it does not stand there.
    """

    def taken_out(names: list[str]) -> list[str]:
        left = _without(name, names)
        if left == names:
            raise PluginError(
                f"{name!r} is not disabled",
                where=str(choices_file()),
                known=", ".join(names) or "nothing is disabled",
                fix=suggestion(name, names),
            )
        return left

    return change_choices(DISABLED, taken_out)


def _without(name: str, names: list[str]) -> list[str]:
    """The others; a name has several spellings."""
    return [known for known in names if comparable(known) != comparable(name)]
