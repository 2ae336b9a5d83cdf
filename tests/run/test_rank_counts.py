"""What some processes have saved, any other number of them takes up: complete files and shards."""

import json
import shutil

import pytest
import torch

from dlplug import config as configs
from dlplug.errors import CheckpointError, InvalidValueError
from dlplug.loggers.metrics_file import read_metrics
from dlplug.run import verbs
from dlplug.run.folder import Run
from dlplug.run.strategies import ShardSavingStrategy, strategy_of
from dlplug.storage.checkpoint import newest_intact, read_checkpoint
from dlplug.storage.pieces import replaced
from tests.run.rank_jobs import run_groups

# The optimizer has two groups of parameters, in another order than the model.
CONFIG = """
seed_everything: 3
architecture: {name: vit, patch_size: 4, dim: 16, depth: 1, heads: 2, mlp_ratio: 2.0}
optimizer: {name: adamw, lr: 0.003}
data: {name: digits}
callbacks: [{name: ema, decay: 0.9}]
trainer: {limit_train_batches: 3, limit_val_batches: 1, accelerator: cpu}
"""
WHOLE, SHARDED = "fsdp2", "fsdp2_sharded"
# Who saved, and who goes on.
TAKEN_UP = [
    ("whole", WHOLE, 1),
    ("whole", WHOLE, 3),
    ("single", WHOLE, 3),
    ("sharded", SHARDED, 1),
    ("sharded", SHARDED, 2),
    ("sharded", SHARDED, 3),
    ("whole", SHARDED, 2),
    ("sharded", "ddp", 1),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All trainings; see `TAKEN_UP`, and one that is killed in its second save."""
    root = tmp_path_factory.mktemp("runs")
    path = root / "tiny.yaml"
    path.write_text(CONFIG)

    def continued(ranks):
        return [
            {
                "name": name_of(saved, strategy, ranks),
                "strategy": strategy,
                "epochs": 2,
                "ckpt_path": str(root / saved / "1/checkpoints/last.ckpt"),
                "taken_up": str(root / f"{name_of(saved, strategy, ranks)}.ckpt"),
            }
            for saved, strategy, number in TAKEN_UP
            if number == ranks
        ]

    saving = [
        {"name": "whole", "strategy": WHOLE, "epochs": 1},
        {"name": "sharded", "strategy": SHARDED, "epochs": 1},
    ]
    killed = {"name": "killed", "strategy": SHARDED, "epochs": 2}
    single = {"name": "single", "strategy": "auto", "epochs": 1}
    groups = [
        [2, [*saving, *continued(2)]],
        [1, [single, *continued(1)]],
        [3, continued(3)],
        [2, [killed | {"kill_rank": 1}]],
    ]
    codes = run_groups(root, path, groups)
    assert codes[1:3] == [[0], [0, 0, 0]]
    assert codes[3][1] == -9 and codes[3][0] != 0
    return root


def name_of(saved, strategy, ranks):
    return f"{saved}-{strategy}-{ranks}"


def last(root, name):
    return root / name / "1/checkpoints/last.ckpt"


def leaves(value):
    """Everything in nested containers, by its path."""
    found = {}
    replaced(value, found.__setitem__)
    return found


def state(content):
    """Weights, averages and the optimizer's states in its own order."""
    (optimizer,) = content["optimizer_states"]
    numbers = [number for group in optimizer["param_groups"] for number in group["params"]]
    states = [optimizer["state"][number] for number in numbers]
    return leaves([content["state_dict"], content["ema"]["trained"], states])


def losses(root, name):
    rows = read_metrics(root / name / "1/metrics.jsonl")
    return [row[key] for key in ("train_loss", "val_loss") for row in rows if key in row]


@pytest.mark.slow
def test_shards_hold_the_same_bits_as_a_complete_file(root):
    """Two trainings, one saved in either way: weights, averages, optimizer, and what they say."""
    whole, shards = (read_checkpoint(last(root, name)) for name in ("whole", "sharded"))
    assert last(root, "sharded").is_dir() and last(root, "whole").is_file()
    ours, theirs = state(shards), state(whole)
    assert len(ours) == len(theirs) > 50
    assert all(torch.equal(ours[path], theirs[path]) for path in theirs)
    for key in ("loops", "lr_schedulers", "global_step"):
        assert shards[key] == whole[key]
    assert whole.keys() == shards.keys()


@pytest.mark.slow
def test_no_file_has_more_than_a_process_holds(root):
    """Two processes write about half each, and every file loads without running code."""
    folder = last(root, "sharded")
    parts = [torch.load(folder / f"rank-{r}-of-2.pt", weights_only=True) for r in (0, 1)]
    rows = json.loads((folder / "index.json").read_text())["tensors"]
    assert parts[0].keys() == parts[1].keys() == {"/".join(map(str, r["path"])) for r in rows}
    for row in rows:
        held = [p["/".join(map(str, row["path"]))] for p in parts]
        assert torch.cat(held).shape == torch.Size(row["shape"])
        assert [list(h.shape) for h in held] == [s["sizes"] for s in row["shards"]]
        assert row["shape"][0] == 1 or held[1].numel() < torch.Size(row["shape"]).numel()
    common = torch.load(folder / "common.pt", weights_only=True)
    assert set(leaves(common["state_dict"]).values()) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("saved, strategy, ranks", TAKEN_UP)
def test_any_number_of_processes_takes_it_up(root, saved, strategy, ranks):
    """What they have before the first batch is, bit by bit, what was saved."""
    ours = state(read_checkpoint(root / f"{name_of(saved, strategy, ranks)}.ckpt"))
    theirs = state(read_checkpoint(last(root, saved)))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[path], theirs[path]) for path in theirs)
    # The same records in each step, summed in another order.
    reference = losses(root, name_of("sharded", "ddp", 1))
    assert len(reference) == 2
    assert losses(root, name_of(saved, strategy, ranks)) == pytest.approx(reference, rel=1e-4)


