"""The JSON schema of a config."""

import sys
from pathlib import Path

import jsonschema
import pytest

from dlplug.config import load
from dlplug.config.document import load_file
from dlplug.config.facts_cache import FactsCache
from dlplug.config.schema import config_schema, unknown_components
from dlplug.plugin import Registry

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema():
    """Of what is built in; made once."""
    return config_schema(Registry.discover(allow=[]), FactsCache(None))


@pytest.fixture(scope="module")
def errors(schema):
    """Gives what is wrong with a config, as (path, message) of each."""
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def found(config):
        return [(error.json_path, error.message) for error in validator.iter_errors(config)]

    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_is_valid(path, errors):
    """All configs of the repository."""
    assert errors(load_file(path).plain()) == []


def test_a_resolved_config_is_valid(errors):
    """It names everything by id and spells out every default."""
    made = load([FILES[0].parent / "digits_mlp.yaml"], [], Registry.discover(allow=[]))
    assert errors(made.resolved) == []


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"architecture": "vit", "loss": "dlplug:focal", "scheduler": None},
        {"architecture": {"name": "dlplug:vit", "depth": 2, "num_outputs": None}},
        {"architecture": {"name": "vit", "init_args": {"depth": 2}}},
        {"loss": {"class_path": "torch.nn.CrossEntropyLoss", "init_args": {"reduction": "sum"}}},
        {"optimizer": {"lr": 0.1}},
        {"callbacks": "ema", "callbacks+": {"name": "ema", "decay": 0.5}, "metrics": None},
        {"callbacks": {"ema": {"decay": 0.9}}},
        {"data": {"name": "mnist", "transforms": ["random_shift", {"name": "random_shift"}]}},
        {"loggers": [{"name": "csv", "init_args": {"name": "x", "save_dir": "a"}}]},
        {"trainer": {"max_epochs": 3, "precision": "bf16-mixed", "devices": "auto"}},
        {"trainer": {"strategy": {"class_path": "lightning.pytorch.strategies.DDPStrategy"}}},
        {"seed_everything": True, "name": "x", "plugins": {"block": "acme", "strict": True}},
    ],
    ids=str,
)
def test_every_spelling_is_valid(config, errors):
    """Of `dlplug/config/README.md`."""
    assert errors(config) == []


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"optimzer": "adam"}, "$"),
        ({"architecture": "vitt"}, "$.architecture"),
        ({"architecture": {"nmae": "vit"}}, "$.architecture"),
        ({"architecture": {"name": "mlp", "dropuot": 0.1}}, "$.architecture"),
        ({"architecture": {"name": "mlp", "dropout": "much"}}, "$.architecture"),
        ({"architecture": {"name": "mlp", "patch_size": 4}}, "$.architecture"),
        ({"architecture": {"name": "mlp", "init_args": {"dropuot": 1}}}, "$.architecture"),
        ({"architecture": "focal"}, "$.architecture"),
        ({"optimizer": {"lrr": 0.1}}, "$.optimizer"),
        ({"callbacks": ["emma"]}, "$.callbacks"),
        ({"callbacks": [{"name": "ema", "decay": "slow"}]}, "$.callbacks"),
        ({"callbacks": {"name": "emma"}}, "$.callbacks"),
        ({"data": {"name": "mnist", "transforms": ["random_shft"]}}, "$.data"),
        ({"trainer": {"max_epoch": 3}}, "$.trainer"),
        ({"trainer": {"max_epochs": "three"}}, "$.trainer.max_epochs"),
        ({"trainer": {"precision": "bf16-mixd"}}, "$.trainer.precision"),
        ({"seed_everything": -1}, "$.seed_everything"),
        ({"name": "../x"}, "$.name"),
        ({"plugins": {"blok": "x"}}, "$.plugins"),
    ],
    ids=str,
)
def test_a_broken_config_is_not(config, path, errors):
    """A wrong key, name or type, and where it stands."""
    assert [where for where, _ in errors(config)] == [path]


