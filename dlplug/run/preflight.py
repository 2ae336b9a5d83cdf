"""One batch through the model and the loss before anything is written or trained."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from dlplug.errors import DataError, DlplugError
from dlplug.run.isolation import in_training, isolated
from dlplug.run.monitors import check_monitors
from dlplug.tasks.gradient_checks import check_gradient, first_records
from dlplug.tasks.slips import is_out_of_memory
from dlplug.tasks.task import Task
from dlplug.transforms.mixed import Mixed

# What they train may not fit on one device.
SHARDED = (ModelParallelStrategy, FSDPStrategy, DeepSpeedStrategy)
# The dtype of the weights, where it is not float32.
WEIGHTS = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


def preflight(
    task: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
    trainer: lightning.Trainer,
    where: str | None = None,
) -> None:
    """Find out what does not fit together, and leave no trace that dlplug can take back.

    The random states, the weights, the persistent buffers, the carried states and the modes of the
    modules are as before, and the order of the data is not touched: a training gives the same bits
    with and without it. What else a forward keeps, in attributes of its own or outside of Python,
    stays as the last pass left it; passes in training mode are made only where one in evaluation
    tells nothing.

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
    with isolated(task) as modes:
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
    own = ("training_step", "_step", "backward")
    is_own = all(getattr(type(task), name) is getattr(Task, name) for name in own)
    if not is_own or not task.automatic_optimization:
        return
    if not any(p.requires_grad for p in task.architecture.parameters()):
        return  # a callback may set requires_grad later
    # Gradients of a model to be sharded may not fit beside it.
    computes_gradient = not isinstance(trainer.strategy, SHARDED)
    # A network that compiles itself would take its batches for dynamic after one of a few records.
    with torch.compiler.set_stance("force_eager"):
        task.reset_states()  # they are of other records
        try:
            check_gradient(task, first_records(batch), computes_gradient)
            return
        except Exception as error:
            if is_out_of_memory(error):
                return
        # The error is gone here, and with it the tensors that its traceback kept.
        task.reset_states()
        with in_training(task, modes):
            try:
                check_gradient(task, batch, computes_gradient)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise


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
