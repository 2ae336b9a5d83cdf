"""A run whose components were renamed since is tested, used and continued under its old record."""

import json

import pytest
import torch

from dlplug import config
from dlplug.cli import main
from dlplug.errors import CheckpointError
from dlplug.plugin import Registry
from dlplug.run import verbs
from dlplug.run.folder import Run
from tests.config.test_renewal import MODULE

CONFIG = """
seed_everything: 3
name: old
architecture: {name: older, size: 12}
optimizer: {name: adamw, lr: 0.003}
data: {name: digits, batch_size: 32}
callbacks: [{name: brake, f: 0.25}]
trainer: {max_epochs: 1, limit_train_batches: 8, limit_val_batches: 2, accelerator: cpu}
"""
FORMER = MODULE.replace("width: int", "size: int").replace("width", "size").replace("factor", "f")
NOW = {
    "dlplug.architectures": {"net": "acme_nets:Net"},
    "dlplug.callbacks": {"slower": "acme_nets:Slower"},
    "dlplug.renamed": {"architectures.older": "net", "callbacks.brake": "slower"},
    "dlplug.renamed_parameters": {
        "architectures.net.size": "width",
        "callbacks.slower.f": "factor",
    },
}


@pytest.fixture
def old_run(fake_distribution, tmp_path, monkeypatch, capsys):
    """Trained with version 1; installed now is version 2, with other names."""
    monkeypatch.chdir(tmp_path)
    lines = {
        "dlplug.architectures": {"older": "acme_nets:Net"},
        "dlplug.callbacks": {"brake": "acme_nets:Slower"},
    }
    site = fake_distribution("acme-nets", "1.0", entry_points=lines, modules={"acme_nets": FORMER})
    path = tmp_path / "old.yaml"
    path.write_text(CONFIG)
    result = verbs.fit(config.load([path]), progress=False)
    fake_distribution.forget_modules()
    info = site / "acme_nets-1.0.dist-info"
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    fake_distribution("acme-nets", "2.0", entry_points=NOW, modules={"acme_nets": MODULE})
    assert not Registry.discover().problems()
    capsys.readouterr()
    return Run(result.run)


def test_an_old_run_is_tested_and_continued(old_run, capsys, tmp_path):
    """With the record, the lock and the checkpoint of the old names."""
    before = json.loads((old_run.path / "test.json").read_text())["metrics"]
    assert main(["test", "--run", str(old_run.path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["metrics"] == pytest.approx(before)
    assert "architecture 'acme-nets:older' is now called 'acme-nets:net'" in err
    more = ("--trainer.max_epochs", "2", "--architecture.width", "12")
    assert main(["fit", "--run", str(old_run.path), *more]) == 0
    err = capsys.readouterr().err
    # The code did change, and so it says, under the present name and not as one side's only.
    assert "one side only" not in err
    assert "acme-nets:net (architectures): file " in err
    record = torch.load(old_run.last, weights_only=True)["dlplug"]["resolved"]
    assert (
        record["architecture"]["name"] == "acme-nets:net" and record["architecture"]["width"] == 12
    )
    assert old_run.status["status"] == "finished" and old_run.status["resumed"] == 1


def test_an_old_checkpoint_goes_with_a_new_config(old_run, tmp_path, capsys):
    """The names in its record are understood; another architecture is still refused."""
    new = tmp_path / "new.yaml"
    text = CONFIG.replace("older, size", "net, width").replace("brake, f", "slower, factor")
    new.write_text(text)
    result = verbs.test(config.load([new]), ckpt_path=old_run.best, progress=False)
    assert result.metrics
    assert "'acme-nets:older' is now called" in capsys.readouterr().err
    new.write_text(text.replace("name: net, width: 12", "name: mlp, hidden: [12]"))
    with pytest.raises(CheckpointError, match=r"of architecture acme-nets:net.*names dlplug:mlp"):
        verbs.test(config.load([new]), ckpt_path=old_run.best, progress=False)


def test_the_command_line_upgrades_a_file(old_run, tmp_path, capsys):
    """In place or elsewhere, with a diff; a second time there is nothing to do."""
    assert main(["config", "upgrade", "old.yaml", "--output", "new.yaml"]) == 0
    diff = capsys.readouterr().out
    assert "-architecture: {name: older, size: 12}\n+architecture: {name: net, width: 12}\n" in diff
    assert (tmp_path / "old.yaml").read_text() == CONFIG
    assert main(["config", "upgrade", "old.yaml"]) == 0
    assert (tmp_path / "old.yaml").read_text() == (tmp_path / "new.yaml").read_text() != CONFIG
    capsys.readouterr()
    assert main(["config", "upgrade", "old.yaml"]) == 0
    assert capsys.readouterr().out == "old.yaml has no old names\n"
    assert main(["config", "upgrade"]) == 2 and main(["config", "upgrade", "x.yaml"]) == 2
    assert main(["plugins", "info", "older"]) == 0
    out, err = capsys.readouterr()
    assert "acme_nets:Net" in out and "'older' is now called 'net'" in err
    assert main(["describe", "architecture", "older"]) == 0
    assert "'net' of acme-nets 2.0" in capsys.readouterr().out
