"""Commands of two words, such as ``tune lr`` and ``runs list``."""

import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dlplug.cli.options import HELP, Option, parse
from dlplug.errors import UnknownKeyError, suggestion
from dlplug.plugin import Registry


class Form(NamedTuple):
    """What a second word stands for.

    Attributes:
        target: ``module:function``, imported when it is run; returns the exit code, or None for 0.
        about: What it does.
        usage: What follows the two words.
        options: Its own; the function then gets what `parse` made of the arguments, and the
            registry. None where it reads the arguments itself, as forms that take a config do.
        num_operands: How many arguments without dashes it takes at most.
    """

    target: str
    about: str
    usage: str = "[--config FILE]... [OPTION]..."
    options: tuple[Option, ...] | None = None
    num_operands: int = 0

    @property
    def module(self) -> str:
        """Where the function is."""
        return self.target.partition(":")[0]

    def load(self) -> Callable[..., int | None]:
        """The function."""
        return getattr(importlib.import_module(self.module), self.target.partition(":")[2])


Forms = Mapping[str, Form]


def run_form(command: str, forms: Forms, arguments: list[str], registry: Registry) -> int:
    """Run what the second word names, or print a help page; returns the exit code.

    Args:
        command: The first word.
        forms: By second word.
        arguments: What follows the first word.
        registry: What is installed.
    Raises:
        UnknownKeyError: There is no such form.
    """
    from dlplug.cli.help_page import command_page

    word, rest = (arguments or HELP)[0], arguments[1:]
    if word in HELP:
        usages = [f"{command} {name} {form.usage}" for name, form in forms.items()]
        about = "\n".join(f"{name}: {form.about}" for name, form in forms.items())
        print(command_page(usages, about, ()))
        return 0
    if word not in forms:
        raise _unknown(command, word, forms)
    form = forms[word]
    if form.options is None:
        return form.load()(rest, registry) or 0
    parsed = parse(rest, form.options, num_operands=form.num_operands)
    if parsed.get("help"):
        print(command_page([f"{command} {word} {form.usage}"], form.about, form.options))
        return 0
    return form.load()(parsed, registry) or 0


def _unknown(command: str, word: str, forms: Forms) -> UnknownKeyError:
    names = [f"{command} {name}" for name in forms]
    what = f"no command '{command} {word}'"
    if word.startswith("-"):
        what = f"{command} needs a second word before {word}"
    return UnknownKeyError(
        what,
        where="command line",
        known=", ".join(names),
        fix=suggestion(f"{command} {word}", names),
    )