@pytest.mark.slow
def test_a_kill_between_the_shards_leaves_the_save_before(root):
    """A process dies before it writes its part: last.ckpt is as it was, the litter goes."""
    run = Run.find("killed", root)
    assert list(run.checkpoints.glob(".last.ckpt.*"))  # it happened within the save
    assert newest_intact([run.last, run.previous]) == run.last
    assert read_checkpoint(run.last)["global_step"] == 3
    experiment = configs.load([root / "tiny.yaml"], [("trainer.max_epochs", "2")])
    verbs.fit(experiment, name="killed", resume="auto", root=root, progress=False)
    assert run.status["status"] == "finished"
    assert not list(run.checkpoints.glob(".*"))
    assert run.last.is_file() and run.previous.is_dir()  # one process, which shards nothing
    assert read_checkpoint(run.previous)["global_step"] == 3
    assert read_checkpoint(run.last)["global_step"] == 6


@pytest.mark.slow
def test_one_process_uses_and_checks_shards(root, tmp_path, capsys):
    """A test gives the same numbers, and one flipped bit is found."""
    run = Run.find("sharded", root)
    saved = json.loads(run.test.read_text())["metrics"]
    experiment = configs.load([root / "tiny.yaml"])
    again = verbs.test(experiment, ckpt_path=run.best, progress=False)
    assert again.metrics == pytest.approx(saved, rel=1e-5)
    folder, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for copy in (folder, previous):
        shutil.copytree(run.last, copy)
    content = bytearray((folder / "rank-1-of-2.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "rank-1-of-2.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"rank-1-of-2\.pt: its SHA-256"):
        read_checkpoint(folder)
    assert newest_intact([folder, previous]) == previous
    assert "rank-1-of-2.pt" in capsys.readouterr().err


def test_a_save_that_goes_on_is_refused():
    """The training waits for its shards: there is nothing to try again in the background."""

    class Trainer:
        class checkpoint_callback:
            on_storage_error = "continue"

    strategy = strategy_of(SHARDED)
    assert isinstance(strategy, ShardSavingStrategy)
    with pytest.raises(InvalidValueError, match="the training waits for each save"):
        strategy.setup(Trainer())
