"""``dlplug config``: a JSON schema of configs for editors, and present names in old configs.

There is no ``config show``: ``fit --print_config`` prints the whole config with every default.
"""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from dlplug.cli.group import Form, run_form
from dlplug.cli.options import Option, Parsed
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

ABOUT = (
    "A JSON schema (draft 2020-12) of a whole config, with the arguments of every component that\n"
    "is installed. Those of plugins are known once they were described, or imported by --load: no\n"
    "plugin is imported unasked. dlplug's own are imported the first time, and kept.\n"
    "\n"
    "For VS Code's YAML extension, Neovim, Helix and others with yaml-language-server:\n"
    "  python -m dlplug config schema --output configs/schema.json\n"
    "and as the first line of a config in that folder:\n"
    "  # yaml-language-server: $schema=schema.json\n"
    "For all configs at once, in VS Code's settings.json:\n"
    '  "yaml.schemas": {"configs/schema.json": "configs/*.yaml"}\n'
    "Make it anew after installing a plugin."
)
OPTIONS = (
    Option("output", "where to write; without it, standard output", "FILE"),
    Option("load", "import the components of plugins whose arguments are not known yet"),
)
IDS_SHOWN = 10
UPGRADE_ABOUT = (
    "Write the present names of components and arguments into an old config, and print what\n"
    "changes. Comments and everything else stay as they are."
)
UPGRADE_OPTIONS = (Option("output", "where to write; without it, the file itself", "FILE"),)
FORMS = {
    "schema": Form("dlplug.cli.config:schema", ABOUT, "[OPTION]...", OPTIONS),
    "upgrade": Form(
        "dlplug.cli.config:upgrade", UPGRADE_ABOUT, "FILE [OPTION]...", UPGRADE_OPTIONS, 1
    ),
}


def main(arguments: list[str], registry: Registry) -> int:
    """Run the second word; returns the exit code."""
    return run_form("config", FORMS, arguments, registry)


def schema(parsed: Parsed, registry: Registry) -> None:
    """Print or write the schema.

    Raises:
        InvalidValueError: The file cannot be written.
    """
    text = json.dumps(_schema(registry, bool(parsed.get("load"))), indent=1)
    if parsed.get("output") is None:
        print(text)
        if sys.stdout.isatty():
            print("how to point an editor at it: config --help", file=sys.stderr)
    else:
        path = Path(parsed.get("output"))
        _write(path, text + "\n")
        print(_how_to_use(path))


def upgrade(parsed: Parsed, registry: Registry) -> None:
    """Rewrite a config in present names and print the difference.

    Raises:
        DlplugError: There is no such config, or it cannot be rewritten.
    """
    from difflib import unified_diff

    from dlplug.config.upgrade import upgraded

    if parsed.operand is None:
        raise InvalidValueError(
            "config upgrade needs a FILE", where="command line", fix="config upgrade my.yaml"
        )
    path = Path(parsed.operand)
    target = Path(parsed.get("output") or path)
    registry.load_hooks()  # the names of a family are known to its hook only
    old, new = upgraded(path, registry)
    if new == old and target == path:
        print(f"{path} has no old names")
        return
    _write(target, new)
    lines = (text.splitlines(keepends=True) for text in (old, new))
    print("".join(unified_diff(*lines, str(path), str(target))), end="")


def _schema(registry: Registry, load: bool) -> dict:
    from dlplug.config.facts_cache import FactsCache
    from dlplug.config.schema import config_schema, unknown_components

    cache = FactsCache.of_this_environment()
    if load:
        registry.load_hooks()
    with redirect_stdout(sys.stderr):  # what plugins print on import is no part of the schema
        schema = config_schema(registry, cache, load)
    cache.save()
    if not load and (unknown := unknown_components(registry, cache)):
        ids = ", ".join(component.id for component in unknown[:IDS_SHOWN])
        more = f", and {len(unknown) - IDS_SHOWN} more" if len(unknown) > IDS_SHOWN else ""
        told = f"any argument is valid where none is known: {ids}{more}; --load imports them"
        print(told, file=sys.stderr)
    return schema


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(
            f"cannot write '{path}': {error.strerror}",
            where="command line, --output",
            fix="name a file that you may write: --output FILE",
        ) from error


def _how_to_use(path: Path) -> str:
    return (
        f"wrote {path}\n"
        "An editor with yaml-language-server (VS Code's YAML extension, Neovim, Helix) uses it:\n"
        "  for a config beside it, by the first line"
        f"  # yaml-language-server: $schema={path.name}\n"
        f'  for all, by VS Code\'s setting  "yaml.schemas": {{"{path}": "configs/*.yaml"}}\n'
        "Make it anew after installing a plugin."
    )
