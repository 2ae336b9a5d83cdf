"""``dlplug plugins lock``: write down which code is here, or compare it with what was written."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from dlplug.cli.answer import print_json
from dlplug.cli.options import Option, Parsed
from dlplug.cli.verb import CONFIG, JSON, PRESET, TRUST, load_experiment, read_arguments
from dlplug.errors import InvalidValueError
from dlplug.plugin import KINDS, Component, Registry
from dlplug.plugin.component import HOOKS_KIND
from dlplug.run.lock import LOCK, lock_of, lock_text
from dlplug.run.lock_difference import require_lock

ABOUT = (
    "Write versions of Python, of the plugins and of all that they require, with hashes of what is"
    " installed in place, into plugins.lock; 'fit --locked' then trains with nothing else. With"
    " --config, of what that config uses; without, of everything installed, importing nothing."
)
EXAMPLES = (
    "--config configs/digits_mlp.yaml",
    "--check --config configs/digits_mlp.yaml",
    "--check --path runs/digits_mlp/1/plugins.lock --config runs/digits_mlp/1/resolved.yaml",
)
OPTIONS = (
    CONFIG,
    PRESET,
    TRUST,
    Option("path", f"where the lock is; default {LOCK}", "FILE"),
    Option("check", "write nothing; an error if what is here is not what the lock says"),
    JSON,
)


def main(arguments: list[str], registry: Registry) -> int:
    """Write or verify a lock; returns the exit code.

    Raises:
        RunError: with ``--check``, the lock says otherwise.
        InvalidValueError: the file cannot be written.
    """
    parsed = read_arguments("plugins lock", ABOUT, EXAMPLES, OPTIONS, arguments, registry)
    if parsed is None:
        return 0
    path = Path(parsed.get("path", LOCK))
    lock = lock_of(_code(parsed, registry))
    if parsed.get("check"):
        require_lock(
            path,
            lock,
            is_part=False,
            renames=registry.renames,
            accept=lock_command(parsed, registry, path),
        )
    else:
        _write(path, lock_text(lock))
    if parsed.get("json"):
        print_json({"path": str(path), "checked": bool(parsed.get("check")), "lock": lock})
    else:
        done = "agrees with" if parsed.get("check") else "wrote"
        counts = f"{len(lock['components'])} components, {len(lock['distributions'])} distributions"
        print(f"{done} {path}: {counts}")
    return 0


def lock_command(
    parsed: Parsed, registry: Registry, path: str | Path, first: Iterable[str | Path] = ()
) -> str:
    """The command that writes a lock for what a command line says.

    Args:
        parsed: Its options and overrides, of any verb that takes a config.
        registry: As its ``--plugin``, ``--block`` and ``--allow`` made it.
        path: Of the lock.
        first: Configs that come before those that it names.
    """
    pairs = [("config", str(file)) for file in (*first, *parsed.get("config", []))]
    pairs += [(name, text) for name in ("preset", "trust") for text in parsed.get(name, [])]
    pairs += parsed.overrides
    pairs += [("path", str(path))] if str(path) != LOCK else []
    words = [word for pair in pairs for word in _option(*pair)]
    return shlex.join(["python", "-m", "dlplug", "plugins", "lock", *words, *registry.options()])


def _option(name: str, text: str) -> list[str]:
    return [f"--{name}={text}"] if text.startswith("--") else [f"--{name}", text]


def _code(parsed: Parsed, registry: Registry) -> list[Component]:
    if parsed.get("config") or parsed.get("preset") or parsed.overrides:
        experiment = load_experiment(parsed, registry, None)
        return [*experiment.code, *experiment.presets]
    kinds = {*KINDS, HOOKS_KIND}
    return [e for e in registry.entries() if e.kind in kinds and not e.refuses]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(
            f"cannot write '{path}': {error.strerror}",
            where="command line, --path",
            fix="name a file that you may write: --path FILE",
        ) from error
