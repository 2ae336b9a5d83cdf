"""``plugins lock``, and ``fit --locked``."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

CONFIG = """
architecture: {name: mlp, hidden: [4]}
loss: acme_ce
data: {name: digits, batch_size: 256}
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, accelerator: cpu}
name: tiny
"""
LOSS = "from dlplug.losses.cross_entropy import CrossEntropyLoss as Loss\n"


@pytest.fixture
def site(fake_distribution, tmp_path):
    """A config with a loss of a distribution."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return fake_distribution(
        "acme",
        "1.0",
        entry_points={"dlplug.losses": {"acme_ce": "acme_losses:Loss"}},
        modules={"acme_losses": LOSS},
    )


def upgrade(site: Path) -> None:
    """Another version of acme is there."""
    metadata = site / "acme-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))


def test_a_lock_of_everything_imports_nothing(command, site):
    """It holds every component that can be used; the second time it agrees with itself."""
    done = command("plugins", "lock")
    assert done.code == 0 and done.out.startswith("wrote plugins.lock: ")
    assert "acme_losses" not in sys.modules
    lock = json.loads(Path("plugins.lock").read_text())
    ids = [entry["id"] for entry in lock["components"]]
    assert {"acme:acme_ce", "dlplug:vit"} <= set(ids)
    assert command("plugins", "lock", "--check").out.startswith("agrees with plugins.lock: ")


def test_a_lock_of_a_config_holds_what_it_uses(command, site):
    """No other component; --path and --json say where and what."""
    done = command("plugins", "lock", "--config", "tiny.yaml", "--path", "locks/a.lock", "--json")
    assert done.json["path"] == "locks/a.lock" and done.json["checked"] is False
    ids = [entry["id"] for entry in done.json["lock"]["components"]]
    assert "acme:acme_ce" in ids and "dlplug:vit" not in ids
    assert json.loads(Path("locks/a.lock").read_text()) == done.json["lock"]


def test_another_version_is_refused(command, site):
    """By --check and by fit --locked, with one error that names the difference."""
    difference = "acme: version 1.0 in plugins.lock, 1.1 here"
    command("plugins", "lock", "--config", "tiny.yaml")
    assert command("plugins", "lock", "--check", "--config", "tiny.yaml").code == 0
    upgrade(site)
    done = command("plugins", "lock", "--check", "--config", "tiny.yaml")
    assert done.code == 2 and difference in done.err
    refused = command("fit", "--config", "tiny.yaml", "--locked")
    assert refused.code == 2 and difference in refused.err and refused.err.count("Error:") == 1
    assert not Path("runs").exists()
    refused = command("fit", "--config", "tiny.yaml", "--lock", "other.lock")
    assert "cannot read the lock 'other.lock'" in refused.err


def test_a_run_goes_on_with_its_own_code_only(command, site):
    """--locked compares with the run's lock; without it, the change is said and the run goes on."""
    command("plugins", "lock")
    assert command("fit", "--config", "tiny.yaml", "--locked").code == 0
    Path("plugins.lock").unlink()
    upgrade(site)
    more = ("--trainer.max_epochs", "2")
    refused = command("fit", "--run", "tiny", "--locked", *more)
    assert refused.code == 2 and "version 1.0 in runs/tiny/1/plugins.lock, 1.1 here" in refused.err
    done = command("fit", "--run", "tiny", *more)
    assert done.code == 0
    assert "the code is not what runs/tiny/1 began with: acme: version 1.0" in done.err


def test_the_fix_can_be_copied_and_run(command, site, fake_distribution):
    """It holds the configs, overrides and options of the command line that was refused."""
    Path("a config.yaml").write_text(CONFIG)
    Path("mine.py").write_text('class A: ...\ndlplug_components = {"loss": A}')
    given = ["--config", "a config.yaml", "--optimizer.lr", "3e-3", "--plugin", "mine.py"]
    command("plugins", "lock", *given, "--path", "my.lock")
    upgrade(site)
    for refused in (
        command("fit", *given, "--lock", "my.lock"),
        command("plugins", "lock", "--check", *given, "--path", "my.lock"),
    ):
        assert refused.code == 2
        fix = refused.err.rpartition("accept what is here: ")[2].strip()
        assert "--config 'a config.yaml'" in fix
    assert command(*shlex.split(fix)[3:]).code == 0
    ids = [entry["id"] for entry in json.loads(Path("my.lock").read_text())["components"]]
    assert "acme:acme_ce" in ids
    done = command("plugins", "lock", "--check", *given, "--path", "my.lock")
    assert done.code == 0, done.err
    missing = command("fit", "--config", "tiny.yaml", "--locked")
    assert "accept what is here: python -m dlplug plugins lock --config tiny.yaml" in missing.err


HOOKS = """
from dlplug import hookimpl


@hookimpl
def dlplug_model_built(model, config):
    return None
"""


def test_a_hook_that_is_gone_is_a_difference_of_a_run(command, site, fake_distribution):
    """It may have changed the model; a project's lock may hold more than one config uses."""
    folder = fake_distribution(
        "acme-hooks",
        entry_points={"dlplug": {"hooks": "acme_hooks"}},
        modules={"acme_hooks": HOOKS},
        folder="hooks",
    )
    assert command("fit", "--config", "tiny.yaml").code == 0
    command("plugins", "lock")
    shutil.rmtree(folder / "acme_hooks-1.0.dist-info")
    refused = command("fit", "--run", "tiny", "--locked", "--trainer.max_epochs", "2")
    assert refused.code == 2
    assert "acme-hooks:hooks (hooks): in runs/tiny/1/plugins.lock, not here" in refused.err
    assert refused.err.rstrip().endswith("accept what is here: go on without --locked")
    assert command("fit", "--config", "tiny.yaml", "--locked").code == 0


def test_a_new_name_is_no_difference(command, fake_distribution, tmp_path):
    """Of a component that the lock calls as it was called then."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    lines = {"dlplug.losses": {"acme_ce": "acme_losses:Loss"}}
    site = fake_distribution("acme", entry_points=lines, modules={"acme_losses": LOSS})
    command("plugins", "lock", "--config", "tiny.yaml")
    (site / "acme-1.0.dist-info" / "entry_points.txt").write_text(
        "[dlplug.losses]\nacme_cross = acme_losses:Loss\n"
        "[dlplug.renamed]\nlosses.acme_ce = acme_cross\n"
    )
    done = command("plugins", "lock", "--check", "--config", "tiny.yaml")
    assert done.code == 0, done.err
    assert command("fit", "--config", "tiny.yaml", "--locked").code == 0


def test_a_config_that_is_only_printed_is_not_compared(command, site):
    """The option would be accepted and say nothing."""
    for option in (["--locked"], ["--lock", "my.lock"]):
        done = command("fit", "--config", "tiny.yaml", "--print_config", *option)
        assert done.code == 2 and f"{option[0]} would say nothing" in done.err
