"""Which plugin files a config may name: those that the user has named himself.

A config may come from anywhere, and a plugin file is code. So a path in a config counts only when
the user gave that very path to ``--plugin`` once, which is remembered beside what he disabled, or
when it was passed on by the process that started this one.
"""

import os
import shlex
from contextlib import suppress
from pathlib import Path

from dlplug.errors import PluginError, UntrustedError
from dlplug.plugin.choices import FILES, change_choices, read_choices
from dlplug.plugin.files import entered


def accept_file(file: str | Path) -> None:
    """Remember that the user named a file; where that cannot be written he is asked again."""
    path = os.path.realpath(file)

    def with_path(accepted: list[str]) -> list[str]:
        return accepted if path in accepted else [*filter(os.path.exists, accepted), path]

    with suppress(PluginError):
        change_choices(FILES, with_path)


def require_accepted(file: str | Path, where: str) -> None:
    """Refuse a file that the user has not named.

    Raises:
        UntrustedError: he has not.
    """
    path = os.path.realpath(file)
    passed_on = [os.path.realpath(known) for known, _ in entered().values()]
    if path not in passed_on and path not in read_choices()[FILES]:
        raise UntrustedError(
            f"this config wants to run the code of '{file}'",
            where=where,
            fix=f"if you trust it, say so once: --plugin {shlex.quote(str(file))}",
        )
