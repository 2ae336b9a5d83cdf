"""``--plugin FILE`` and ``plugins: {files: [...]}``: code that nobody packaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dlplug.plugin.choices import choices_file
from tests import forked

ROOT = Path(__file__).parents[2]
SOURCE = '''"""A network of my own."""
from torch import nn


class MyNet(nn.Module):
    """Two layers."""

    def __init__(self, num_features: int, num_classes: int, width: int = 4):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(num_features, width), nn.Linear(width, num_classes)
        )

    def forward(self, x):
        return self.body(x)


class Scaled:
    """A transform, which the workers of a loader run."""

    def __call__(self, x):
        return x * 0.5


dlplug_components = {"architecture": {"my_net": MyNet}, "transforms": Scaled}
'''
CONFIG = """
architecture: {name: my_net, width: 8}
data: {name: digits, batch_size: 256}
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, accelerator: cpu}
name: tiny
"""
MORE = ("--trainer.max_epochs", "2")


@pytest.fixture(autouse=True)
def files(tmp_path):
    """A file with a network, and a config that uses it."""
    (tmp_path / "my_model.py").write_text(SOURCE)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def trained(command):
    """A run with the file."""
    assert command("fit", "--config", "tiny.yaml", "--plugin", "my_model.py").code == 0
    return Path("runs/tiny/1")


def test_a_file_is_listed_without_an_import(command):
    """With its status and identity; after --load as loaded."""
    listed = command("plugins", "list", "--plugin", "my_model.py", "--json").json
    rows = {c["id"]: c for c in listed["components"] if c["distribution"] == "my_model.py"}
    assert set(rows) == {"my_model.py:my_net", "my_model.py:Scaled"}
    assert rows["my_model.py:my_net"]["status"] == "available"
    assert "dlplug.plugin.files.my_model" not in sys.modules
    shown = command("plugins", "info", "my_net", "--plugin", "my_model.py")
    assert "status:      loaded" in shown.out and "width         int = 4" in shown.out
    shown = command("plugins", "info", "my_model.py", "--plugin", "my_model.py")
    assert "A network of my own." in shown.out
    assert (
        "architecture"
        in command("describe", "architecture", "my_net", "--plugin", "my_model.py").out
    )


def test_a_run_records_the_file(trained, files):
    """Its path in the configs, its hash in the lock, and the file itself beside them."""
    path = str(files / "my_model.py")
    for name in ("config.yaml", "resolved.yaml"):
        assert yaml.safe_load((trained / name).read_text())["plugins"]["files"] == [path]
    resolved = yaml.safe_load((trained / "resolved.yaml").read_text())
    assert resolved["architecture"]["name"] == "my_model.py:my_net"
    lock = json.loads((trained / "plugins.lock").read_text())
    assert len(lock["distributions"]["my_model.py"]["sha256"]) == 64
    assert (trained / "plugins" / "my_model.py").read_text() == SOURCE


def test_a_run_is_enough_to_go_on(command, trained):
    """For fit, test and predict: the user has named the file once."""
    done = command("fit", "--run", "tiny", "--locked", *MORE)
    assert done.code == 0 and "the code is not what" not in done.err
    assert command("test", "--run", "tiny").code == 0


def test_a_changed_file_is_a_warning_or_with_locked_an_error(command, trained, files):
    """Once, with both hashes."""
    (files / "my_model.py").write_text(SOURCE + "# changed\n")
    refused = command("fit", "--run", "tiny", "--locked", *MORE)
    difference = "my_model.py: sha256 "
    assert refused.code == 2 and refused.err.count(difference) == 1
    done = command("fit", "--run", "tiny", *MORE)
    assert done.code == 0 and done.err.count(difference) == 1
    # What each start ran is still there.
    assert (trained / "plugins.1" / "my_model.py").read_text() == SOURCE + "# changed\n"
    assert (trained / "plugins" / "my_model.py").read_text() == SOURCE
    done = command("fit", "--run", "tiny", "--locked", "--trainer.max_epochs", "3")
    assert done.code == 2
    copy = str(trained / "plugins" / "my_model.py")
    done = command(
        "fit", "--run", "tiny", "--locked", "--plugin", copy, "--trainer.max_epochs", "3"
    )
    assert done.code == 0, done.err
    assert not (trained / "plugins.2").exists()


def test_a_start_with_code_that_is_kept_already_keeps_no_copy(command, trained, files):
    """Whichever earlier start it was that ran the same."""
    for start, source in enumerate([SOURCE + "# changed\n"] * 2 + [SOURCE], 2):
        (files / "my_model.py").write_text(source)
        done = command("fit", "--run", "tiny", "--trainer.max_epochs", str(start))
        assert done.code == 0, done.err
    assert sorted(path.name for path in trained.glob("plugins*") if path.is_dir()) == [
        "plugins",
        "plugins.1",
    ]


def test_a_strangers_run_cannot_bring_code(command, trained):
    """A config or a run may come from anywhere; its file is run when the user names it."""
    choices_file().unlink()
    shutil.copy("my_model.py", "evil.py")
    resolved = trained / "resolved.yaml"
    resolved.write_text(resolved.read_text().replace("my_model.py", "evil.py"))
    done = command("test", "--run", "tiny")
    assert done.code == 2 and "UntrustedError: this config wants to run the code of" in done.err
    assert "dlplug.plugin.files.evil" not in sys.modules


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--plugin"], "--plugin needs a file"),
        (["--plugin", "no.py"], "no plugin file"),
        (["--plugin", "tiny.yaml"], "is no Python file"),
    ],
)
def test_wrong_arguments_are_told(command, given, message):
    """With exit code 2."""
    done = command("plugins", "list", *given)
    assert done.code == 2 and message in done.err


def test_a_wrong_section_is_told(command):
    """With file and line."""
    Path("tiny.yaml").write_text(CONFIG + "plugins:\n  files: 3\n")
    done = command("fit", "--config", "tiny.yaml")
    assert done.code == 2 and "plugins.files must be a list of paths, got 3" in done.err
    assert "where: tiny.yaml, line 7, plugins.files" in done.err
    Path("tiny.yaml").write_text(CONFIG + "plugins:\n  files: nowhere.py\n")
    done = command("fit", "--config", "tiny.yaml")
    assert done.code == 2 and "wants to run the code of 'nowhere.py'" in done.err


OWN_DATA = """
import lightning
import torch
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.randn(8, generator=generator), index % 2


class MyData(lightning.LightningDataModule):
    data_spec = {"num_features": 8, "num_classes": 2}

    def train_dataloader(self):
        return DataLoader(Rows(), 16, num_workers=1, multiprocessing_context="spawn")

    def val_dataloader(self):
        return DataLoader(Rows(), 16)

    test_dataloader = val_dataloader
"""


@pytest.mark.slow
def test_every_process_and_every_worker_has_the_file(files):
    """Lightning starts the second process, and each starts a loader's worker anew."""
    own = (SOURCE + OWN_DATA).replace('"transforms": Scaled}', '"data": "MyData"}')
    (files / "my_model.py").write_text(own)
    (files / "tiny.yaml").write_text(CONFIG.replace("{name: digits, batch_size: 256}", "MyData"))
    given = ["--config", "tiny.yaml", "--plugin", "my_model.py", "--json"]
    given += ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    done = subprocess.run(
        [forked.python(), "-m", "dlplug", "fit", *given],
        capture_output=True,
        text=True,
        cwd=files,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["run"] == "runs/tiny/1"
