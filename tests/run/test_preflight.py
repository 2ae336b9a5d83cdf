"""preflight: finds what does not fit, and leaves no trace."""

import random

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import nn

from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.errors import ConfigError, DataError, InvalidValueError
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.run import training, verbs
from dlplug.run.preflight import SHARDED, preflight
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification
from dlplug.transforms.cutmix import CutMix
from dlplug.transforms.mixup import Mixup
from dlplug.transforms.random_crop import RandomCrop


class Restless(nn.Module):
    """Draws random numbers and changes a buffer in every pass, in evaluation too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.norm = nn.BatchNorm1d(10)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        random.random(), np.random.rand(), torch.rand(1)
        return self.norm(self.layer(x.flatten(1)))


def check(model=None, data=None, **trainer_arguments):
    task = Classification(
        model or Restless(), CrossEntropyLoss(), data_spec=DataSpec(num_classes=10)
    )
    data = data or Digits()
    data.setup("fit")
    with quiet():
        trainer = lightning.Trainer(accelerator="cpu", logger=False, **trainer_arguments)
    preflight(task, data, trainer, "architecture a, data b")
    return task


def test_it_leaves_no_trace():
    """Random streams, weights, buffers, gradients and modes are as before."""
    model = Restless()
    model.norm.eval()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    check(model)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and model.layer.training and not model.norm.training


def test_a_training_gives_the_same_bits_without_it(tmp_path, experiment, monkeypatch):
    """Weights, optimizer and random states, with dropout and random shifts."""
    overrides = [("data.transforms", "[{name: random_shift, max_shift: 1}]")]
    contents = []
    for root in ("with", "without"):
        if root == "without":
            monkeypatch.setattr(training, "preflight", lambda *args: None)
        run = verbs.fit(experiment(*overrides), root=tmp_path / root, progress=False).run
        contents.append(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True))
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(contents[0][key], contents[1][key], rtol=0, atol=0)
    states = [content["callbacks"]["RandomState"]["ranks"][0]["torch"] for content in contents]
    assert torch.equal(*states)


def test_an_error_names_both_sides():
    """Architecture and data stand in the error's place."""
    with pytest.raises(ConfigError, match="cannot take the data's inputs") as error:
        check(nn.Linear(3, 10))
    assert error.value.where == "architecture a, data b"


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (RandomCrop(2), InvalidValueError, "RandomCrop cannot take the inputs .64, 64. float32"),
        (CutMix(probability=0.0), InvalidValueError, "cutmix: the inputs are no images"),
        (lambda rows: rows[:, :9], ConfigError, "cannot take the data's inputs .64, 9. float32"),
    ],
)
def test_what_no_transform_can_be_applied_to_is_found(transform, error, message):
    """Before a training would meet it, and with the architecture's side of what comes out."""
    with pytest.raises(error, match=message):
        check(nn.Linear(64, 10), Digits(flatten=True, transforms=[transform]))


def test_mixed_targets_pass():
    """Each part is what the task takes."""
    check(nn.Linear(64, 10), Digits(flatten=True, transforms=[Mixup()]))


def test_data_that_cannot_be_read_is_a_data_error():
    """The original exception is named and kept."""

    class Broken(Digits):
        def train_dataloader(self):
            raise KeyError("column_7")

    with pytest.raises(DataError, match="first training batch failed: KeyError: 'column_7'"):
        check(data=Broken())


def test_empty_data_is_a_data_error():
    """A loader without a single batch."""

    class Empty(Digits):
        def train_dataloader(self):
            return []

    with pytest.raises(DataError, match="training data is empty"):
        check(data=Empty())


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "bf16-mixed"])
def test_it_follows_the_precision(precision):
    """Weights are still float32 when it looks, whatever they will be trained in."""
    check(precision=precision)


def test_somebody_elses_task_is_let_through():
    """Only tasks of this package know how to check a batch."""
    preflight(lightning.LightningModule(), None, None)


