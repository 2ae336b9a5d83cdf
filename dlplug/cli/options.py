"""Splitting a command's arguments into its options and config overrides, in any order."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: Without the dashes.
        summary: One line for the help page.
        value: What its value is called, such as ``FILE``; None for an option without one.
        is_repeated: Whether it can be given several times.
        elsewhere: What does the same for a command that does not take it; empty if nothing does.
    """

    name: str
    summary: str
    value: str | None = None
    is_repeated: bool = False
    elsewhere: str = ""

    @property
    def flag(self) -> str:
        """``--name``."""
        return f"--{self.name}"


JSON = Option("json", "print one JSON object as the last line")
# What every command takes, read before the command itself.
COMMON = (
    Option("block", "do not use this plugin or component; may be repeated", "NAME", True),
    Option("allow", "use no plugins but this one; may be repeated", "NAME", True),
    Option("plugin", "a Python file or folder with components; may be repeated", "FILE.py", True),
    Option("strict", "any problem of any plugin is an error"),
    Option("traceback", "show where in the program an error arose"),
    Option("help", "show this page"),
)
COMPARES = "plugins lock --check compares without a training"
RESUME = Option(
    "resume",
    "auto: go on with the newest unfinished run of this name, else start one; RUN: go on with"
    " it under the config given here",
    "auto|RUN",
)
LOCKED = Option(
    "locked",
    "refuse code that is not what plugins.lock, or the run that goes on, says",
    elsewhere=COMPARES,
)
LOCK_FILE = Option(
    "lock", "as --locked, with another file than plugins.lock", "FILE", False, COMPARES
)
# What only a training takes, and is asked of other commands.
OF_FIT = (RESUME, LOCKED, LOCK_FILE)


@dataclass
class Parsed:
    """What a command was told.

    Attributes:
        options: Given options by name: a string, True for one without a value, or a list.
        overrides: Pairs of dotted key and text.
        operands: The arguments without dashes, where the command takes any.
    """

    options: dict[str, str | bool | list[str]] = field(default_factory=dict)
    overrides: list[tuple[str, str]] = field(default_factory=list)
    operands: list[str] = field(default_factory=list)

    @property
    def operand(self) -> str | None:
        """The first argument without dashes; None if there is none."""
        return self.operands[0] if self.operands else None

    def get(self, name: str, default: object = None):
        """The option's value, or ``default`` when it was not given."""
        return self.options.get(name, default)

    def number(self, name: str, default: float | None = None, kind: type = int):
        """The option's value as a number, or ``default`` when it was not given.

        Raises:
            InvalidValueError: It is none.
        """
        text = self.get(name)
        if text is None:
            return default
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise InvalidValueError(
                f"--{name} must be {what}, got '{text}'", where="command line"
            ) from None


def parse(
    arguments: list[str],
    options: Iterable[Option],
    slots: Iterable[str] = (),
    num_operands: int = 0,
) -> Parsed:
    """Read ``--name value``, ``--name=value``, ``--flag`` and ``--slot.key value``.

    Args:
        arguments: What follows the command.
        options: The command's own.
        slots: Top-level keys of a config, if the command takes overrides.
        num_operands: How many arguments without dashes the command takes at most.
    Raises:
        UnknownKeyError: An argument that means nothing, with the nearest one that does.
        InvalidValueError: A value is missing, or given where none is taken.
    """
    known = {option.name: option for option in options}
    slots = tuple(slots)
    parsed, rest = Parsed(), list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in HELP:
            parsed.options["help"] = True
            continue
        if len(parsed.operands) < num_operands and not argument.startswith("-"):
            parsed.operands.append(argument)
            continue
        if not argument.startswith("--") or argument == "--":
            raise _unexpected(argument, known, slots)
        name, has_value, value = argument[2:].partition("=")
        slot = name.partition(".")[0].removesuffix("+")
        if name not in known and slot not in slots:
            raise _unknown(name, known, slots)
        option = known.get(name)
        if option is not None and option.value is None:
            if has_value:
                raise InvalidValueError(
                    f"{option.flag} takes no value", where="command line", fix=option.flag
                )
            parsed.options[name] = True
            continue
        if not has_value:
            value = _next_value(name, rest, option)
        _store(parsed, name, value, option)
    return parsed


def _store(parsed: Parsed, name: str, value: str, option: Option | None) -> None:
    if option is None:
        parsed.overrides.append((name, value))
    elif option.is_repeated:
        parsed.options.setdefault(name, []).append(value)
    elif name in parsed.options:
        raise InvalidValueError(
            f"{option.flag} is given twice", where="command line", fix="keep one of them"
        )
    else:
        parsed.options[name] = value


def _next_value(name: str, rest: list[str], option: Option | None) -> str:
    if not rest or rest[0].startswith("--"):
        what = option.value if option else "VALUE"
        raise InvalidValueError(
            f"--{name} needs a value", where="command line", fix=f"--{name} {what}"
        )
    return rest.pop(0)


def _unexpected(argument: str, known: dict[str, Option], slots: tuple[str, ...]) -> Exception:
    names = [*known, *slots]
    fix = suggestion(argument.lstrip("-"), names, prefix="--")
    if argument.endswith((".yaml", ".yml")):
        fix = f"--config {argument}"
    return UnknownKeyError(
        f"unexpected argument '{argument}'",
        where="command line",
        fix=fix or "every option starts with --; --help lists them",
    )


def _unknown(name: str, known: dict[str, Option], slots: tuple[str, ...]) -> Exception:
    first, dot, rest = name.partition(".")
    plain = first.replace("-", "_")
    near = _nearest(plain, [*known, *slots])
    hint = f"did you mean '--{near}{dot}{rest}'?" if near else "--help lists them"
    return UnknownKeyError(
        f"no option --{name}",
        where="command line",
        known=", ".join(f"--{word}" for word in known) or None,
        fix=_of_fit(name) or hint,
    )


def _of_fit(name: str) -> str | None:
    """What to do about an option that training alone has."""
    option = next((option for option in OF_FIT if option.name == name), None)
    if option is None:
        return None
    return f"{option.flag} is an option of fit" + (option.elsewhere and f"; {option.elsewhere}")


def _nearest(name: str, names: list[str]) -> str | None:
    from dlplug.config.slots import OTHER_WORDS

    if OTHER_WORDS.get(name) in names:
        return OTHER_WORDS[name]
    hint = suggestion(name, names)
    return hint.split("'")[1] if hint else None
