"""What may stand at the end of a command line, given the words before it."""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from dlplug.cli.dispatch import PLUGIN_OPTIONS, take_plugin_options
from dlplug.cli.group import Forms
from dlplug.cli.options import COMMON, JSON, Option
from dlplug.plugin import KINDS, Registry, Status

YAML = (".yaml", ".yml")
RUNS = "runs"


@dataclass(frozen=True)
class Candidate:
    """One way to go on.

    Attributes:
        value: The whole word.
        about: One line; may be empty.
    """

    value: str
    about: str = ""


def candidates(words: list[str]) -> list[Candidate]:
    """Everything that fits, in the order in which it is shown.

    Args:
        words: Behind the program's name; the last one is being written and may be empty.
    """
    *before, current = words or [""]
    found = _Line(before, current).candidates()
    return [c for c in found if c.value.startswith(current) and c.value != ""]


class _Line:
    """A command line that is being written."""

    def __init__(self, before: list[str], current: str):
        self.current = current
        self.before = before
        # An unfinished `--block` has no name yet.
        complete = before[:-1] if before[-1:] and before[-1] in PLUGIN_OPTIONS else before
        self.words, self.options = take_plugin_options(complete)

    @cached_property
    def registry(self) -> Registry:
        registry = self.options.discover()
        registry.ask_nothing()  # the config that is named may block it
        return registry

    def candidates(self) -> Iterable[Candidate]:
        last = self.before[-1] if self.before else ""
        if last == "--plugin":
            return files(self.current, (".py",))
        if last in PLUGIN_OPTIONS:
            return self._plugin_names()
        command = self.words[0] if self.words else ""
        if not command or (command == "help" and len(self.words) == 1):
            return [*self._commands(), *_flags(COMMON)]
        if command not in self.registry.names("commands"):
            return []
        command = command.rpartition(":")[2]
        if command in ("describe", "completion"):
            return self._of_words(command)
        module = module_of(command)
        if forms := getattr(module, "FORMS", {}):
            return self._of_form(command, forms)
        return self._of_options(module)

    def _commands(self) -> Iterator[Candidate]:
        yield from self._names("commands")
        yield from (Candidate("help", "The page of a command."), Candidate("--version"))

    def _of_words(self, command: str) -> Iterable[Candidate]:
        """Commands whose first arguments are words."""
        operands = self._operands()
        if command == "completion":
            from dlplug.cli.completion import SCRIPTS

            return [] if operands else map(Candidate, SCRIPTS)
        if not operands:
            return [Candidate(kind.singular, kind.summary) for kind in KINDS.values()]
        words = {word for kind in KINDS.values() for word in (kind.plural, kind.singular)}
        is_kind = len(operands) == 1 and operands[0] in words
        names = self._names(operands[0]) if is_kind else []
        return [*names, *_flags((JSON, *COMMON))]

    def _of_form(self, command: str, forms: Forms) -> Iterable[Candidate]:
        """Commands of two words."""
        operands = self._operands()
        form = forms.get(operands[0]) if operands else None
        if form is None:
            return [Candidate(name, form.about) for name, form in forms.items()]
        if form.options is None:
            return self._of_options(importlib.import_module(form.module))
        if (values := self._values(form.options)) is not None:
            return values
        takes_more = len(operands) <= form.num_operands
        named = {"plugins": self._plugin_names, "runs": run_names}.get(command, tuple)
        if form.target == "dlplug.cli.plugins_choice:print_allowed":
            named = disabled_names
        return [*(named() if takes_more else ()), *_flags((*form.options, *COMMON))]

    def _operands(self) -> list[str]:
        return [word for word in self.words[1:] if not word.startswith("-")]

    def _of_options(self, module: ModuleType | None) -> Iterable[Candidate]:
        """Commands that take options, and keys of a config where they train or evaluate."""
        options = getattr(module, "OPTIONS", ())
        takes_config = any(option.name == "config" for option in options)
        if (values := self._values(options)) is not None:
            return values
        if not takes_config:
            return _flags((*options, *COMMON))
        from dlplug.cli.config_keys import ConfigKeys

        keys = ConfigKeys(self.words[1:], self.registry)
        if (slot_values := keys.values(self.before[-1], self.current)) is not None:
            return [Candidate(*pair) for pair in slot_values]
        return [*_flags((*options, *COMMON)), *(Candidate(*p) for p in keys.keys(self.current))]

    def _values(self, options: Iterable[Option]) -> list[Candidate] | None:
        """Values of the option before the cursor or the equals sign; None when there is none."""
        flag, has_value, text = self.current.partition("=")
        prefix = f"{flag}=" if has_value else ""
        if not has_value:
            flag, text = (self.before[-1] if self.before else ""), self.current
        option = next((o for o in options if o.flag == flag and o.value), None)
        if option is None:
            return None
        is_config = option.name == "config"
        found = files(text, YAML) if is_config else self._of_word(option.value, text)
        return [Candidate(prefix + c.value, c.about) for c in found]

    def _of_word(self, word: str, text: str) -> Iterable[Candidate]:
        """Values by what an option's help page calls them."""
        parts = word.split("|")
        found = [Candidate(part) for part in parts if part.islower()]
        if "RUN" in parts:
            found += run_names()
        elif word == "KIND":
            found += [Candidate(kind.plural, kind.summary) for kind in KINDS.values()]
        elif word == "PRESET":
            found += self._names("presets")
        elif word == "STATUS":
            found += [Candidate(str(status)) for status in Status]
        elif word.startswith("FILE"):
            suffix = word.removeprefix("FILE")
            found += files(text, (suffix,) if suffix else ())
        return found

    def _names(self, kind: str) -> list[Candidate]:
        from dlplug.cli.config_keys import names_of

        return [Candidate(*pair) for pair in names_of(self.registry, kind, self.current)]

    def _plugin_names(self) -> Iterator[Candidate]:
        yield from (Candidate(p.name, p.summary) for p in self.registry.plugins())
        for component in self.registry.components():
            yield Candidate(component.name, component.summary)


