"""Which plugin files a config may name."""

import os
from pathlib import Path

import pytest

from dlplug.errors import PluginError, UntrustedError
from dlplug.plugin import Registry
from dlplug.plugin.choices import choices_file, disable, read_choices

WHERE = "x.yaml, line 3, plugins.files"


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """A plugin file in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text('class A: ...\ndlplug_components = {"loss": A}')
    return tmp_path / "mine.py"


def add(*files):
    registry = Registry.discover()
    registry.add_files([(file, WHERE) for file in files])
    return registry


def named(*files, **arguments):
    """As a command with ``--plugin`` that runs something."""
    registry = Registry.discover(files=files, **arguments)
    registry.load_hooks()
    return registry


def test_a_config_cannot_name_code_that_the_user_has_not(mine):
    """It may come from anywhere; the fix is to say so once."""
    with pytest.raises(UntrustedError, match=r"wants to run the code of 'mine\.py'") as caught:
        add("mine.py")
    assert caught.value.where == WHERE and caught.value.fix.endswith("--plugin mine.py")


def test_a_file_that_was_named_once_may_be_named_by_configs(mine, monkeypatch):
    """By that path alone, and after other choices; a copy elsewhere is another file."""
    named("mine.py")
    monkeypatch.setenv("DLPLUG_PLUGIN_FILES", "")  # another process
    disable("dlplug:focal")
    assert add("mine.py").find("losses", "A").file == str(mine)
    assert read_choices() == {"disabled": ["dlplug:focal"], "files": [str(mine)]}
    Path("other.py").write_text(mine.read_text())
    with pytest.raises(UntrustedError):
        add("other.py")


def test_a_path_that_is_a_link_is_where_it_leads(mine):
    """Whoever may change the link could lead it elsewhere."""
    named("mine.py")
    os.symlink("/dev/null", "link.py")
    with pytest.raises(UntrustedError):
        add("link.py")


def test_a_child_takes_what_its_parent_was_told(mine, monkeypatch):
    """A process that a training starts inherits the variable."""
    named("mine.py")
    choices_file().unlink()
    assert add("mine.py").files() == [str(mine)]


def test_the_command_line_stands_in_for_a_file_that_moved(mine):
    """A run goes on where its file lies elsewhere, under the same name."""
    registry = Registry.discover(files=["mine.py"])
    registry.add_files([("/gone/mine.py", WHERE)])
    assert registry.files() == [str(mine)]


def test_files_that_are_gone_are_forgotten(mine):
    """The list does not grow for ever."""
    named("mine.py")
    mine.rename("other.py")
    named("other.py")
    assert read_choices()["files"] == [str(mine.with_name("other.py"))]


def test_where_nothing_can_be_written_the_file_is_used_all_the_same(mine, monkeypatch):
    """A container has no home; the user is asked again by the next config."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(mine))
    assert named("mine.py").files() == [str(mine)]


def test_the_fix_can_be_copied(mine):
    """A path may hold what a shell takes for its own."""
    mine.rename("my $net.py")
    with pytest.raises(UntrustedError) as caught:
        add("my $net.py")
    assert caught.value.fix.endswith("--plugin 'my $net.py'")


def test_looking_at_a_file_accepts_nothing(mine):
    """`plugins list --plugin` and completion run no code of it."""
    registry = Registry.discover(files=["mine.py"])
    assert registry.components("losses") and registry.entries()
    assert not choices_file().exists()


def test_a_file_that_is_blocked_is_not_accepted(mine):
    """Its code is not run either."""
    named("mine.py", block=["mine.py"])
    assert not choices_file().exists()


def test_hooks_that_are_loaded_come_first(mine):
    """A file whose hooks would be passed over is refused."""
    registry = Registry.discover(files=["mine.py"])
    registry.load_hooks()
    Path("late.py").write_text("from dlplug import hookimpl\n@hookimpl\ndef dlplug_health(): ...\n")
    Registry.discover(files=["late.py"])
    with pytest.raises(PluginError, match="comes too late"):
        registry.add_files([("late.py", WHERE)])
