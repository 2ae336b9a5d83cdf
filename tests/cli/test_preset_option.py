"""``--preset NAME``: a plugin's YAML below --config and the overrides."""

import hashlib
import sys

import pytest
import yaml

from tests.cli.test_candidates import after

PRESET = """
# Digits with a network of eight units.
architecture: {name: mlp, hidden: [8]}
data: {name: digits, batch_size: 256}
optimizer: {name: adamw, lr: 0.5}
trainer: {max_epochs: 3}
"""


@pytest.fixture(autouse=True)
def acme(fake_distribution):
    """A distribution with two presets; importing it would fail."""
    site = fake_distribution(
        "acme-vision",
        entry_points={
            "dlplug.presets": {
                "small": "acme_vision.presets:small",
                "wrong": "acme_vision.presets:wrong",
            }
        },
        modules={"acme_vision.net": ""},
    )
    (site / "acme_vision" / "__init__.py").write_text("raise SystemExit")
    (site / "acme_vision" / "presets").mkdir()
    (site / "acme_vision" / "presets" / "small.yaml").write_text(PRESET.lstrip())
    (site / "acme_vision" / "presets" / "wrong.yaml").write_text("\nlos: focal\n")
    return site


def test_a_config_and_the_command_line_stand_over_a_preset(command, tmp_path):
    """Wherever the options stand; the name is the preset's where nothing else says one."""
    (tmp_path / "mine.yaml").write_text("optimizer: {lr: 0.25}\ntrainer: {max_epochs: 2}\n")
    given = ("--config", "mine.yaml", "--preset", "acme-vision:small", "--trainer.max_epochs", "1")
    resolved = yaml.safe_load(command("fit", *given, "--print_config").out)
    assert resolved["architecture"]["hidden"] == [8] and resolved["optimizer"]["lr"] == 0.25
    assert resolved["trainer"]["max_epochs"] == 1 and resolved["name"] == "mine"
    resolved = yaml.safe_load(command("fit", "--preset", "small", "--print_config").out)
    assert resolved["name"] == "small" and resolved["optimizer"]["lr"] == 0.5
    assert "acme_vision" not in sys.modules


def test_presets_are_listed_described_and_completed(command, acme):
    """Like any component; nothing is imported for it."""
    listed = command("plugins", "list", "--kind", "presets", "--json").json["components"]
    assert [row["id"] for row in listed] == ["acme-vision:small", "acme-vision:wrong"]
    path = str(acme / "acme_vision" / "presets" / "small.yaml")
    (info,) = command("plugins", "info", "small", "--json").json["components"]
    assert info["file"] == path and info["summary"] == "Digits with a network of eight units."
    described = command("describe", "preset", "small").out
    assert path in described and PRESET.strip() in described
    assert command("describe", "preset", "small", "--json").json["text"] == PRESET.lstrip()
    assert after("fit --preset sm") == ["small"] and after("fit --pres") == ["--preset"]
    assert "acme_vision" not in sys.modules


def test_what_is_wrong_in_a_preset_has_its_file_and_line(command, acme):
    """And a preset that is not there is told with the ones that are."""
    done = command("fit", "--preset", "wrong")
    assert done.code == 2 and "no key 'los' in a config" in done.err
    assert f"where: {acme / 'acme_vision' / 'presets' / 'wrong.yaml'}, line 2, los" in done.err
    done = command("fit", "--preset", "smal")
    assert done.code == 2 and "no preset named 'smal'" in done.err
    assert "known: small, wrong (acme-vision 1.0)" in done.err
    assert "did you mean 'small'?" in done.err


LIMITS = ("--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1")


def test_a_preset_is_enough_to_train_and_to_lock(command):
    """The run's config holds what it says, so that its lock needs no preset."""
    assert command("plugins", "lock", "--preset", "small").code == 0
    assert command("fit", "--preset", "small", "--locked", *LIMITS).code == 0
    assert command("test", "--run", "small").code == 0
    more = ("--trainer.limit_train_batches", "1", "--trainer.max_epochs", "2")
    assert command("fit", "--run", "small", "--locked", *more).code == 0


def test_a_changed_preset_is_refused(command, acme):
    """By a lock of it, or of everything; one that does not know it is no proof."""
    path = acme / "acme_vision" / "presets" / "small.yaml"
    fit = ("fit", "--preset", "small", "--locked", *LIMITS)
    for written in (["--preset", "small"], []):
        assert command("plugins", "lock", *written).code == 0
        path.write_text(path.read_text() + "# more\n")
        done = command(*fit)
        assert done.code == 2 and "acme-vision:small (presets): file " in done.err, done.err
        assert command("plugins", "lock", "--check", *written).code == 2
    command("plugins", "lock", "--architecture", "mlp", "--data", "digits")
    assert "acme-vision:small (presets): here, not in plugins.lock" in command(*fit).err
    (entry,) = [
        entry
        for entry in command("plugins", "lock", "--json").json["lock"]["components"]
        if entry["id"] == "acme-vision:small"
    ]
    assert entry["entry_point"] == "acme_vision.presets:small"
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    ids = {e["id"]: e for e in command("plugins", "lock", "--json").json["lock"]["components"]}
    assert ids["acme-vision:small"]["sha256"] is None
