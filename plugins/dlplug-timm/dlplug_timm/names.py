"""The names of timm's models, read from its source files.

timm knows its models only once all of its hundred modules are imported, which takes seconds. Each
model is a function under ``@register_model``, so its files tell the same in a few milliseconds.
"""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from dlplug import hookimpl
from dlplug.plugin import Offer

# At the start of a line: a function that timm has commented out is none.
_MODEL = re.compile(r"^@register_model\ndef (\w+)\([^)]*\)(?: *-> *['\"]?(\w+))?", re.M)


@hookimpl
def dlplug_components(kind: str) -> list[Offer] | None:
    """Offer every model as ``timm.<name>``; none where timm is not installed."""
    if kind != "architectures":
        return None
    return [
        Offer(f"timm.{name}", f"dlplug_timm.models:{name}", f"timm's {family}." if family else "")
        for name, family in model_names()
    ]


@lru_cache
def model_names() -> tuple[tuple[str, str], ...]:
    """Name of each model with the class that it is a variant of; sorted.

    Imports nothing of timm.
    """
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    folder = Path(spec.submodule_search_locations[0], "models")
    texts = (file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
    return tuple(sorted(match for text in texts for match in _MODEL.findall(text)))
