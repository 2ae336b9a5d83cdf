"""Names of distributions and components: how they compare, and which are allowed."""

import re

_SEPARATORS = re.compile(r"[-_.]+")
_NOT_IN_NAME = re.compile(r"[\s:,=\[\]]")


_FILE_ENDINGS = (".py", "/")


def distribution_name(name: str) -> str:
    """``name`` as package indexes compare it: ``Acme_Vision.Extra`` -> ``acme-vision-extra``.

    Of an installed distribution, which therefore is never called like a plugin file.
    References: PEP 503.
    """
    return _SEPARATORS.sub("-", name).lower()


def normalised(name: str) -> str:
    """A name that somebody wrote, as names are compared: `distribution_name`.

    What names a plugin file (``my_model.py``) or folder (``my_models/``) stays as it is.
    """
    return name if name.endswith(_FILE_ENDINGS) else distribution_name(name)


def comparable(entry: str) -> tuple[str | None, str]:
    """A name or id so that two spellings of one are equal: ``Acme_Net:a_b`` is ``acme-net:a-b``."""
    distribution, short = split_id(entry)
    return distribution, normalised(short)


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
    if name.endswith(_FILE_ENDINGS):
        return f"the name {name!r} is that of a file"
    return None if name.isprintable() else f"the name {name!r} cannot be printed"


def one_line(text: object) -> str:
    """``text`` on one line without control characters, which could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
