"""What may come next on a command line."""

import pytest

from dlplug.cli.candidates import candidates
from dlplug.config.facts_cache import FactsCache
from dlplug.plugin import Registry
from dlplug.plugin.choices import disable


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with configs and runs, and facts of a few components."""
    tmp_path = tmp_path / "work"
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in ("configs/more", "runs/first/1", "runs/first/12", "runs/other/2", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    config = "architecture: vit\ncallbacks: [{name: ema, decay: 0.9}]\n"
    (tmp_path / "configs" / "a.yaml").write_text(config)
    (tmp_path / "configs" / "wrong.yaml").write_text("a: [")
    (tmp_path / "configs" / "b.txt").write_text("")
    (tmp_path / "x.npy").write_text("")
    registry, cache = Registry.discover(), FactsCache.of_this_environment()
    for kind, name in (
        ("architecture", "vit"),
        ("architecture", "mlp"),
        ("callback", "ema"),
        ("optimizer", "adamw"),
        ("data", "digits"),
    ):
        cache.of_component(registry.find(kind, name))
    cache.of_trainer()
    cache.save()


def after(line):
    """The values behind a line; a space at its end begins a word."""
    return [candidate.value for candidate in candidates(line.split(" "))]


def names(kind):
    return Registry.discover().names(kind)


def test_commands_come_first():
    """With their summaries."""
    assert after("")[: len(names("commands"))] == names("commands")
    assert after("desc") == ["describe"] and after("help gui") == ["guide"]
    assert candidates(["desc"])[0].about and after("--vers") == ["--version"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("fit --arch", ["--architecture", "--architecture."]),
        ("fit --callb", ["--callbacks", "--callbacks+", "--callbacks."]),
        ("fit --conf", ["--config"]),
        ("fit --config ", ["configs/", "runs/"]),
        ("fit --config configs/", ["configs/a.yaml", "configs/more/", "configs/wrong.yaml"]),
        ("fit --config=configs/a", ["--config=configs/a.yaml"]),
        ("fit --architecture vi", ["vit"]),
        ("fit --architecture=vi", ["--architecture=vit"]),
        ("fit --architecture dlplug:vi", ["dlplug:vit"]),
        ("fit --architecture.help vi", ["vit"]),
        ("fit --architecture vit --architecture.po", ["--architecture.pool"]),
        ("fit --architecture=vit --architecture.po", ["--architecture.pool"]),
        ("fit --config configs/a.yaml --architecture.po", ["--architecture.pool"]),
        ("fit --config configs/wrong.yaml --architecture vit --architecture.po",
         ["--architecture.pool"]),
        ("fit --config configs/a.yaml --architecture mlp --architecture.po", []),
        ("fit --optimizer.weight", ["--optimizer.weight_decay"]),
        ("fit --loss focal --loss.", ["--loss.help"]),
        ("fit --config configs/a.yaml --callbacks.", ["--callbacks.help", "--callbacks.ema."]),
        ("fit --callbacks+ ema --callbacks.ema.d", ["--callbacks.ema.decay"]),
        ("fit --data digits --data.transforms random_sh", ["random_shift"]),
        ("fit --trainer.max_e", ["--trainer.max_epochs"]),
        ("fit --trainer.precision bf16-m", ["bf16-mixed"]),
        ("fit --trainer.detect_anomaly ", ["true", "false"]),
        ("fit --trainer.max_epochs ", []),
        ("fit --callbacks+ em", ["ema"]),
        ("fit --resume a", ["auto"]),
        ("test --run ", ["latest", "first", "other", "runs/first/1", "runs/first/12",
                         "runs/other/2"]),
        ("predict --input ", ["configs/", "runs/", "x.npy"]),
        ("fit --nothing. ", None),
        ("fit --nothing.", []),
        ("describe sched", ["scheduler"]),
        ("describe architecture vi", ["vit"]),
        ("describe nonsense v", []),
        ("describe architecture vit x", []),
        ("plugins li", ["list"]),
        ("plugins list --kind sched", ["schedulers"]),
        ("plugins list --status fai", ["failed"]),
        ("plugins info vi", ["vit"]),
        ("config sch", ["schema"]),
        ("config schema --outp", ["--output"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("completion bash ", []),
        ("tune l", ["lr"]),
        ("runs pr", ["prune"]),
        ("runs show oth", ["other"]),
        ("runs show other x", []),
        ("runs prune --status f", ["finished", "failed"]),
        ("runs list --ro", ["--root"]),
        ("--block digi", None),
        ("--block mnist fit --data mni", []),
        ("nonsense ", []),
        ("doctor --js", ["--json"]),
    ],
)  # fmt: skip
def test_what_fits_is_offered(line, values):
    """And nothing else; None stands for: whatever, without an error."""
    found = after(line)
    assert values is None or found == values


def test_plugins_are_offered_as_soon_as_they_are_installed(fake_distribution):
    """Components, commands and names to block; nothing is imported."""
    fake_distribution(
        "acme-x",
        entry_points={
            "dlplug.losses": {"acme_dice": "acme_none:Dice"},
            "dlplug.commands": {"acme_run": "acme_none:run"},
        },
    )
    assert after("fit --loss acme") == ["acme_dice"] and after("acme") == ["acme_run"]
    assert after("--block acme-") == ["acme-x"] and after("acme_run --") == [
        f"--{name}" for name in ("block", "allow", "plugin", "strict", "traceback", "help")
    ]


def test_what_is_disabled_can_be_allowed():
    """Only that is offered; anything may be disabled."""
    disable("dlplug:focal")
    assert after("plugins allow dl") == ["dlplug:focal"]
    assert "dlplug" in after("plugins disable dl")


def test_what_a_plugin_file_offers_is_offered(tmp_path, monkeypatch):
    """Its path is completed, and then its names, from its text alone."""
    monkeypatch.chdir(tmp_path)
    text = 'raise OSError\ndlplug_components = {"architecture": {"my_net": Net}}'
    (tmp_path / "my_model.py").write_text(text)
    (tmp_path / "my_data.csv").touch()
    assert after("fit --plugin my_") == ["my_model.py"]
    assert after("fit --plugin my_model.py --architecture my") == ["my_net"]
    assert after("fit --architecture my") == []


def test_without_facts_the_help_is_offered(private_memory):
    """It is also what makes them known."""
    for file in private_memory.glob("dlplug/facts-*"):
        file.unlink()
    assert after("fit --architecture vit --architecture.") == ["--architecture.help"]
