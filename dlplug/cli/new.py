"""``dlplug new KIND NAME``: a plugin of one's own to start from."""

import shlex
from functools import partial

from dlplug.cli.answer import print_json
from dlplug.cli.group import Form, run_form
from dlplug.cli.options import JSON, Option, Parsed
from dlplug.errors import InvalidValueError
from dlplug.plugin import Registry

OPTIONS = (Option("path", "where to put its folder; default: here", "DIR"), JSON)
ABOUTS = {
    "architecture": "a package with a network, its tests and a config that trains it",
    "loss": "a package with a loss, its tests and a config that trains with it",
    "callback": "a package with a Lightning callback, its tests and a config that uses it",
    "datamodule": "a package with a data module, its tests and a config that trains on it",
    "task": "a package with a task, its tests and a config that trains it",
}
FORMS = {
    word: Form(f"dlplug.cli.new:new_{word}", about, "NAME [OPTION]...", OPTIONS, 1)
    for word, about in ABOUTS.items()
}
# Of the data modules, whose singular is the config's word: data.
PLURALS = {"datamodule": "datamodules"}


def main(arguments: list[str], registry: Registry) -> int:
    """Run the second word; returns the exit code."""
    return run_form("new", FORMS, arguments, registry)


def write(word: str, parsed: Parsed, registry: Registry) -> None:
    """Write the package and say what comes next.

    Args:
        word: Its kind.
        parsed: The command's options.
        registry: Knows which names are taken.
    Raises:
        InvalidValueError: the name cannot be used, or the folder is there already.
    """
    from dlplug.templates.distribution import write_distribution
    from dlplug.templates.names import checked_names

    if parsed.operand is None:
        raise InvalidValueError(
            f"new {word} needs a NAME", where="command line", fix=f"new {word} acme-{word}"
        )
    names = checked_names(PLURALS.get(word, word), parsed.operand, registry)
    written = write_distribution(names, parsed.get("path", "."))
    folder = next(path.parent for path in written if path.name == "pyproject.toml")
    config = folder / f"{names.package}.yaml"
    if parsed.get("json"):
        print_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    print("\n".join(f"wrote {path}" for path in written))
    print(
        "\nNow:\n"
        f"  pip install --no-build-isolation -e {shlex.quote(str(folder))}\n"
        f"  python -m dlplug fit --config {shlex.quote(str(config))}\n"
        f"  python -m dlplug plugins check {names.distribution}"
    )


new_architecture = partial(write, "architecture")
new_loss = partial(write, "loss")
new_callback = partial(write, "callback")
new_datamodule = partial(write, "datamodule")
new_task = partial(write, "task")
