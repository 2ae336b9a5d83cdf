"""The ``slot_defaults`` of a task, read from its source: what a config names without saying it."""

import ast
from contextlib import suppress
from functools import lru_cache

from dlplug.plugin.sources import source_file

ATTRIBUTE = "slot_defaults"


@lru_cache
def declared_defaults(target: str) -> dict[str, object]:
    """Slot to name, or list of names, as the class body says; empty where that cannot be read.

    Args:
        target: ``module:Class``; nothing is imported, and a base class is not looked at.
    """
    module, _, name = target.partition(":")
    path = source_file(module)
    with suppress(OSError, ValueError, SyntaxError):
        for node in ast.parse(path.read_bytes()).body if path else ():
            if isinstance(node, ast.ClassDef) and node.name == name:
                return _assigned(node)
    return {}


def _assigned(body: ast.ClassDef) -> dict[str, object]:
    for node in body.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == ATTRIBUTE for t in targets):
            value = ast.literal_eval(node.value)
            return value if isinstance(value, dict) else {}
    return {}
