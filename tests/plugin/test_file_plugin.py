"""What a plugin file offers, read without importing it."""

import sys
from pathlib import Path

import pytest

from dlplug.errors import ComponentLoadError, PluginError
from dlplug.plugin import Registry, Status
from dlplug.plugin.file_plugin import EXAMPLE, label_of, read_file_plugin
from dlplug.plugin.hashes import tree_hash

NET = '''"""Networks of my own.

More about them.
"""
import torch_that_is_not_imported as torch


class Net(torch.nn.Module):
    """One layer."""


def small(width):
    """Half of it."""
    return Net()


dlplug_components = {
    "architecture": [Net, small],
    "losses": {"soft": "Net", "other": torch.nn.Loss},
    "metrics": small,
}
'''

NET_AND_LOSS = """
class Layer:
    def forward(self, x): ...

class Net:
    def forward(self, x): ...

class Dice:
    def forward(self, output, target): ...
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a plugin file in the working folder; returns its name."""
    monkeypatch.chdir(tmp_path)

    def write_file(text, name="mine.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
        return name

    return write_file


def refusal(text, write):
    with pytest.raises(PluginError) as caught:
        read_file_plugin(write(text), "command line")
    return caught.value


def test_the_table_is_read_without_an_import(write):
    """Classes and functions alone, in a list, or under a name; with their docstrings."""
    name = write(NET)
    plugin = read_file_plugin(name, "command line")
    assert (plugin.name, plugin.summary) == ("mine.py", "Networks of my own.")
    assert plugin.version == tree_hash(Path(name))[:12] and plugin.file == str(
        Path(name).absolute()
    )
    rows = {(e.kind, e.id, e.target.partition(":")[2], e.summary) for e in plugin.entries}
    assert rows == {
        ("architectures", "mine.py:Net", "Net", "One layer."),
        ("architectures", "mine.py:small", "small", "Half of it."),
        ("losses", "mine.py:soft", "Net", "One layer."),
        ("losses", "mine.py:other", "torch.nn.Loss", ""),
        ("metrics", "mine.py:small", "small", "Half of it."),
    }
    assert plugin.entries[0].entry_point == f"{Path(name).absolute()}, line 18: Net"
    assert "dlplug.plugin.files.mine" not in sys.modules


def test_a_folder_is_a_plugin_too(write):
    """Its table stands in its __init__.py, its label ends in a slash."""
    write("class A: ...", "mine/layers.py")
    write('from .layers import A\ndlplug_components = {"loss": A}', "mine/__init__.py")
    registry = Registry.discover(files=["mine"])
    component = registry.find("losses", "mine/:A")
    assert component.load().__name__ == "A" and label_of("mine/") == "mine/"
    assert component is registry.find("losses", "A")


def test_a_folder_that_has_moved_is_replaced(write):
    """By the one that the user names: whether the old path was a folder, the disk cannot tell."""
    write('class A: ...\ndlplug_components = {"loss": A}', "mine/__init__.py")
    registry = Registry.discover(files=["mine"])
    registry.add_files([("old/mine", "x.yaml, line 3"), ("old/mine/", "x.yaml, line 4")])
    assert registry.files() == [str(Path("mine").absolute())]


def test_what_a_hook_of_the_file_offers_is_of_the_file(write):
    """So that a run keeps the file, and messages name its line."""
    write(
        "import dlplug\n\n\nclass A: ...\n\n\n@dlplug.hookimpl\ndef dlplug_components(kind):\n"
        "    return {'soft': A} if kind == 'losses' else None\n"
    )
    registry = Registry.discover(files=["mine.py"])
    registry.load_hooks()
    component, (plugin,) = registry.find("losses", "soft"), registry.plugins()[-1:]
    assert component.file == plugin.file
    assert component.declared == plugin.entries[0].declared
    assert component.entry_point.startswith(f"{plugin.file}, line ")


def test_hooks_stand_in_the_same_file(write):
    """Functions under the marker, as in a module of hooks."""
    write(
        """
        import dlplug

        @dlplug.hookimpl
        def dlplug_health():
            return [("mine", True, "")]
        """.replace("\n        ", "\n")
    )
    registry = Registry.discover(files=["mine.py"])
    registry.load_hooks()
    assert registry.call("dlplug_health") == [("mine.py:hooks", [("mine", True, "")])]


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("class Net:\n  def", 2, "mine.py is not Python: invalid syntax", None),
        ("class Net: ...", None, "offers nothing: it has no table", '{"architecture": Net}'),
        (NET_AND_LOSS, None, "offers nothing", '{"architecture": Net, "loss": Dice}'),
        ("", None, "offers nothing: it has no table", EXAMPLE),
        ("\ndlplug_components = [1]", 2, "is no mapping from kind", EXAMPLE),
        ('dlplug_components = {\n"loses": A}', 2, "no kind of component named 'loses'", "'loss"),
        ("dlplug_components = {1: A}", 1, "a key of dlplug_components is no word", EXAMPLE),
        ("dlplug_components = {**x}", 1, "a key of dlplug_components is no word", EXAMPLE),
        (
            'dlplug_components = {"loss": A(1)}',
            1,
            "A(1) in dlplug_components['loss'] is no name",
            "as",
        ),
        (
            'dlplug_components = {"loss": [A, 3]}',
            1,
            "3 in dlplug_components['loss'] is no name",
            "as",
        ),
        (
            'dlplug_components = {"loss": {A: A}}',
            1,
            "a name in dlplug_components['loss'] is no",
            "MyNet",
        ),
        ('dlplug_components = {"loss": {"a b": A}}', 1, "the name 'a b' contains ' '", None),
        ('dlplug_components = {"loss": {"a.py": A}}', 1, "the name 'a.py' is that of a", None),
        ('dlplug_components = {\n"presets": "small"}', 2, "has no presets", "--config FILE"),
        ("a = '\0'", None, "mine.py is not Python", None),
        pytest.param("a = " + "-" * 9999 + "1", None, "mine.py is not Python", None, id="deep"),
        pytest.param("a = " + "-" * 99999 + "1", None, "it is nested too", None, id="deeper"),
    ],
)
def test_what_cannot_be_right_is_told_with_its_line(write, text, line, what, fix):
    """Before anything is imported, with what to write instead."""
    error = refusal(text, write)
    assert what in error.what
    place = str(Path("mine.py").absolute()) + (f", line {line}" if line else "")
    assert error.where == place or (line is None and error.where.startswith(place))
    assert fix is None or fix in error.fix


