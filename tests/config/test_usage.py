"""The config files at hand."""

import pytest

from dlplug.config.usage import config_files, configs_folder, front_comment
from dlplug.plugin import Registry

CONFIG = """# yaml-language-server: $schema=schema.json
# A first line
# and a second.

# Not this.
architecture: {name: vit, depth: 2}
data: {name: mnist, transforms: [random_shift]}
callbacks: [ema, {name: early_stopping}]
loggers+: csv
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)

    def write_one(text, name="a.yaml"):
        (tmp_path / "configs" / name).write_text(text)
        return config_files(configs_folder(), Registry.discover())

    return write_one


def test_every_component_of_a_config_is_known(write):
    """At any depth, and the task that holds where none is named."""
    (file,) = write(CONFIG)
    assert str(file.path) == "configs/a.yaml"
    assert file.about == "A first line and a second."
    assert set(file.names) >= {
        ("architectures", "vit"),
        ("datamodules", "mnist"),
        ("transforms", "random_shift"),
        ("callbacks", "ema"),
        ("callbacks", "early_stopping"),
        ("loggers", "csv"),
        ("tasks", "classification"),
    }
    assert file.name_of("architectures") == "vit" and file.name_of("losses") is None


@pytest.mark.parametrize("name", ["pretrained", "dlplug:pretrained"])
def test_the_run_that_a_config_starts_from_is_known(write, name):
    """Of the callback pretrained, among others; else there is none."""
    callbacks = f"callbacks: [ema, {{name: {name}, checkpoint: old, replace: [head]}}]\n"
    files = write("architecture: vit\n" + callbacks), write(CONFIG)
    assert [file.starts_from for (file,) in files] == ["old", None]


def test_an_id_names_a_component_too(write):
    """Either form."""
    (file,) = write("architecture: dlplug:vit\n")
    assert file.uses("architectures", "vit", "dlplug:vit")
    assert not file.uses("architectures", "mlp", "dlplug:mlp")


def test_what_the_task_declares_is_used(fake_distribution, write):
    """Unless the config says something else."""
    code = "class Task:\n    slot_defaults = {'loss': 'focal', 'metrics': ['f1', 'accuracy']}\n"
    fake_distribution(
        "acme", entry_points={"dlplug.tasks": {"acme": "acme_t:Task"}}, modules={"acme_t": code}
    )
    (file,) = write("task: acme\nmetrics: [accuracy]\n")
    assert ("losses", "focal") in file.names and ("metrics", "f1") not in file.names


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "x: 1\n", "", "\x00"])
def test_what_is_no_config_is_left_out(write, text):
    """Broken YAML, another mapping, nothing."""
    write("architecture: mlp\n", "b.yaml")
    assert [file.path.name for file in write(text)] == ["b.yaml"]


def test_an_unknown_task_is_no_error(write):
    """The file is somebody else's."""
    (file,) = write("task: nothing\nloss: 3\ncallbacks: {ema: {decay: 1}}\n")
    assert file.name_of("tasks") == "nothing"


def test_without_a_folder_that_of_the_checkout_is_taken(tmp_path, monkeypatch):
    """Wherever one stands."""
    monkeypatch.chdir(tmp_path)
    assert (configs_folder() / "digits_mlp.yaml").is_file()
    assert config_files(None, Registry.discover()) == []


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    """There, nothing stands beside the package; without both there are none."""
    package = tmp_path / "site-packages" / "dlplug"
    package.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dlplug.__file__", str(package / "__init__.py"))
    assert configs_folder() is None
    (package / "configs").mkdir()
    assert configs_folder() == package / "configs"


def test_a_file_without_a_comment_has_none(tmp_path):
    """An empty text."""
    (tmp_path / "a.yaml").write_text("architecture: mlp\n")
    assert front_comment(tmp_path / "a.yaml") == ""


def test_a_command_in_a_comment_is_a_line_of_its_own(tmp_path):
    """What stands around it is not run together with it."""
    (tmp_path / "a.yaml").write_text(
        "# From a run.\n# Train that first:\n# python -m dlplug fit --config b.yaml\n"
        "# Ten seconds,\n# or twenty.\n"
    )
    assert front_comment(tmp_path / "a.yaml").splitlines() == [
        "From a run. Train that first:",
        "python -m dlplug fit --config b.yaml",
        "Ten seconds, or twenty.",
    ]
