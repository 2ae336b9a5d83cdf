"""Training techniques through fit, as a config names them."""

import pytest
import torch

from dlplug import config
from dlplug.errors import InvalidValueError
from dlplug.run import verbs

VIT = "{name: vit, dim: 8, depth: 2, heads: 2, patch_size: 4}"
MLP = "{name: mlp, hidden: [16]}"


def fit(tmp_path, architecture, *lines, optimizer="{name: adamw, lr: 0.003}"):
    path = tmp_path / "config.yaml"
    text = [
        f"architecture: {architecture}",
        f"optimizer: {optimizer}",
        "data: {name: digits, batch_size: 32}",
        *lines,
    ]
    path.write_text("\n".join(text))
    result = verbs.fit(config.load([path]), root=tmp_path, name="x", progress=False)
    return torch.load(result.run / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("architecture", "callback"),
    [
        (VIT, "{name: layer_decay, decay: 0.5}"),
        (VIT, "{name: freeze, parameters: ['*'], but: [head]}"),
        (VIT, "{name: gradual_unfreezing, schedule: {'blocks.*': 1}, lr_decay: 0.5}"),
        (VIT, "{name: activation_checkpointing, modules: ['blocks.*']}"),
        (MLP, "{name: accumulation_schedule, schedule: {0: 1, 1: 2}}"),
        (MLP, "{name: swa, start: 1}"),
        (MLP, "{name: compile, backend: eager}"),
    ],
)
def test_each_callback_is_usable_from_a_config(tmp_path, architecture, callback):
    """Its arguments are typed, its state is plain, the best checkpoint is tested."""
    trainer = "{max_epochs: 2, limit_train_batches: 4, limit_val_batches: 1, accelerator: cpu}"
    content = fit(tmp_path, architecture, f"callbacks: [{callback}]", f"trainer: {trainer}")
    assert content["epoch"] == 1


@pytest.mark.parametrize(
    "scheduler", ["linear", "constant", "wsd", "one_cycle", "cosine_cycles", "plateau"]
)
def test_each_scheduler_is_usable_from_a_config(tmp_path, scheduler):
    """After two epochs of four batches it has counted eight steps, or two epochs."""
    trainer = "{max_epochs: 2, limit_train_batches: 4, limit_val_batches: 1, accelerator: cpu}"
    content = fit(tmp_path, MLP, f"scheduler: {scheduler}", f"trainer: {trainer}")
    counted = content["lr_schedulers"][0]["last_epoch"]
    assert counted == (2 if scheduler == "plateau" else 8)


def test_clipping_and_accumulation_are_as_with_torchs_optimizer(tmp_path):
    """The same weights from adamw and from torch's, to a few roundings."""
    lines = [
        "trainer: {max_epochs: 2, limit_train_batches: 5, accelerator: cpu, limit_val_batches: 1,"
        " gradient_clip_val: 0.1, accumulate_grad_batches: 2}"
    ]
    ours = fit(tmp_path, MLP, *lines)
    theirs = fit(
        tmp_path,
        MLP,
        *lines,
        "plugins: {}",
        optimizer="{class_path: torch.optim.AdamW, lr: 0.003}",
    )
    assert ours["global_step"] == theirs["global_step"] == 6
    # Rounding of float32 over six steps, against weights of the order of 0.1.
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=1e-4, atol=1e-5)


def test_a_resumed_plateau_has_seen_every_epoch(tmp_path):
    """A checkpoint holds the epoch's step; an unknown metric is named."""
    trainer = "{max_epochs: 3, limit_train_batches: 2, limit_val_batches: 1, accelerator: cpu}"
    schedule = "scheduler: {name: plateau, mode: max, patience: 0, factor: 0.5}"
    content = fit(tmp_path, MLP, schedule, f"trainer: {trainer}")
    # The loss falls, which counts as no improvement: the rate falls after epochs 2 and 3.
    assert content["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.003 / 4)
    with pytest.raises(InvalidValueError, match="monitor = 'val_los' is not logged"):
        fit(tmp_path, MLP, "scheduler: {name: plateau, monitor: val_los}", f"trainer: {trainer}")