def test_an_editor_can_show_what_is_known(schema):
    """Descriptions, defaults, and a branch with a constant name for each component."""
    vit = schema["$defs"]["architecture-dlplug-vit"]
    assert vit["properties"]["name"]["anyOf"][0] == {"const": "vit"}
    assert vit["properties"]["depth"] == {
        "type": "integer",
        "default": 6,
        "description": "Number of blocks.",
    }
    assert vit["properties"]["in_channels"]["description"].endswith("Filled by the data.")
    assert schema["properties"]["loss"]["default"] == "cross_entropy"
    names = {word.get("const") for word in schema["$defs"]["losses"]["anyOf"][0]["anyOf"]}
    assert {"focal", "cross_entropy"} <= names


def valid(config, registry, is_loaded=True):
    built = config_schema(registry, FactsCache(None), is_loaded)
    return not list(jsonschema.Draft202012Validator(built).iter_errors(config))


@pytest.fixture
def only_losses(monkeypatch):
    """Other kinds are left out, which would be imported for nothing."""
    from dlplug.config import schema

    monkeypatch.setattr(schema, "TRAITS", {"losses": schema.TRAITS["losses"]})
    monkeypatch.setattr(schema, "SLOTS", {"loss": schema.SLOTS["loss"]})


def test_a_component_that_does_not_load_keeps_its_name(fake_distribution, only_losses):
    """Its arguments are unknown; on another machine it may load."""
    fake_distribution(
        "acme",
        entry_points={"dlplug.losses": {"acme_dice": "acme_s:Dice"}},
        modules={"acme_s": "import nothing_here"},
    )
    registry = Registry.discover()
    assert valid({"loss": {"name": "acme_dice", "smooth": 1}}, registry)
    assert not valid({"loss": "acme_dcie"}, registry)


def test_of_two_with_one_name_only_the_ids_are_valid(fake_distribution, only_losses):
    """As in a config."""
    fake_distribution(
        "acme",
        entry_points={"dlplug.losses": {"focal": "acme_s:Dice"}},
        modules={"acme_s": "def Dice(output, target, smooth: float = 1.0): ..."},
    )
    registry = Registry.discover()
    assert valid({"loss": {"name": "acme:focal", "smooth": 2}}, registry)
    assert valid({"loss": {"name": "dlplug:focal", "gamma": 2}}, registry)
    assert not valid({"loss": "focal"}, registry)
    assert not valid({"loss": {"name": "acme:focal", "gamma": 2}}, registry)


def test_hooks_may_offer_names_that_the_schema_does_not_know(fake_distribution, only_losses):
    """So unknown names are let through; known ones are checked as before."""
    fake_distribution("acme", entry_points={"dlplug": {"hooks": "acme_s"}})
    registry = Registry.discover()
    assert valid({"loss": {"name": "timm.x", "a": 1}}, registry)
    assert valid({"loss": "timm.x"}, registry)
    assert not valid({"loss": {"name": "focal", "gama": 1}}, registry)


def test_a_plugin_is_not_imported_for_it(fake_distribution, only_losses, tmp_path):
    """Its name has a branch at once; its arguments are checked once they are known."""
    fake_distribution(
        "acme",
        entry_points={"dlplug.losses": {"acme_dice": "acme_s:Dice"}},
        modules={"acme_s": "def Dice(output, target, smooth: float = 1.0): ..."},
    )
    registry, cache = Registry.discover(), FactsCache(tmp_path / "facts.json")
    built = config_schema(registry, cache)
    branch = built["$defs"]["loss-acme-acme_dice"]
    assert branch["properties"]["name"]["anyOf"][0] == {"const": "acme_dice"}
    assert "additionalProperties" not in branch and "acme_s" not in sys.modules
    assert [c.id for c in unknown_components(registry, cache)] == ["acme:acme_dice"]
    wrong = {"loss": {"name": "acme_dice", "smoth": 1}}
    assert valid(wrong, registry, is_loaded=False)
    cache.of_component(registry.find("losses", "acme_dice"))  # as `describe` does
    branch = config_schema(registry, cache)["$defs"]["loss-acme-acme_dice"]
    assert branch["additionalProperties"] is False and "smooth" in branch["properties"]
    assert unknown_components(registry, cache) == []
    assert not valid(wrong, registry)