def module_of(command: str) -> ModuleType | None:
    """The module of a built-in command that holds its options; None for a plugin's."""
    home = {"validate": "evaluation", "test": "evaluation"}.get(command, command)
    try:
        return importlib.import_module(f"dlplug.cli.{home}")
    except ImportError:
        return None


def files(text: str, suffixes: tuple[str, ...] = ()) -> Iterator[Candidate]:
    """Files and folders that begin with ``text``; hidden ones only behind a dot."""
    folder, slash, start = text.rpartition("/")
    base = Path(folder + slash).expanduser()
    try:
        entries = sorted(base.iterdir()) if base.is_dir() else []
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(start) or (entry.name[0] == "." and not start):
            continue
        if entry.is_dir():
            yield Candidate(f"{folder}{slash}{entry.name}/")
        elif not suffixes or entry.suffix in suffixes:
            yield Candidate(f"{folder}{slash}{entry.name}")


def run_names() -> Iterator[Candidate]:
    """``latest``, each name, which means its newest run, and each run."""
    folders = sorted(p for p in Path(RUNS).iterdir() if p.is_dir()) if Path(RUNS).is_dir() else []
    yield from [Candidate("latest", "the newest of all")] if folders else []
    for folder in folders:
        yield Candidate(folder.name, "its newest run")
    for folder in folders:
        numbers = sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())
        yield from (Candidate(f"{RUNS}/{folder.name}/{number}") for number in numbers)


def disabled_names() -> Iterator[Candidate]:
    """What `plugins disable` was told, which `plugins allow` undoes."""
    from dlplug.plugin.choices import DISABLED, read_choices

    return (Candidate(name) for name in read_choices()[DISABLED])


def _flags(options: Iterable[Option]) -> Iterator[Candidate]:
    return (Candidate(option.flag, option.summary) for option in options)
