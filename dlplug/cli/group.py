"""Commands of two words, such as ``tune lr``."""

import importlib
from collections.abc import Mapping

from dlplug.errors import UnknownKeyError, suggestion
from dlplug.plugin import Registry

Forms = Mapping[str, tuple[str, str]]


def run_form(command: str, forms: Forms, arguments: list[str], registry: Registry) -> int:
    """Run what the second word names; returns the exit code.

    Args:
        command: The first word.
        forms: Second word -> (module with a ``main``, one line about it).
        arguments: What follows the first word.
        registry: What is installed.
    Raises:
        UnknownKeyError: There is no such form.
    """
    form, rest = (arguments or ["--help"])[0], arguments[1:]
    if form in ("-h", "--help"):
        from dlplug.cli.help_page import command_page

        usages = [f"{command} {name} [--config FILE]... [OPTION]..." for name in forms]
        about = "\n".join(f"{name}: {summary}" for name, (_, summary) in forms.items())
        print(command_page(usages, about, ()))
        return 0
    if form not in forms:
        names = [f"{command} {name}" for name in forms]
        what = f"no command '{command} {form}'"
        if form.startswith("-"):
            what = f"{command} needs a second word before {form}"
        raise UnknownKeyError(
            what,
            where="command line",
            known=", ".join(names),
            fix=suggestion(f"{command} {form}", names),
        )
    return importlib.import_module(forms[form][0]).main(rest, registry) or 0
