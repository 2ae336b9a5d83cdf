"""Seed, name and plugin control."""

import pytest

from dlplug.config.composed import read_value
from dlplug.config.document import parse
from dlplug.config.settings import read_name, read_plugin_control, read_seed
from dlplug.errors import ConfigError


def node(text):
    return parse(f"k: {text}", "a.yaml").value["k"]


def test_the_seed_is_a_number_or_drawn(monkeypatch):
    """0 when nothing is said; true draws one."""
    for variable in ("WORLD_SIZE", "SLURM_NTASKS", "LOCAL_RANK", "PL_GLOBAL_SEED"):
        monkeypatch.delenv(variable, raising=False)
    assert read_seed(None) == 0 and read_seed(node("7")) == 7
    assert {read_seed(node("true")) for _ in range(3)} != {read_seed(node("true"))}


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_all_processes_draw_one_seed(monkeypatch, variable):
    """Lightning hands its seed to the processes it starts; those of others need a number."""
    for other in ("WORLD_SIZE", "SLURM_NTASKS", "LOCAL_RANK", "PL_GLOBAL_SEED"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, "2")
    with pytest.raises(ConfigError, match="would draw another seed in each process"):
        read_seed(node("true"))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")
    assert read_seed(node("true")) == 42


@pytest.mark.parametrize("text", ["-1", "4294967296", "1.5", "seven", "false", "null"])
def test_another_seed_is_refused(text):
    """Only what NumPy and PyTorch both take."""
    with pytest.raises(ConfigError) as caught:
        read_seed(node(text))
    value = node(text).plain()
    assert str(caught.value) == (
        f"seed_everything must be a whole number from 0 to 4294967295, got {value!r}\n"
        "  where: a.yaml, line 1, seed_everything\n"
        "  fix:   write 'seed_everything: 0', or 'true' for a random one"
    )


@pytest.mark.parametrize(
    ("given", "otherwise", "name"),
    [
        (None, "mnist_vit", "mnist_vit"),
        (None, "my config (2)", "my_config__2_"),
        (None, "...", "run"),
        (node("exp-1.2"), "x", "exp-1.2"),
        (node("null"), "x", "x"),
        (read_value("7", "name"), "x", "7"),
    ],
)
def test_the_name_is_a_folder(given, otherwise, name):
    """As given, else after the config file with what no folder likes replaced."""
    assert read_name(given, otherwise) == name


@pytest.mark.parametrize(
    "text", ["a/b", "'..'", "latest", "'a b'", "3", "-x", "[a]", "'" + "x" * 101 + "'"]
)
def test_a_name_that_is_no_folder_is_refused(text):
    """Nothing leaves runs/."""
    with pytest.raises(ConfigError, match="cannot be a folder of runs/"):
        read_name(node(text), "x")


def test_plugin_control_is_read():
    """Lists or single names."""
    control = read_plugin_control(node("{block: [a, b], allow: c, strict: true}"))
    assert (control.block, control.allow, control.strict) == (("a", "b"), ("c",), True)
    assert read_plugin_control(None).allow is read_plugin_control(node("null")).allow is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{blok: a}",
            "plugins has no key 'blok'\n"
            "  where: a.yaml, line 1, plugins.blok\n"
            "  known: block, allow, strict, files\n"
            "  fix:   did you mean 'block'?",
        ),
        (
            "a",
            "plugins must be a mapping, got 'a'\n"
            "  where: a.yaml, line 1, plugins\n"
            "  known: block (names), allow (names), strict (true or false), files (paths)",
        ),
        (
            "{strict: 1}",
            "plugins.strict must be true or false, got 1\n  where: a.yaml, line 1, plugins.strict\n"
            "  known: true, false",
        ),
        (
            "{block: [1]}",
            "plugins.block must be a list of names, got [1]\n"
            "  where: a.yaml, line 1, plugins.block\n"
            "  fix:   write 'block: [acme-losses]'",
        ),
    ],
)
def test_a_wrong_plugins_section_is_refused(text, message):
    """Each with its place."""
    with pytest.raises(ConfigError) as caught:
        read_plugin_control(node(text))
    assert str(caught.value) == message
