"""FusedAdamW under Lightning's Trainer: precisions, clipping, scaling, checkpoints."""

import logging

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader

from dlplug.optim import FusedAdamW

BOTH = [FusedAdamW, torch.optim.AdamW]

pytestmark = [
    # A data set of 12 rows needs no worker processes.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6 asks about batches in a way that torch 2.13 deprecates.
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning"),
]


class Regression(LightningModule):
    """Two layers, whose gradients are large enough to be clipped."""

    def __init__(self, optimizer, **options):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
        self.optimizer, self.options = optimizer, options
        self.norms = []

    def training_step(self, batch, _):
        return 100 * self.layers(batch).float().square().mean()

    def on_before_zero_grad(self, optimizer):
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        if grads:
            self.norms.append(torch.nn.utils.get_total_norm(grads).item())

    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters(), lr=1e-2, **self.options)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

    def train_dataloader(self):
        rows = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
        return DataLoader(rows.to(self.dtype), batch_size=4)


@pytest.fixture(autouse=True)
def quiet():
    """Lightning reports the hardware that it finds."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def fit(module, **options):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=options.pop("max_epochs", 2),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module)
    return trainer


@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_precisions_and_clipping(precision, clip):
    """Each trains as with PyTorch's optimizer, and clipping limits what the step sees."""
    options = {"precision": precision}
    if clip:
        options |= {"gradient_clip_val": 0.5, "gradient_clip_algorithm": clip}
    # In bfloat16 PyTorch's loop rounds five times where its fused kernel and ours round once.
    peer = {"fused": True} if precision == "bf16-true" else {}
    modules = [Regression(FusedAdamW), Regression(torch.optim.AdamW, **peer)]
    for module in modules:
        trainer = fit(module, **options)
        assert trainer.global_step == 6
    for a, b in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        tolerance = 16 * torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)
    largest = max(modules[0].norms)
    assert largest > 1 if clip is None else largest < 4
    if clip == "norm":
        assert largest == pytest.approx(0.5, rel=1e-2)  # bfloat16 has two to three digits


@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_scaler_and_clipping(clip):
    """With float16 and its scaler gradients are unscaled before they are clipped."""
    modules = [Regression(optimizer) for optimizer in BOTH]
    for module in modules:
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        fit(module, plugins=[MixedPrecision("16-mixed", "cpu", scaler)], gradient_clip_val=clip)
    for a, b in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_fused_true_leaves_unscaling_to_the_step():
    """That is PyTorch's promise for it; Lightning then refuses to clip, and says why."""
    for clip in (None, 0.5):
        module = Regression(FusedAdamW, fused=True)
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))
        if clip is None:
            fit(module, plugins=[plugin])
        else:
            with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
                fit(module, plugins=[plugin], gradient_clip_val=clip)


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_a_run_resumes_from_either_optimizers_checkpoint(first, second, tmp_path):
    """Half a run, a checkpoint, and the other half are the whole run."""
    whole = Regression(second)
    fit(whole, max_epochs=4)
    path = tmp_path / "half.ckpt"
    fit(Regression(first), max_epochs=2).save_checkpoint(path)
    module = Regression(second)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=4,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, ckpt_path=path, weights_only=True)
    assert trainer.global_step == 12
    for a, b in zip(module.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
