"""What to do about a distribution that is no plugin: it depends on what else the name is."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from dlplug.errors import suggestion
from dlplug.plugin.distributions import is_installed
from dlplug.plugin.installed_before import unseen_lines
from dlplug.plugin.names import normalised
from dlplug.plugin.own_project import install_command

LINE = '[project.entry-points."dlplug.architectures"]'
EXAMPLE = "my_net = 'my_package.module:MyNet'"


def absent_fix(word: str, plugins: Iterable[str]) -> str:
    """The next step of somebody who named a plugin that is not there.

    Args:
        word: As written: a distribution, a folder, a file.
        plugins: Names of those that are installed.
    """
    name, path = normalised(word), Path(word)
    if path.suffix == ".py":
        file = word if path.is_absolute() else f"./{path.as_posix()}"
        return (
            f"a file is a plugin after --plugin: plugins check {shlex.quote(path.name)}"
            f" --plugin {shlex.quote(file)}"
        )
    for unseen in unseen_lines():
        if name == unseen.distribution and unseen.lines:
            names = ", ".join(line for _, line in unseen.lines)
            return f"its pyproject.toml names {names} only since it was installed; {unseen.fix}"
    if is_installed(name):
        return (
            f"{name} is installed and offers nothing: add to its pyproject.toml {LINE} and below it"
            f" {EXAMPLE}, then {install_command('FOLDER')}"
        )
    if (path / "pyproject.toml").is_file():
        return install_command(word)
    return suggestion(name, plugins) or f"install it: {install_command('FOLDER')}"
