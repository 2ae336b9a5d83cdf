"""Import paths inside an argument: checked before jsonargparse would import them."""

from dlplug.config.document import parse
from dlplug.config.parameters import parameters_of
from dlplug.config.trust import Trust
from dlplug.config.types import classes_in, is_plain, is_untyped
from dlplug.errors import ConfigError, InvalidValueError


def refuse_untrusted(plain: object, hint: object, where: str, trust: Trust) -> None:
    """Refuse every path in the value that may not be imported.

    jsonargparse imports what stands in a ``class_path``, and strings where a function or class is
    asked for; and it reads a string as YAML where anything but a string is asked for. So a string
    is looked into as well.

    Args:
        plain: The value.
        hint: Its type, which is not plain; ``dict`` where the type is not known.
        where: Place in the config, for errors.
        trust: What may be imported.
    Raises:
        UntrustedError: A path leads somewhere else.
        InvalidValueError: A class path stands where the type asks for no class.
    """
    if isinstance(plain, list):
        for value in plain:
            refuse_untrusted(value, hint, where, trust)
    elif isinstance(plain, dict):
        path = plain.get("class_path")
        if isinstance(path, str) and is_untyped(hint):
            raise InvalidValueError(
                f"'{path}' stands where plain values are taken: the parameter has no type",
                where=where,
                fix="only a parameter whose type is a class takes a class_path",
            )
        hints = {}
        is_path = isinstance(path, str) and "." in path
        if is_path:
            target = trust.check_nested_class(path, classes_in(hint), where)
            hints = {parameter.name: parameter.hint for parameter in parameters_of(target)}
        for name, value in plain.items():
            if name == "init_args" and isinstance(value, dict):
                _refuse_in_arguments(value, hints, where, trust)
            elif not (is_path and name == "class_path"):
                refuse_untrusted(value, dict, where, trust)
    elif isinstance(plain, str) and not is_untyped(hint):
        _look_into(plain, hint, where, trust)


def _refuse_in_arguments(arguments: dict, hints: dict, where: str, trust: Trust) -> None:
    for name, value in arguments.items():
        hint = hints.get(name, dict)
        if not is_plain(hint) or hint is dict:
            refuse_untrusted(value, dict if is_untyped(hint) else hint, where, trust)


def _look_into(text: str, hint: object, where: str, trust: Trust) -> None:
    trust.check_function(text, classes_in(hint), where)
    try:
        meaning = parse(text, "value").plain()
    except ConfigError:
        # What this reader refuses (a key that stands twice) another one may take for a mapping.
        if not any(sign in text for sign in "{:"):
            return
        raise InvalidValueError(
            f"cannot tell what {text!r} means",
            where=where,
            fix="write mappings as YAML, not inside a string",
        ) from None
    if meaning != text:
        refuse_untrusted(meaning, hint, where, trust)
