"""The classes from which components and the Trainer's parts descend."""

import importlib

# By kind, as ``module:name``: importing them takes seconds.
BASES = {
    "architectures": "torch.nn:Module",
    "losses": "torch.nn:Module",
    "callbacks": "lightning.pytorch:Callback",
    "datamodules": "lightning.pytorch:LightningDataModule",
    "tasks": "lightning.pytorch:LightningModule",
    "metrics": "torchmetrics:Metric",
    "optimizers": "torch.optim:Optimizer",
    "schedulers": "torch.optim.lr_scheduler:LRScheduler",
    "transforms": "torch.nn:Module",
    "loggers": "lightning.pytorch.loggers:Logger",
}
# Besides these bases, what an argument may hold as a class: the parts of Lightning's Trainer.
PARTS = (
    "lightning.pytorch.accelerators:Accelerator",
    "lightning.pytorch.strategies:Strategy",
    "lightning.pytorch.plugins:Precision",
    "lightning.pytorch.plugins:LayerSync",
    "lightning.pytorch.profilers:Profiler",
    "lightning.fabric.plugins:CheckpointIO",
    "lightning.fabric.plugins:ClusterEnvironment",
)


def base_class(kind: str) -> type:
    """The class from which a component of that kind (plural) descends."""
    return load_class(BASES[kind])


def load_class(target: str) -> type:
    """The class that ``module:name`` means."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
