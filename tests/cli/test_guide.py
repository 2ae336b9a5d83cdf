"""``guide``: the table from problem to config."""

from pathlib import Path

import pytest

from dlplug.cli.guide import guide, guide_text
from dlplug.config.document import load_file
from dlplug.config.usage import front_comment
from dlplug.plugin import Registry
from dlplug.plugin.builtins import COMPONENTS

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture
def table(monkeypatch):
    """That of the repository."""
    monkeypatch.chdir(ROOT)
    return guide(Registry.discover(allow=[]))


def test_every_config_stands_once_under_its_task(table):
    """With its comment, data and architecture."""
    rows = {c["path"]: (t["name"], c) for t in table["tasks"] for c in t["configs"]}
    assert sorted(rows) == [f"configs/{path.name}" for path in CONFIGS]
    assert sum(len(task["configs"]) for task in table["tasks"]) == len(CONFIGS)
    for path in CONFIGS:
        task, row = rows[f"configs/{path.name}"]
        written = load_file(path).plain()
        assert task == written.get("task", "classification") or isinstance(written["task"], dict)
        assert row["about"] == front_comment(path)
        assert row["data"] and row["data"] in str(written["data"])


def test_a_config_that_needs_a_run_says_which(table):
    """On the page too; the run is that of another config, and its comment tells how to train it."""
    rows = [c for task in table["tasks"] for c in task["configs"] if c["after"]]
    assert rows
    for row in rows:
        assert f"fit --config configs/{row['after']}.yaml" in row["about"]
        assert ROOT / "configs" / f"{row['after']}.yaml" in CONFIGS
        assert f", after {row['after']})\n" in guide_text(table, 100)


def test_every_task_and_data_module_stands_in_it(table):
    """As the table of built-in components has them."""
    tasks = {name: row[1] for name, row in COMPONENTS["tasks"].items()}
    assert {task["name"]: task["summary"] for task in table["tasks"]} == tasks
    assert {row["name"] for row in table["data"]} == set(COMPONENTS["datamodules"])


def test_every_built_in_task_has_a_config_to_start_from(table):
    """Else a newcomer would be left alone with it."""
    assert [task["name"] for task in table["tasks"] if not task["configs"]] == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page_fits_the_screen(table, columns):
    """Everything is on it, and what is text is wrapped."""
    page = guide_text(table, columns)
    for task in table["tasks"]:
        assert f"{task['summary']}  task: {task['name']}\n" in page
        assert all(f"  {config['path']}  (" in page for config in task["configs"])
    assert max(map(len, page.splitlines())) <= max(columns, 100)


def test_a_plugin_s_task_and_the_user_s_configs_are_on_it(command, fake_distribution, tmp_path):
    """The configs of the folder in which one stands; a task without any is named all the same."""
    lines = {"dlplug.tasks": {"acme_a": "acme:A", "acme_b": "acme:B"}}
    fake_distribution("acme", entry_points=lines, summary="To name leaves.")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "leaves.yaml").write_text(
        "# Leaves of trees.\ntask: acme_a\ndata: {name: digits}\narchitecture: mlp\n"
    )
    done = command("guide")
    assert (
        "\nTo name leaves.  task: acme_a\n"
        "  configs/leaves.yaml  (data digits, architecture mlp)\n"
        "      Leaves of trees.\n"
        "\nTo name leaves.  task: acme_b\n"
        "  no config yet; try --task acme_b with data of your own\n"
    ) in done.out
    assert command("guide", "--json").json["folder"] == "configs"


def test_without_configs_the_page_says_so(command, monkeypatch):
    """Tasks and data modules are there."""
    monkeypatch.setattr("dlplug.config.usage.configs_folder", lambda: None)
    done = command("guide")
    assert "No configs are at hand" in done.out and "task: classification" in done.out


def test_help_and_errors(command):
    """Like every command."""
    assert command("guide", "--help").out.startswith("usage: python -m dlplug guide")
    assert "unexpected argument 'x'" in command("guide", "x").err


@pytest.mark.parametrize("columns", [80, 100])
def test_commands_and_percentages_can_be_read(table, columns):
    """A command stands alone on its line, whole, and no line begins with a percent sign."""
    lines = [line.strip() for line in guide_text(table, columns).splitlines()]
    commands = [line for line in lines if "python -m dlplug" in line]
    assert "python -m dlplug fit --config configs/mnist_resnet.yaml" in commands
    assert [line for line in commands if not line.startswith("python -m dlplug ")] == []
    assert [line for line in lines if line.startswith("%")] == []
    assert not any("\u00a0" in line for line in lines)
