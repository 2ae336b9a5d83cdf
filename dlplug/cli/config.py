"""``dlplug config schema``: a JSON schema of configs, so that an editor completes and checks them.

There is no ``config show``: ``fit --print_config`` prints the whole config with every default.
"""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from dlplug.cli.options import Option, parse
from dlplug.errors import InvalidValueError, UnknownKeyError, suggestion
from dlplug.plugin import Registry

USAGE = "config schema [OPTION]..."
ABOUT = (
    "A JSON schema (draft 2020-12) of a whole config, with the arguments of every component that\n"
    "is installed. The first time imports all of them; then only what is new or has changed.\n"
    "\n"
    "For VS Code's YAML extension, Neovim, Helix and others with yaml-language-server:\n"
    "  python -m dlplug config schema --output configs/schema.json\n"
    "and as the first line of a config in that folder:\n"
    "  # yaml-language-server: $schema=schema.json\n"
    "For all configs at once, in VS Code's settings.json:\n"
    '  "yaml.schemas": {"configs/schema.json": "configs/*.yaml"}\n'
    "Make it anew after installing a plugin."
)
OPTIONS = (Option("output", "where to write; without it, standard output", "FILE"),)
VERBS = ("schema",)


def main(arguments: list[str], registry: Registry) -> int:
    """Print or write the schema; returns the exit code.

    Raises:
        InvalidValueError: The file cannot be written.
    """
    parsed = parse(arguments, OPTIONS, num_operands=1)
    if parsed.get("help") or (parsed.operand is None and not parsed.options):
        from dlplug.cli.help_page import command_page

        print(command_page([USAGE], ABOUT, OPTIONS))
        return 0
    if parsed.operand not in VERBS:
        what = f"no command 'config {parsed.operand}'" if parsed.operand else "config needs a verb"
        raise UnknownKeyError(
            what,
            where="command line",
            known="config schema",
            fix=suggestion(parsed.operand or "", VERBS) or "config schema",
        )
    text = json.dumps(_schema(registry), indent=1)
    if parsed.get("output") is None:
        print(text)
        if sys.stdout.isatty():
            print("how to point an editor at it: config --help", file=sys.stderr)
    else:
        path = Path(parsed.get("output"))
        _write(path, text + "\n")
        print(_how_to_use(path))
    return 0


def _schema(registry: Registry) -> dict:
    from dlplug.config.facts_cache import FactsCache
    from dlplug.config.schema import config_schema

    cache = FactsCache.of_this_environment()
    with redirect_stdout(sys.stderr):  # what plugins print on import is no part of the schema
        schema = config_schema(registry, cache)
    cache.save()
    return schema


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(
            f"cannot write '{path}': {error.strerror}", where="command line, --output"
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