def test_a_missing_file_is_told_with_what_is_there(write):
    """Also a folder without __init__.py, and a file that is no Python file."""
    write("X = 1", "my_model.py")
    for name, what in (("my_modl.py", "no plugin file"), ("sub", "has no __init__.py")):
        Path("sub").mkdir(exist_ok=True)
        with pytest.raises(PluginError, match=what) as caught:
            Registry.discover(files=[name])
        assert caught.value.where == "command line, --plugin"
    with pytest.raises(PluginError, match="no plugin file") as caught:
        read_file_plugin("my_modl.py", "x.yaml, line 3")
    assert caught.value.where == "x.yaml, line 3"
    assert caught.value.fix == "did you mean 'my_model.py'?"
    write("a: 1", "x.yaml")
    with pytest.raises(PluginError, match=r"x\.yaml' is no Python file"):
        Registry.discover(files=["x.yaml"])


@pytest.mark.parametrize("name", ["a:b.py", "a,b.py", "a\nb.py"])
def test_a_name_that_cannot_be_part_of_an_id_is_refused(write, name):
    """No config could name what the file offers."""
    write('class A: ...\ndlplug_components = {"loss": A}', name)
    with pytest.raises(PluginError, match="a plugin file cannot be called") as caught:
        Registry.discover(files=[name])
    assert caught.value.where == "command line, --plugin" and "rename it" in caught.value.fix


@pytest.mark.parametrize("name", ["my net.py", "ünï.py", "net-1.2.py"])
def test_other_names_of_files_are_good(write, name):
    """Spaces, letters of any language, dots and dashes."""
    write('class A: ...\ndlplug_components = {"loss": A}', name)
    component = Registry.discover(files=[name], block=["dlplug:focal"]).find("losses", f"{name}:A")
    assert component.load().__name__ == "A"
    blocked = Registry.discover(files=[name], block=[name]).components("losses")
    assert [c.status for c in blocked if c.distribution == name] == [Status.DISABLED]


def test_an_import_that_fails_is_told_with_file_and_line(write):
    """As of any plugin, when the component is used."""
    write('class A: ...\n\nraise OSError("no licence")\ndlplug_components = {"loss": A}')
    component = Registry.discover(files=["mine.py"]).find("losses", "A")
    with pytest.raises(ComponentLoadError, match="OSError: no licence") as caught:
        component.load()
    path = Path("mine.py").absolute()
    assert f"({path}, line 3)" in caught.value.what
    assert caught.value.where == f"{path}, line 4: A"
    assert caught.value.fix == f"correct {path}"
    assert component.status is Status.FAILED


def test_a_module_beside_it_needs_a_folder(write):
    """It would not be part of what is hashed and passed on; the message says what to do."""
    write("X = 1", "layers.py")
    write('import layers\n\n\nclass A: ...\n\n\ndlplug_components = {"loss": A}')
    component = Registry.discover(files=["mine.py"]).find("losses", "A")
    sys.path_importer_cache.clear()
    with pytest.raises(ComponentLoadError, match="No module named 'layers'") as caught:
        component.load()
    assert "put layers.py and mine.py into a folder with an __init__.py" in caught.value.fix


def test_two_files_of_one_name_are_refused(write):
    """The name stands in configs and runs; the same file twice is one."""
    text = 'class A: ...\ndlplug_components = {"loss": A}'
    write(text)
    write(text, "sub/mine.py")
    assert len(Registry.discover(files=["mine.py", "./mine.py"]).files()) == 1
    write(text, "my-own.py")
    write(text, "my_own.py")
    for pair in (["mine.py", "sub/mine.py"], ["my-own.py", "my_own.py"]):
        with pytest.raises(PluginError, match=r"would be one module, 'm\w+': .*py and "):
            Registry.discover(files=pair)


def test_rules_hold_for_files(write):
    """They are blocked like what is installed, by the file's name or the component's id."""
    write('class A: ...\ndlplug_components = {"loss": {"acme_a": A}}')
    for name in ("mine.py", "mine.py:acme_a", "acme_a"):
        registry = Registry.discover(files=["mine.py"], block=[name])
        with pytest.raises(PluginError, match="blocked by --block"):
            registry.find("losses", "mine.py:acme_a")
    names = Registry.discover(files=["mine.py"], allow=["mine.py"]).names("losses")
    assert "acme_a" in names


def test_a_name_that_is_taken_is_a_conflict(write):
    """As between distributions; the id decides."""
    write('class A: ...\ndlplug_components = {"loss": {"focal": A}}')
    registry = Registry.discover(files=["mine.py"])
    with pytest.raises(PluginError, match=r"provided by dlplug .* and mine\.py"):
        registry.find("losses", "focal")
    assert registry.find("losses", "mine.py:focal").file
