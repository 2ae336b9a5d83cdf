"""One batch through the model and the loss before anything is written or trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from dlplug.callbacks.implicit.random_state import capture, restore
from dlplug.errors import DataError, DlplugError
from dlplug.run.monitors import check_monitors
from dlplug.tasks.gradient_checks import check_gradient, few_of
from dlplug.tasks.task import Task
from dlplug.transforms.mixed import Mixed

# The dtype of the weights, where it is not float32.
WEIGHTS = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


def preflight(
    task: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
    trainer: lightning.Trainer,
    where: str | None = None,
) -> None:
    """Find out what does not fit together, and leave no trace.

    The random states, the buffers and the modes of the modules are as before, and the order of the
    data is not touched: a training gives the same bits with and without it.

    Args:
        task: Built, not trained; one that is no `Task` is let through.
        datamodule: After ``setup("fit")``.
        trainer: Says where and in which precision it will train, and what its callbacks watch.
        where: Names of both sides, for the error.
    Raises:
        DlplugError: names what does not fit.
    """
    if not isinstance(task, Task):
        return
    check_monitors(task, datamodule, trainer)
    with _isolated(task) as modes:
        _check_optimizer(task, trainer)
        batch = _first_batch(datamodule)
        device = _device(trainer)
        task.to(device)
        batch = _to_weights_dtype(move_data_to_device(batch, device), task, trainer)
        task.eval()
        try:
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                task.check_batch(batch)
                _check_gradient(task, trainer, batch, modes)
                _check_transformed(task, datamodule, batch)
        except DlplugError as error:
            if error.where is None and where is not None:
                raise type(error)(
                    error.what, where=where, known=error.known, fix=error.fix
                ) from error.__cause__
            raise


def _check_gradient(
    task: Task, trainer: lightning.Trainer, batch: Any, modes: Mapping[nn.Module, bool]
) -> None:
    """The loss can be trained on, where the task leaves the training to Lightning and `Task`.

    A few records tell, in evaluation, which changes the least. What fails there gets the pass of
    the first training step: some networks have a gradient, or take a batch, in that alone.
    """
    is_own = type(task).training_step is Task.training_step and task.automatic_optimization
    if not is_own or not any(p.requires_grad for p in task.architecture.parameters()):
        return  # a callback may set requires_grad later
    # Gradients of a model to be sharded may not fit beside it.
    reaches = not isinstance(trainer.strategy, (ModelParallelStrategy, FSDPStrategy))
    try:
        check_gradient(task, few_of(batch), reaches)
    except Exception:
        set_modes(modes)
        try:
            check_gradient(task, batch, reaches)
        except DlplugError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
        task.eval()


def set_modes(modes: Mapping[nn.Module, bool]) -> None:
    """Let modules train or evaluate."""
    for module, mode in modes.items():
        module.training = mode


def _check_transformed(task: Task, datamodule: lightning.LightningDataModule, batch: Any) -> None:
    """The batch goes through model and loss after the transforms of a training as well."""
    if getattr(datamodule, "transforms", None) and hasattr(datamodule, "transformed"):
        inputs, targets = datamodule.transformed(batch)
        task.check_batch((inputs, targets.first if isinstance(targets, Mixed) else targets))


def _check_optimizer(task: Task, trainer: lightning.Trainer) -> None:
    """An optimizer with a ``check_dtypes`` takes weights as the precision makes them."""
    if task.make_optimizer is not None:
        dtype = WEIGHTS.get(str(trainer.precision), torch.float32)
        optimizer = task.make_optimizer([torch.nn.Parameter(torch.zeros(1, dtype=dtype))])
        getattr(optimizer, "check_dtypes", lambda: None)()


def _first_batch(datamodule: lightning.LightningDataModule) -> Any:
    try:
        return next(iter(datamodule.train_dataloader()))
    except StopIteration:
        raise DataError("the training data is empty") from None
    except DlplugError:
        raise
    except Exception as error:
        raise DataError(
            f"reading the first training batch failed: {type(error).__name__}: {error}"
        ) from error


def _device(trainer: lightning.Trainer) -> torch.device:
    # A model to be sharded may not fit on one device.
    is_sharded = isinstance(trainer.strategy, ModelParallelStrategy)
    return torch.device("cpu") if is_sharded else trainer.strategy.root_device


def _to_weights_dtype(batch: Any, task: Task, trainer: lightning.Trainer) -> Any:
    """What the precisions other than 32 and mixed do with inputs; the weights are still float32."""
    if trainer.precision == "32-true" or "mixed" in str(trainer.precision):
        return batch
    dtype = next((p.dtype for p in task.parameters() if p.is_floating_point()), None)

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() and dtype else tensor

    return apply_to_collection(batch, Tensor, cast)


@contextmanager
def _isolated(task: Task) -> Iterator[dict[nn.Module, bool]]:
    """Put everything back; gives the modes of the modules."""
    state = capture()
    modes = {module: module.training for module in task.modules()}
    buffers = {name: buffer.clone() for name, buffer in task.named_buffers()}
    try:
        yield modes
    finally:
        with torch.no_grad():
            for name, buffer in task.named_buffers():
                if name in buffers:
                    buffer.copy_(buffers[name])
        set_modes(modes)
        restore(state)
