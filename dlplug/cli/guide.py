"""``dlplug guide``: from what you have to a config to start from.

The table is made when it is asked for: what is to be predicted from the tasks that are installed,
what each config is about from the comment at its top. There is nothing that could go stale.
"""

import shutil
import textwrap
from typing import Any

from dlplug.cli.answer import print_json
from dlplug.cli.help_page import PROGRAM
from dlplug.cli.options import JSON, parse
from dlplug.plugin import Component, Registry

ABOUT = (
    "What can be learned, from which data, and the config to start from: every task with the\n"
    "files in configs/ that train it, and the data modules that read data of your own."
)
OPTIONS = (JSON,)
MAX_WIDTH = 110
# Of a config, as they are shown behind its path.
FACTS = ("data", "architecture", "after")
# A space at which no line is broken.
_TIE = "\u00a0"


def main(arguments: list[str], registry: Registry) -> int:
    """Print the table; returns the exit code."""
    parsed = parse(arguments, OPTIONS)
    if parsed.get("help"):
        from dlplug.cli.help_page import command_page

        print(command_page(["guide [OPTION]..."], ABOUT, OPTIONS))
        return 0
    data = guide(registry)
    width = min(shutil.get_terminal_size((100, 24)).columns, MAX_WIDTH)
    if parsed.get("json"):
        print_json(data)
    else:
        print(guide_text(data, width))
    return 0


def guide(registry: Registry) -> dict[str, Any]:
    """Tasks with their configs, and data modules, as plain data; imports nothing.

    Returns:
        ``tasks``: name, summary, and configs with path, about, data, architecture, and ``after``,
        the run that must be there first, or None.
        ``data``: name and summary. ``folder``: where the configs are, or None.
    """
    from dlplug.config.usage import config_files, configs_folder

    folder = configs_folder()
    files = config_files(folder, registry)
    tasks = []
    for task in filter(_is_usable, registry.components("tasks")):
        configs = [
            {
                "path": str(file.path),
                "about": file.about,
                "data": file.name_of("datamodules"),
                "architecture": file.name_of("architectures"),
                "after": file.starts_from,
            }
            for file in files
            if file.uses("tasks", task.name, task.id)
        ]
        tasks.append({"name": task.name, "summary": task.summary, "configs": configs})
    modules = filter(_is_usable, registry.components("datamodules"))
    return {
        "tasks": tasks,
        "data": [{"name": module.name, "summary": module.summary} for module in modules],
        "folder": None if folder is None else str(folder),
    }


def guide_text(data: dict[str, Any], width: int) -> str:
    """The answer of `guide` for reading, at most ``width`` columns where names allow it."""
    lines = [
        "Find what you want to predict, take the config whose data is most like yours, and change",
        "what differs, in the file or on the command line:",
        f"  {PROGRAM} fit --config FILE --data YOURS",
    ]
    if data["folder"] is None:
        lines += ["", "No configs are at hand: this installation lacks its folder configs."]
    for task in data["tasks"]:
        lines += ["", f"{task['summary']}  task: {task['name']}"]
        for config in task["configs"]:
            facts = ", ".join(f"{word} {config[word]}" for word in FACTS if config[word])
            lines.append(f"  {config['path']}  ({facts})" if facts else f"  {config['path']}")
            lines += _wrapped(config["about"], width)
        if not task["configs"] and data["folder"] is not None:
            lines.append(f"  no config yet; try --task {task['name']} with data of your own")
    lines += ["", "Data, built in and your own (arguments: describe data NAME):"]
    column = max((len(module["name"]) for module in data["data"]), default=0)
    lines += [f"  {m['name']:<{column}}  {m['summary']}".rstrip() for m in data["data"]]
    return "\n".join(lines)


def _wrapped(about: str, width: int) -> list[str]:
    pad, lines = " " * 6, []
    for part in about.splitlines():
        if part.startswith(f"{PROGRAM} "):
            lines.append(f"{pad}  {part}")  # as it is typed, however wide
            continue
        # A number and its percent sign stay together.
        wrapped = textwrap.wrap(
            part.replace(" %", f"{_TIE}%"), width, initial_indent=pad, subsequent_indent=pad
        )
        lines += [line.replace(_TIE, " ") for line in wrapped]
    return lines


def _is_usable(component: Component) -> bool:
    return component.is_candidate
