"""Names of distributions and components: how they compare, and which are allowed."""

import re

_SEPARATORS = re.compile(r"[-_.]+")
_NOT_IN_NAME = re.compile(r"[\s:,=\[\]]")


def normalised(name: str) -> str:
    """``name`` as package indexes compare it: ``Acme_Vision.Extra`` -> ``acme-vision-extra``.

    What names a plugin file (``my_model.py``) or folder (``my_models/``) stays as it is.
    """
    if name.endswith((".py", "/")):
        return name
    return _SEPARATORS.sub("-", name).lower()


def split_id(name: str) -> tuple[str | None, str]:
    """``distribution:name`` in its two parts; the first is None for a short name."""
    distribution, separator, short = name.partition(":")
    return (normalised(distribution), short) if separator else (None, name)


def name_problem(name: str) -> str | None:
    """Why a component cannot be called ``name``, or None when it can."""
    if not name:
        return "a component needs a name"
    # A colon would read as an id, a comma as two names in DLPLUG_BLOCK.
    if bad := _NOT_IN_NAME.search(name):
        return f"the name {name!r} contains {bad.group()!r}"
    return None if name.isprintable() else f"the name {name!r} cannot be printed"


def one_line(text: object) -> str:
    """``text`` on one line without control characters, which could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
