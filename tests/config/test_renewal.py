"""Old names in configs mean what is now called otherwise."""

import pytest

from dlplug.config import load
from dlplug.config.renewal import renewed, renewed_plain
from dlplug.config.tree import Origin, from_plain
from dlplug.config.upgrade import upgraded
from dlplug.errors import ComponentConflictError, ConfigError, InvalidValueError, PluginError
from dlplug.plugin import Registry
from dlplug.plugin import builtins as table

MODULE = """
    from torch import nn
    from lightning.pytorch import Callback

    class Net(nn.Module):
        def __init__(self, num_outputs: int, num_features: int, width: int = 8, deep: int = 1):
            super().__init__()
            self.width, self.deep = width, deep
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(num_features, width), nn.Linear(width, num_outputs))

        def forward(self, x):
            return self.layers(x)

    class Slower(Callback):
        def __init__(self, factor: float = 0.5):
            self.factor = factor

    def shift(x, pixels: int = 1):
        return x
"""
LINES = {
    "dlplug.architectures": {"net": "acme_nets:Net"},
    "dlplug.callbacks": {"slower": "acme_nets:Slower"},
    "dlplug.transforms": {"shift": "acme_nets:shift"},
    "dlplug.renamed": {
        "architectures.oldest": "older",
        "architectures.older": "net",
        "callbacks.brake": "slower",
        "transforms.move": "shift",
    },
    "dlplug.renamed_parameters": {
        "architectures.net.hidden": "size",
        "architectures.net.size": "width",
        "architectures.older.depth": "deep",
        "callbacks.slower.f": "factor",
        "transforms.shift.by": "pixels",
    },
}
OLD = """\
# made long ago
data:
  name: digits
  transforms: [{name: "move", by: 2}]   # a little
architecture:
  name: oldest  # the good one
  hidden: 5
callbacks:
  - {name: acme-nets:brake, f: 0.25}
"""


@pytest.fixture
def registry(fake_distribution):
    fake_distribution("acme-nets", "2.0", entry_points=LINES, modules={"acme_nets": MODULE})
    return Registry.discover()


