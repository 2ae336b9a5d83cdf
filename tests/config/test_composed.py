"""Files and overrides before any name is looked up."""

import pytest

from dlplug.config import compose
from dlplug.errors import UnknownKeyError


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        paths = []
        for name, text in texts.items():
            paths.append(tmp_path / f"{name}.yaml")
            paths[-1].write_text(text)
        return paths

    return write


def test_files_and_overrides_are_laid_over_each_other(files):
    """The last file names the run; every value knows where it comes from."""
    paths = files(a="name: x\ntrainer:\n  max_epochs: 1\n", b="\nloss: focal\n")
    composed = compose(paths, [("trainer.precision", "bf16-mixed")])
    assert composed.tree.plain() == {
        "name": "x",
        "trainer": {"max_epochs": 1, "precision": "bf16-mixed"},
        "loss": "focal",
    }
    assert composed.name == "b"
    assert composed.where("trainer.max_epochs") == f"{paths[0]}, line 3"
    assert composed.where("loss") == f"{paths[1]}, line 2"
    assert composed.where("trainer.precision") == "command line"
    assert composed.where("metrics.0") == "dlplug's defaults"


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("achitecture", "did you mean 'architecture'?"),
        ("model", "did you mean 'architecture'?"),
        ("lr_scheduler", "did you mean 'scheduler'?"),
        ("callback", "did you mean 'callbacks'?"),
        ("ckpt_path", "'ckpt_path' is an option: --ckpt_path"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_is_refused_with_file_and_line(files, key, fix):
    """Typing errors, the words of other programs, and options."""
    paths = files(a=f"seed_everything: 1\n{key}: x\n")
    with pytest.raises(UnknownKeyError) as caught:
        compose(paths)
    assert caught.value.what == f"no key '{key}' in a config"
    assert caught.value.where == f"{paths[0]}, line 2, {key}"
    assert caught.value.fix == fix
    assert caught.value.known.startswith("task, architecture, loss, optimizer")


def test_an_unknown_key_of_an_earlier_file_counts(files):
    """Laying another file over it hides nothing."""
    with pytest.raises(UnknownKeyError, match="no key 'modle' in a config"):
        compose(files(a="modle: x", b="loss: focal"))


def test_a_rewritten_config_is_checked_again(files):
    """A plugin that upgrades a config cannot bring in keys that nobody reads."""
    composed = compose(files(a="loss: focal\n"))
    assert composed.rewritten({"loss": "dice"}, "upgraded").where("loss").endswith("a.yaml, line 1")
    with pytest.raises(UnknownKeyError, match="no key 'losss' in a config"):
        composed.rewritten({"losss": "dice"}, "upgraded")


def test_a_rewritten_config_keeps_what_was_typed(files):
    """A name that looks like a number is still the text; added keys name the plugin."""
    composed = compose(files(a="loss: {name: focal}\n"), [("name", "20240105")])
    plain = composed.tree.plain() | {"loss": {"name": "focal", "gamma": 2}}
    rewritten = composed.rewritten(plain, "upgraded by a plugin")
    assert rewritten.get("name").text == "20240105"
    assert rewritten.where("loss.gamma") == "upgraded by a plugin"
    assert rewritten.where("loss.name").endswith("a.yaml, line 1")