@pytest.mark.parametrize("storage", ["kahan", "remainder", "stochastic"])
def test_a_storage_for_bfloat16_needs_its_precision(experiment, tmp_path, storage):
    """Known before a run folder is made, though the weights are converted after that."""
    compact = ("optimizer", f"{{name: compact_adamw, storage: {storage}}}")
    with pytest.raises(InvalidValueError, match=f"storage '{storage}' is for parameters in bfloat"):
        verbs.fit(experiment(compact), root=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    precise = experiment(compact, ("trainer.precision", "bf16-true"), ("trainer.max_epochs", "1"))
    assert verbs.fit(precise, root=tmp_path, progress=False).run.is_dir()


class Failing(nn.Module):
    """Has too little memory for gradients, as far as it says."""

    def __init__(self, error):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.error = error
        self.after = []

    def forward(self, x):
        self.after.append(torch.is_grad_enabled())
        if torch.is_grad_enabled():
            raise self.error
        return self.layer(x.flatten(1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_for_the_gradient_is_none_of_its_faults(error):
    """The training may have more; nothing is computed after it."""
    model = Failing(error)
    check(model)
    assert model.after == [False, True]


def test_an_interruption_ends_it_at_once():
    """No pass is made after it."""
    model = Failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        check(model)
    assert model.after == [False, True]


class InTrainingOnly(nn.Module):
    """Can be trained on in training mode alone, and changes whatever a forward can change."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.teacher = nn.Linear(64, 10).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(1, 10))
        self.register_buffer("cache", torch.zeros(1), persistent=False)
        self.states = {}
        self.batches = []

    def forward(self, x):
        scores = self.layer(x.flatten(1))
        before = self.states.get(self.training)
        self.batches.append(None if before is None else len(before))
        self.states[self.training] = scores.detach()
        if not self.training:
            return scores.detach()
        with torch.no_grad():
            self.teacher.weight.lerp_(self.layer.weight, 0.5)
        self.queue = torch.cat([self.queue, scores.detach()])
        self.cache = torch.zeros(len(x))
        return scores

    def reset_state(self):
        """Of the present mode."""
        self.states.pop(self.training, None)


def test_a_pass_in_training_mode_leaves_no_trace():
    """In frozen weights, in buffers of another shape, in carried states; a cache keeps its size."""
    model = InTrainingOnly()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.states == {} and len(model.cache) == 64
    assert model.training and not model.teacher.weight.requires_grad


def test_a_carried_state_meets_no_other_records():
    """A stateful network refuses a batch of another size than the one before."""
    model = InTrainingOnly()
    check(model)
    assert model.batches[1] is None  # the few records after all of them


class Adapter(nn.Linear):
    """Adds itself to the weights in evaluation, in train(), as low-rank adapters do."""

    def __init__(self):
        super().__init__(64, 10)
        self.weight.requires_grad_(False)
        self.more = nn.Parameter(torch.ones(10, 64))
        self.is_merged = False

    def train(self, mode=True):
        """Merge, or take apart."""
        super().train(mode)
        if mode == self.is_merged:
            self.weight.data += -self.more.data if mode else self.more.data
            self.is_merged = not mode
        return self

    def forward(self, x):
        """A gradient of the adapter in training alone."""
        own = super().forward(x.flatten(1))
        return own if self.is_merged else own + x.flatten(1) @ self.more.T


@pytest.mark.parametrize("is_in_training", [True, False])
def test_modules_that_change_with_their_mode_are_as_before(is_in_training):
    """Their train() is called, not only their flag set."""
    adapter = Adapter().train(is_in_training)
    before = adapter.weight.detach().clone()
    model = nn.Sequential(adapter, nn.Identity())
    check(model)
    assert adapter.is_merged != is_in_training and adapter.training == is_in_training
    torch.testing.assert_close(adapter.weight.detach(), before, rtol=0, atol=1e-6)


class Compiled(nn.Module):
    """Compiles its own forward, and tells of which sizes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.sizes = []

        def compiler(graph, inputs):
            self.sizes.append([tuple(getattr(i, "shape", ())) for i in inputs])
            return graph.forward

        self.fast = torch.compile(lambda x: self.layer(x.flatten(1)), backend=compiler)

    def forward(self, x):
        return self.fast(x)


def test_a_network_that_compiles_itself_sees_no_small_batch():
    """After one it would take the size of batches for unknown, and compile for any."""
    model = Compiled()
    check(model)
    count = len(model.sizes)
    model(torch.zeros(64, 1, 8, 8))
    assert len(model.sizes) > count  # for gradients, which compiled nothing before
    assert not any("s" in str(size) for shapes in model.sizes for size in shapes)


def test_deepspeed_shards_its_gradients():
    """They may not fit on one device: they are not computed before."""
    assert DeepSpeedStrategy in SHARDED