@pytest.fixture
def config(tmp_path):
    def write(text, name="a.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_old_names_mean_the_present_ones(registry, config, capsys):
    """Of components and arguments, at any depth, by short name and id; each is said once."""
    experiment = load([config(OLD)], registry=registry)
    assert experiment.resolved["architecture"] == {
        "name": "acme-nets:net",
        "num_outputs": 10,
        "num_features": 64,
        "width": 5,
        "deep": 1,
    }
    assert experiment.resolved["callbacks"] == [{"name": "acme-nets:slower", "factor": 0.25}]
    assert experiment.resolved["data"]["transforms"] == [{"name": "acme-nets:shift", "pixels": 2}]
    lines = capsys.readouterr().err.splitlines()
    path = config(OLD)
    assert sorted(lines) == sorted(
        [
            f"transform 'move' is now called 'shift' ({path}, line 4)",
            f"the argument of transform 'shift' 'by' is now called 'pixels' ({path}, line 4)",
            f"architecture 'oldest' is now called 'net' ({path}, line 6)",
            f"the argument of architecture 'net' 'hidden' is now called 'width' ({path}, line 7)",
            f"callback 'acme-nets:brake' is now called 'acme-nets:slower' ({path}, line 9)",
            "the argument of callback 'acme-nets:slower' 'f' is now called 'factor'"
            f" ({path}, line 9)",
        ]
    )


@pytest.mark.parametrize(
    ("overrides", "width", "deep"),
    [
        ([("architecture.width", "7")], 7, 1),
        ([("architecture.hidden", "7")], 7, 1),
        ([("architecture.size", "7"), ("architecture.depth", "2")], 7, 2),
        ([("architecture", "net"), ("architecture.deep", "3")], 5, 3),
        ([("architecture", "older")], 5, 1),
    ],
)
def test_old_and_new_names_meet(registry, config, overrides, width, deep):
    """What is laid over a file wins, whichever of the names either of them uses."""
    experiment = load([config(OLD)], overrides, registry)
    chosen = experiment.resolved["architecture"]
    assert (chosen["width"], chosen["deep"]) == (width, deep)


def test_elements_are_addressed_by_old_names(registry, config):
    """``--callbacks.brake.f`` reaches the element that a file calls by its new name."""
    path = config("data: digits\narchitecture: net\ncallbacks: [slower]\n")
    experiment = load([path], [("callbacks.brake.f", "0.1")], registry)
    assert experiment.resolved["callbacks"] == [{"name": "acme-nets:slower", "factor": 0.1}]


def test_old_arguments_of_a_default_are_renewed(registry, config, monkeypatch):
    """Given without a name, they are the default's, which is known only when the task is."""
    monkeypatch.setitem(table.RENAMED_PARAMETERS, "optimizers.adamw.rate", "lr")
    path = config("data: digits\narchitecture: net\noptimizer: {rate: 0.2}\n")
    assert load([path]).resolved["optimizer"]["lr"] == 0.2
    assert load([path], [("optimizer.lr", "0.3")]).resolved["optimizer"]["lr"] == 0.3


def test_both_names_in_one_place_are_an_error(registry, config):
    """Neither is ignored."""
    path = config("data: digits\narchitecture: {name: net, hidden: 5, width: 6}\n")
    with pytest.raises(
        InvalidValueError, match="'hidden' is now called 'width', and both"
    ) as error:
        load([path], registry=registry)
    assert "architecture.hidden" in error.value.where


def test_plain_data_is_renewed_too(registry):
    """A checkpoint's record; what names nothing stays."""
    old = {"architecture": {"name": "acme-nets:older", "hidden": 3}, "seed_everything": 4}
    expected = {"architecture": {"name": "acme-nets:net", "width": 3}, "seed_everything": 4}
    assert renewed_plain(old, registry, "x.ckpt") == expected
    assert renewed_plain({"architecture": 7, "loss": None}, registry, "x") == {
        "architecture": 7,
        "loss": None,
    }


def test_a_name_of_two_providers_is_left_to_the_registry(registry, fake_distribution, config):
    """An old name counts like a present one: of two providers neither is chosen silently."""
    fake_distribution("rival", entry_points={"dlplug.architectures": {"older": "acme_nets:Net"}})
    path = config("data: digits\narchitecture: older\n")
    with pytest.raises(
        ComponentConflictError, match=r"'older': provided by acme-nets 2\.0 and rival"
    ):
        load([path], registry=Registry.discover())
    by_id = config("data: digits\narchitecture: acme-nets:older\n")
    experiment = load([by_id], registry=Registry.discover())
    assert experiment.resolved["architecture"]["name"] == "acme-nets:net"


def test_a_false_word_of_the_authors_is_named(fake_distribution, config):
    """A parameter that still exists, or a new one that does not."""
    for number, (old, new, names) in enumerate(
        [
            ("width", "size", "'width'"),
            ("width", "deep", "'width' and 'deep'"),
            ("a", "b", "neither"),
        ]
    ):
        lines = {"dlplug.architectures": {f"net{number}": f"acme_{number}:Net"}}
        lines["dlplug.renamed_parameters"] = {f"architectures.net{number}.{old}": new}
        fake_distribution(f"acme-{number}", entry_points=lines, modules={f"acme_{number}": MODULE})
        path = config(f"data: digits\narchitecture: net{number}\n")
        with pytest.raises(PluginError, match=f"is now called '{new}', but it has {names}"):
            load([path], registry=Registry.discover())


def test_nothing_is_renewed_where_no_name_is_old(capsys):
    """An equal tree, and not a word."""
    tree = from_plain({"architecture": "mlp", "scheduler": {"warmup": 0.1}}, Origin("x"))
    registry = Registry.discover(distributions=[])
    assert renewed(tree, registry) == tree
    assert capsys.readouterr().err == ""


def test_a_config_is_upgraded_in_its_text(registry, config):
    """Comments, quotes and form stay; the result has no old names."""
    path = config(OLD)
    old, new = upgraded(path, registry)
    assert old == OLD
    assert (
        new
        == """\
# made long ago
data:
  name: digits
  transforms: [{name: "shift", pixels: 2}]   # a little
architecture:
  name: net  # the good one
  width: 5
callbacks:
  - {name: acme-nets:slower, factor: 0.25}
"""
    )
    assert upgraded(config(new), registry) == (new, new)


def test_line_ends_stay_as_they_are(registry, config):
    """Those of Windows, too."""
    path = config("")
    path.write_bytes(OLD.replace("\n", "\r\n").encode())
    old, new = upgraded(path, registry)
    assert new == upgraded(config(OLD), registry)[1].replace("\n", "\r\n")
    assert "oldest" in old and new.count("\r\n") == OLD.count("\n")


def test_what_cannot_be_upgraded_is_left_to_the_author(registry, config):
    """Text that several places share, or that is merged."""
    shared = "data: digits\narchitecture: &a {name: net, <<: {hidden: 5}}\n"
    with pytest.raises(ConfigError, match="'hidden' comes from a mapping that is merged"):
        upgraded(config(shared), registry)
    twice = "data: digits\ncallbacks: [&s slower, {name: slower, f: 1.0}, {name: net, f: *s}]\n"
    assert upgraded(config(twice), registry)[1] == twice.replace("slower, f", "slower, factor")
