"""The small slots: seed, run name and plugin control."""

import os
import re
import secrets
from dataclasses import dataclass

from dlplug.config.tree import Node
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion

# PyTorch takes 64 bits, NumPy's legacy generator 32.
MAX_SEED = 2**32 - 1
# Where torchrun and SLURM say how many processes they start.
NUM_PROCESSES = ("WORLD_SIZE", "SLURM_NTASKS")
# One path component that every file system takes, and that is no option.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

CONTROL_KEYS = ("block", "allow", "strict", "files")


@dataclass(frozen=True)
class PluginControl:
    """Which plugins the config allows.

    Attributes:
        block: Names that are not used.
        allow: If not None, the only names that are used.
        strict: Whether any problem of a plugin is an error.
        files: Plugin files, each with the place in the config.
    """

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    strict: bool = False
    files: tuple[tuple[str, str], ...] = ()


def read_seed(node: Node | None) -> int:
    """The seed; ``true`` draws one, which the resolved config then names.

    Raises:
        InvalidValueError: Not a whole number from 0 to 2**32 - 1.
    """
    value = 0 if node is None else node.plain()
    if value is True:
        return _drawn_seed(node)
    if type(value) is not int or not 0 <= value <= MAX_SEED:
        raise InvalidValueError(
            f"seed_everything must be a whole number from 0 to {MAX_SEED}, got {value!r}",
            where=f"{node.origin}, seed_everything",
            fix="write 'seed_everything: 0', or 'true' for a random one",
        )
    return value


def _drawn_seed(node: Node) -> int:
    """A random seed, the same in every process of a training."""
    if "LOCAL_RANK" in os.environ and os.environ.get("PL_GLOBAL_SEED", "").isdecimal():
        return int(os.environ["PL_GLOBAL_SEED"])  # set by Lightning for the processes it starts
    if any(os.environ.get(name, "1") != "1" for name in NUM_PROCESSES):
        raise InvalidValueError(
            "seed_everything: true would draw another seed in each process",
            where=f"{node.origin}, seed_everything",
            fix="give a number",
        )
    return secrets.randbelow(MAX_SEED + 1)


def read_name(node: Node | None, otherwise: str) -> str:
    """The name under which runs are kept.

    Raises:
        InvalidValueError: Not usable as the name of a folder.
    """
    if node is None or node.value is None:
        return re.sub(r"[^A-Za-z0-9._-]", "_", otherwise).lstrip("._-")[:100] or "run"
    value = node.text if node.text is not None else node.plain()
    if not isinstance(value, str) or not NAME.fullmatch(value) or value == "latest":
        raise InvalidValueError(
            f"name {value!r} cannot be a folder of runs/",
            where=f"{node.origin}, name",
            known="letters, digits and . _ -, at most 100, the first no sign; not 'latest'",
        )
    return value


def read_plugin_control(node: Node | None) -> PluginControl:
    """The ``plugins`` section.

    Raises:
        ConfigError: It has another key, or a value of another type.
    """
    if node is None or node.value is None:
        return PluginControl()
    if not isinstance(node.value, dict):
        raise InvalidValueError(
            f"plugins must be a mapping, got {node.plain()!r}",
            where=f"{node.origin}, plugins",
            known="block (names), allow (names), strict (true or false), files (paths)",
        )
    for key, value in node.value.items():
        if key not in CONTROL_KEYS:
            raise UnknownKeyError(
                f"plugins has no key '{key}'",
                where=f"{value.origin}, plugins.{key}",
                known=", ".join(CONTROL_KEYS),
                fix=suggestion(str(key), CONTROL_KEYS),
            )
    strict = node.value.get("strict")
    if strict is not None and not isinstance(strict.value, bool):
        raise InvalidValueError(
            f"plugins.strict must be true or false, got {strict.plain()!r}",
            where=f"{strict.origin}, plugins.strict",
            known="true, false",
        )
    return PluginControl(
        block=_names(node.value.get("block"), "block") or (),
        allow=_names(node.value.get("allow"), "allow"),
        strict=bool(strict and strict.value),
        files=_files(node.value.get("files")),
    )


def _files(node: Node | None) -> tuple[tuple[str, str], ...]:
    where = f"{node.origin}, plugins.files" if node else ""
    return tuple((file, where) for file in _names(node, "files") or ())


def _names(node: Node | None, key: str) -> tuple[str, ...] | None:
    if node is None or node.value is None:
        return None
    plain = node.plain()
    names = [plain] if isinstance(plain, str) else plain
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        what, example = ("paths", "my_model.py") if key == "files" else ("names", "acme-losses")
        raise InvalidValueError(
            f"plugins.{key} must be a list of {what}, got {plain!r}",
            where=f"{node.origin}, plugins.{key}",
            fix=f"write '{key}: [{example}]'",
        )
    return tuple(names)
